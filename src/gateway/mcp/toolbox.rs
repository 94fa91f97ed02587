//! The servers of the gateway as tools of a run, under the rights of a caller. Owns [`CallersTools`]; a
//! call goes the way of every other call.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Endpoint;
use super::client::{Client, Outlet};
use super::exchange::Nobody;
use super::message::{Request, RpcError};
use super::post::unsaid;
use super::relay::text_member;
use super::scope::Scope;
use crate::agent::{CallTerms, Tool, Toolbox};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::access::Caller;
use crate::gateway::trace::Trace;
use crate::json::RawJson;

/// The header that names servers.
const SERVERS: HeaderName = HeaderName::from_static("x-mcp-servers");
/// How many pages a list may have.
const MAXIMUM_PAGES: usize = 1_000;

/// Servers that a caller named.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Named {
    /// Names, aliases and access groups, separated by commas; none names all.
    pub(in crate::gateway) servers: Option<String>,
    /// Tools by their own names or with their server's before it; none allows all.
    pub(in crate::gateway) allowed: Option<Vec<String>>,
}

/// The tools of servers, as one caller may use them.
pub(in crate::gateway) struct CallersTools {
    endpoint: Arc<Endpoint>,
    parts: Vec<(Arc<Client>, Named)>,
    trace: Trace,
}

impl fmt::Debug for CallersTools {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallersTools")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow, default)]
    tools: Vec<&'a RawValue>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct OfName {
    name: String,
}

impl CallersTools {
    /// Those that are named, for a caller who sent these headers.
    ///
    /// # Errors
    /// The names that stand for no server which the caller may use.
    pub(in crate::gateway) fn new(
        endpoint: &Arc<Endpoint>,
        caller: &Caller,
        named: Vec<Named>,
        headers: &HeaderMap,
        trace: &Trace,
    ) -> Result<Self, String> {
        let mut parts = Vec::with_capacity(named.len());
        for part in named {
            let mut headers = headers.clone();
            if let Some(servers) = &part.servers {
                let servers = HeaderValue::from_str(servers).map_err(|_| servers.clone())?;
                headers.insert(SERVERS, servers);
            }
            let scope = Scope::read(None, &headers);
            if !endpoint.relay.knows(caller, &scope) {
                return Err(part.servers.unwrap_or_default());
            }
            let client = Arc::new(Client::new(caller.clone(), scope, unsaid(None)));
            parts.push((client, part));
        }
        Ok(Self {
            endpoint: Arc::clone(endpoint),
            parts,
            trace: trace.clone(),
        })
    }

    async fn ask(
        &self,
        client: &Arc<Client>,
        method: &str,
        params: Option<Value>,
    ) -> Result<RawJson> {
        let request = Request {
            id: RawJson::trusted("1"),
            method: method.to_owned(),
            params: params.map(|params| RawJson::trusted(params.to_string())),
            trace: self.trace.clone(),
        };
        let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
        let relay = &self.endpoint.relay;
        let outcome = relay.request(client, &request, &nobody).await;
        outcome.map_err(|error| failed(&error))
    }

    async fn list(&self) -> Result<(u64, Arc<Vec<Tool>>)> {
        let mut tools: Vec<Tool> = Vec::new();
        let mut hasher = DefaultHasher::new();
        for (client, named) in &self.parts {
            let mut cursor: Option<String> = None;
            for _ in 0..MAXIMUM_PAGES {
                let params = cursor.map(|cursor| json!({ "cursor": cursor }));
                let answer = self.ask(client, "tools/list", params).await?;
                let page: Page<'_> =
                    serde_json::from_slice(answer.as_bytes()).map_err(|cause| {
                        Error::new(ErrorKind::Internal, "a list of tools cannot be read")
                            .with_source(cause)
                    })?;
                for described in page.tools {
                    let Ok(OfName { name }) = serde_json::from_str(described.get()) else {
                        continue;
                    };
                    let is_known = tools.iter().any(|tool| tool.name == name);
                    if is_known || !named.allows(&name) {
                        continue;
                    }
                    described.get().hash(&mut hasher);
                    tools.push(Tool {
                        name,
                        server: None,
                        own_name: None,
                        described: RawJson::trusted(described.get().to_owned()),
                    });
                }
                cursor = page.next_cursor.filter(|cursor| !cursor.is_empty());
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok((hasher.finish(), Arc::new(tools)))
    }

    async fn carry_out(&self, name: String, arguments: RawJson) -> Result<RawJson> {
        let arguments = arguments.to_value()?;
        let mut refusal = None;
        for (client, named) in &self.parts {
            if !named.allows(&name) {
                continue;
            }
            let params = json!({"name": name, "arguments": arguments});
            match self.ask(client, "tools/call", Some(params)).await {
                // Another part may have it.
                Err(error) if error.message().starts_with("Unknown tool") => refusal = Some(error),
                outcome => return outcome,
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Error::new(
                ErrorKind::Mcp,
                format!("the tool {name:?} is not allowed here"),
            )
        }))
    }
}

impl Named {
    fn allows(&self, name: &str) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        let separator = super::relay::separator().unwrap_or_default();
        allowed.iter().any(|tool| {
            tool == name
                || name
                    .strip_suffix(tool.as_str())
                    .is_some_and(|server| server.ends_with(separator.as_str()))
        })
    }
}

fn failed(error: &RpcError) -> Error {
    let message = text_member(error.0.as_bytes(), "message");
    let message = message.unwrap_or_else(|| "the server answered with an error".to_owned());
    Error::new(ErrorKind::Mcp, message)
}

impl Toolbox for CallersTools {
    fn tools(&self) -> BoxFuture<'_, Result<(u64, Arc<Vec<Tool>>)>> {
        self.list().boxed()
    }

    fn call(
        &self,
        name: String,
        arguments: RawJson,
        _terms: CallTerms,
    ) -> BoxFuture<'_, Result<RawJson>> {
        self.carry_out(name, arguments).boxed()
    }
}
