//! Tools over plain HTTP, as LiteLLM answers: `/mcp/tools/…`, `/mcp-rest/tools/…`, `/v1/mcp/…`. A call
//! goes the way of every other call; nothing of a server's configuration is told but what describes it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Query, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::client::{Client, Outlet};
use super::exchange::{Nobody, json as answer};
use super::message::{INVALID_PARAMS, METHOD_NOT_FOUND, Request, RpcError};
use super::post::unsaid;
use super::relay::text_member;
use super::scope::Scope;
use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::Failure;
use crate::gateway::trace::Trace;
use crate::json::RawJson;
use crate::mcp::{Member, ServerConfig, Target};

/// The largest body.
const MAXIMUM_BODY_BYTES: usize = 16 << 20;

/// Which server is meant, by its id, its name or its alias.
#[derive(Debug, Default, Deserialize)]
pub(in crate::gateway) struct Wanted {
    server_id: Option<String>,
    mcp_server_name: Option<String>,
}

/// What stands around a body.
pub(in crate::gateway) struct Around {
    headers: HeaderMap,
    trace: Trace,
}

impl<S: Sync> FromRequestParts<S> for Around {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            headers: parts.headers.clone(),
            trace: parts.extensions.get().cloned().unwrap_or_default(),
        })
    }
}

/// The body of a call.
#[derive(Deserialize)]
struct Call<'a> {
    server_id: Option<String>,
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

fn id_of(config: &ServerConfig) -> &str {
    config.policy.server_id.as_deref().unwrap_or(&config.name)
}

/// What lists of tools say about their server.
fn info_of(config: &ServerConfig) -> Value {
    let mut info = config.policy.info.clone();
    let named = info.get("server_name").is_some_and(Value::is_string);
    if !named {
        info.insert("server_name".to_owned(), config.name.as_str().into());
    }
    info.insert("server_id".to_owned(), id_of(config).into());
    info.insert("alias".to_owned(), config.alias.clone().into());
    if let Some(description) = &config.description {
        let told = info.entry("description");
        told.or_insert_with(|| description.as_str().into());
    }
    info.into()
}

/// The servers that a caller may use.
fn usable(shared: &Shared, caller: &Caller) -> Vec<Arc<Member>> {
    let members = shared.mcp.members().into_iter();
    members
        .filter(|member| caller.may_use(member.config()))
        .collect()
}

fn find<'a>(servers: &'a [Arc<Member>], wanted: &str) -> Option<&'a Arc<Member>> {
    servers.iter().find(|member| {
        let config = member.config();
        id_of(config) == wanted || config.name == wanted || config.alias.as_deref() == Some(wanted)
    })
}

fn unknown(wanted: &str) -> Failure {
    let message =
        format!("there is no MCP server {wanted:?}; GET /v1/mcp/server lists those that are");
    Failure::new(StatusCode::NOT_FOUND, message).with_code("server_not_found")
}

/// Sends one request the way that those of clients go.
async fn ask(
    shared: &Shared,
    caller: &Caller,
    server: Option<&str>,
    around: &Around,
    request: (&str, Option<RawJson>),
) -> Result<RawJson, Failure> {
    let scope = Scope::read(server, &around.headers);
    if !shared.mcp.relay.knows(caller, &scope) {
        return Err(unknown(server.unwrap_or("x-mcp-servers")));
    }
    let client = Arc::new(Client::new(caller.clone(), scope, unsaid(None)));
    let (method, params) = request;
    let request = Request {
        id: RawJson::trusted("1"),
        method: method.to_owned(),
        params,
        trace: around.trace.clone(),
    };
    let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
    let outcome = shared.mcp.relay.request(&client, &request, &nobody).await;
    outcome.map_err(|error| refused(&error))
}

/// An error of MCP as one of HTTP.
fn refused(error: &RpcError) -> Failure {
    let message = text_member(error.0.as_bytes(), "message");
    let message = message.unwrap_or_else(|| "the server answered with an error".to_owned());
    match error.code() {
        Some(INVALID_PARAMS | METHOD_NOT_FOUND) if message.starts_with("Unknown tool") => {
            Failure::new(StatusCode::NOT_FOUND, message).with_code("tool_not_found")
        }
        Some(INVALID_PARAMS) => Failure::invalid(message),
        _ => Failure::new(StatusCode::BAD_GATEWAY, message),
    }
}

/// `GET /mcp/tools/list`: the tools as MCP clients see them.
pub(in crate::gateway) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    around: Around,
) -> Result<Response, Failure> {
    let list = ask(&shared, &caller, None, &around, ("tools/list", None)).await?;
    Ok(answer(StatusCode::OK, list.into_bytes()))
}

/// `POST /mcp/tools/call`: a tool by the name that a list gives it.
pub(in crate::gateway) async fn call(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    around: Around,
    body: Body,
) -> Result<Response, Failure> {
    let body = read(body).await?;
    let call = parsed(&body)?;
    let result = called(&shared, &caller, None, &around, &call).await?;
    Ok(answer(StatusCode::OK, result.into_bytes()))
}

/// `GET /mcp-rest/tools/list`: the tools by their own names, each with its server.
pub(in crate::gateway) async fn list_by_server(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
    around: Around,
) -> Result<Json<Value>, Failure> {
    let servers = usable(&shared, &caller);
    let chosen: Vec<&Arc<Member>> = match wanted.server_id.or(wanted.mcp_server_name) {
        None => servers.iter().collect(),
        Some(name) => vec![find(&servers, &name).ok_or_else(|| unknown(&name))?],
    };
    let lists = chosen.iter().map(|member| {
        let name = Some(member.name());
        ask(&shared, &caller, name, &around, ("tools/list", None))
    });
    let lists = futures_util::future::join_all(lists).await;
    let mut tools = Vec::new();
    let mut errors = Vec::new();
    for (member, list) in chosen.iter().zip(lists) {
        match list.and_then(|list| list.to_value().map_err(Failure::from)) {
            Ok(mut list) => {
                let list = list.get_mut("tools").map(Value::take);
                let Some(Value::Array(list)) = list else {
                    continue;
                };
                let info = info_of(member.config());
                tools.extend(list.into_iter().filter_map(|mut tool| {
                    tool.as_object_mut()?
                        .insert("mcp_info".to_owned(), info.clone());
                    Some(tool)
                }));
            }
            Err(_) => errors.push(format!("{} could not be listed", member.name())),
        }
    }
    let (error, message) = if errors.is_empty() {
        (Value::Null, "Successfully retrieved tools".to_owned())
    } else {
        ("partial_failure".into(), errors.join("; "))
    };
    Ok(Json(
        json!({"tools": tools, "error": error, "message": message}),
    ))
}

/// `POST /mcp-rest/tools/call`: a tool of a server, by its own name or with the server's before it.
pub(in crate::gateway) async fn call_by_server(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    around: Around,
    body: Body,
) -> Result<Response, Failure> {
    let body = read(body).await?;
    let call = parsed(&body)?;
    let Some(wanted) = &call.server_id else {
        let message = "server_id is missing: the id, the name or the alias of an MCP server";
        return Err(Failure::invalid(message).with_param("server_id"));
    };
    let servers = usable(&shared, &caller);
    let server = find(&servers, wanted).ok_or_else(|| unknown(wanted))?;
    let own = unprefixed(server.config(), &call.name);
    let call = Call { name: own, ..call };
    let name = Some(server.name());
    let result = called(&shared, &caller, name, &around, &call).await?;
    Ok(answer(StatusCode::OK, result.into_bytes()))
}

/// The own name of a tool that may have its server's before it.
fn unprefixed(config: &ServerConfig, name: &str) -> String {
    let separator = super::relay::separator().unwrap_or_default();
    let labels = [Some(&config.name), config.alias.as_ref()];
    let mut labels = labels.into_iter().flatten();
    let own = labels.find_map(|label| {
        let rest = name.strip_prefix(label.as_str())?;
        rest.strip_prefix(separator.as_str())
    });
    own.unwrap_or(name).to_owned()
}

/// `GET /v1/mcp/server`: the servers.
pub(in crate::gateway) async fn servers(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Json<Value> {
    let servers = usable(&shared, &caller);
    Json(servers.iter().map(|member| described(member)).collect())
}

fn described(member: &Member) -> Value {
    let config = member.config();
    let mut entry = Map::new();
    let transport = match &config.target {
        Target::Stdio(_) => "stdio",
        Target::Http {
            kind: Some(crate::mcp::HttpKind::Sse),
            ..
        } => "sse",
        Target::Http { .. } => "http",
    };
    let url = match &config.target {
        Target::Stdio(_) => Value::Null,
        // The rest of a URL may be a key.
        target @ Target::Http { .. } => target.shown().into(),
    };
    entry.insert("server_id".to_owned(), id_of(config).into());
    entry.insert("server_name".to_owned(), config.name.as_str().into());
    entry.insert("alias".to_owned(), config.alias.clone().into());
    entry.insert("description".to_owned(), config.description.clone().into());
    entry.insert("transport".to_owned(), transport.into());
    entry.insert("url".to_owned(), url);
    entry.insert(
        "mcp_access_groups".to_owned(),
        config.policy.access_groups.clone().into(),
    );
    entry.insert(
        "allow_all_keys".to_owned(),
        config.policy.allow_all_keys.into(),
    );
    entry.insert("mcp_info".to_owned(), info_of(config));
    entry.insert("status".to_owned(), member.lasting().status().name().into());
    entry.into()
}

/// `GET /v1/mcp/access_groups`: their names.
pub(in crate::gateway) async fn access_groups(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Json<Value> {
    let servers = usable(&shared, &caller);
    let groups = servers
        .iter()
        .flat_map(|member| &member.config().policy.access_groups);
    let groups: std::collections::BTreeSet<&String> = groups.collect();
    Json(json!({ "access_groups": groups }))
}

/// `GET /mcp/enabled`: there is MCP here.
pub(in crate::gateway) async fn enabled() -> Json<Value> {
    Json(json!({"enabled": true}))
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    let body = axum::body::to_bytes(body, MAXIMUM_BODY_BYTES).await;
    body.map_err(|_| {
        let message = format!("the body is longer than {MAXIMUM_BODY_BYTES} bytes, or broke off");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })
}

fn parsed(body: &[u8]) -> Result<Call<'_>, Failure> {
    let call: Call<'_> = serde_json::from_slice(body).map_err(|failure| {
        let message = format!("the body takes a name and arguments, as JSON: {failure}");
        Failure::invalid(message)
    })?;
    let is_object =
        |arguments: &RawValue| arguments.get().starts_with('{') || arguments.get() == "null";
    if !call.arguments.is_none_or(is_object) {
        let failure = Failure::invalid("arguments takes an object");
        return Err(failure.with_param("arguments"));
    }
    Ok(call)
}

async fn called(
    shared: &Shared,
    caller: &Caller,
    server: Option<&str>,
    around: &Around,
    call: &Call<'_>,
) -> Result<RawJson, Failure> {
    let arguments = call.arguments.filter(|arguments| arguments.get() != "null");
    let arguments = arguments.map_or("{}", RawValue::get);
    let name = Value::from(call.name.as_str());
    let params = RawJson::trusted(format!("{{\"name\":{name},\"arguments\":{arguments}}}"));
    let request = ("tools/call", Some(params));
    ask(shared, caller, server, around, request).await
}
