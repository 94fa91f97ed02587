//! One message of a client for one server, which hears it as the client wrote it. Each of the two may
//! be of either era.

use std::sync::Arc;

use super::parking::{self, Parking};
use super::seal::state_of;
use super::splice::{member, progress_token, text_member, with_member, without_envelope};
use super::{Asked, describe, listen, policy, rounds, sampled, traced};
use crate::gateway::mcp::client::Client;
use crate::gateway::mcp::message::{INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, unasked};
use crate::gateway::mcp::upstream::{Ear, Level, Own, Related, Upstream, level_of};
use crate::json::RawJson;
use crate::mcp::{CallOptions, Events, Lasting, Params};

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// What exists no more in the later era.
const REMOVED: [&str; 5] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
];

pub(super) fn nothing() -> RawJson {
    RawJson::trusted("{}")
}

pub(super) fn unknown_method(method: &str) -> RpcError {
    RpcError::new(METHOD_NOT_FOUND, format!("Method not found: {method}"))
}

/// Answers a request.
pub(super) async fn request(
    up: &Upstream,
    asked: &Asked<'_>,
    parking: &Arc<Parking>,
) -> Result<RawJson, RpcError> {
    let is_modern = asked.client.described().is_modern();
    if !is_modern && asked.method == "ping" {
        return Ok(nothing());
    }
    if asked.method == "tools/call"
        && let Some(params) = &asked.params
    {
        policy::check(&asked.client.caller, up.config(), params)?;
    }
    let line = up.line(is_modern).await?;
    let instructions = up.config().policy.instructions.as_deref();
    if !is_modern && asked.method == "initialize" {
        let version = &asked.client.described().version;
        let name = &up.config().name;
        return Ok(describe::initialized(
            &line.described,
            version,
            name,
            instructions,
        ));
    }
    let counted = called(asked).map(|tool| asked.metrics.tool(&up.config().name, &tool));
    let answer = match (is_modern, line.has_handshake) {
        (false, true) => both_old(up, line.lasting, asked).await,
        (true, false) => both_new(up, asked, parking, instructions).await,
        (false, false) => old_client(up, asked).await,
        (true, true) if asked.method == "server/discover" => {
            Ok(describe::discovered(&line.described, instructions))
        }
        (true, true) => new_client(up, asked, parking).await,
    };
    if let Some(counted) = counted {
        counted.ended(answer.as_ref().ok());
    }
    match asked.method {
        "tools/list" => Ok(policy::offered(&asked.client.caller, up.config(), answer?)),
        _ => answer,
    }
}

/// The tool that a request calls.
fn called(asked: &Asked<'_>) -> Option<String> {
    let params = asked
        .params
        .as_ref()
        .filter(|_| asked.method == "tools/call")?;
    text_member(params.as_bytes(), "name")
}

/// Whether a client has to have a connection of its own: the server may ask it for something, or
/// keeps something for it that others must not see.
fn needs_own(up: &Upstream, asked: &Asked<'_>) -> bool {
    let mut abilities = asked.client.described().abilities();
    let policy = &up.config().policy;
    abilities.sampling &= policy.allow_sampling != Some(false);
    abilities.elicitation &= policy.allow_elicitation != Some(false);
    let makes_task = || {
        let params = asked.params.as_ref();
        params.is_some_and(|params| member(params.as_bytes(), "task").is_some())
    };
    abilities.any() || asked.method.starts_with("tasks/") || makes_task()
}

fn is_list(method: &str) -> bool {
    matches!(
        method,
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list"
    )
}

async fn both_old(
    up: &Upstream,
    lasting: &Lasting,
    asked: &Asked<'_>,
) -> Result<RawJson, RpcError> {
    let own = match up.own(asked.client) {
        None if asked.client.has_session() && !is_list(asked.method) && needs_own(up, asked) => {
            Some(up.own_or_new(asked.client)?)
        }
        own => own,
    };
    if let Some(own) = own {
        return alone(up, &own, asked).await;
    }
    let level = Ok(up.shared.level(asked.client));
    let params = asked.params.clone();
    let uri = || {
        let params = asked.params.as_ref();
        params.and_then(|params| text_member(params.as_bytes(), "uri"))
    };
    match asked.method {
        "resources/subscribe" => {
            let answer = share(up, lasting, asked, params, level).await?;
            if let Some(uri) = uri() {
                up.shared.subscribe(asked.client, &uri);
            }
            Ok(answer)
        }
        "resources/unsubscribe" => match uri() {
            Some(uri) if !up.shared.unsubscribe(asked.client, &uri) => Ok(nothing()),
            _ => share(up, lasting, asked, params, level).await,
        },
        "logging/setLevel" => {
            let Some((params, own)) = params
                .and_then(|params| Some((level_of(&params)?, params)))
                .map(|(level, params)| (params, level))
            else {
                return share(up, lasting, asked, asked.params.clone(), level).await;
            };
            let lowest = up.shared.set_level(asked.client, own);
            let told = format!("\"{}\"", lowest.name());
            let params = with_member(&params, "level", &told);
            share(up, lasting, asked, Some(params), level).await
        }
        _ => share(up, lasting, asked, params, level).await,
    }
}

async fn both_new(
    up: &Upstream,
    asked: &Asked<'_>,
    parking: &Parking,
    instructions: Option<&str>,
) -> Result<RawJson, RpcError> {
    if asked.method == "subscriptions/listen" {
        return listen::passed_on(up, asked).await;
    }
    let policy = &up.config().policy;
    let answer = if policy.allow_sampling.is_none() && policy.allow_elicitation.is_none() {
        // What comes on a channel that all share is for whoever asked for log lines.
        let level = own_level(asked).map_or(Err(()), |level| Ok(Some(level)));
        share(up, up.lasting(), asked, asked.params.clone(), level).await?
    } else {
        sampled::request(up, asked, &parking.halves).await?
    };
    if asked.method == "server/discover" && instructions.is_some() {
        return Ok(describe::discovered(&answer, instructions));
    }
    Ok(answer)
}

/// The level of log lines that a request of the later era asks for.
pub(super) fn own_level(asked: &Asked<'_>) -> Option<Level> {
    let meta = member(asked.params.as_ref()?.as_bytes(), "_meta")?;
    Level::named(&text_member(meta.get().as_bytes(), LOG_LEVEL)?)
}

async fn old_client(up: &Upstream, asked: &Asked<'_>) -> Result<RawJson, RpcError> {
    match asked.method {
        "logging/setLevel" => match asked.params.as_ref().and_then(level_of) {
            Some(level) => {
                up.shared.set_level(asked.client, level);
                Ok(nothing())
            }
            None => Err(RpcError::new(
                INVALID_PARAMS,
                "level takes debug, info, notice, warning, error, critical, alert or emergency",
            )),
        },
        "resources/subscribe" | "resources/unsubscribe" => listen::subscribe(up, asked).await,
        _ => rounds::request(up, asked).await,
    }
}

async fn new_client(
    up: &Upstream,
    asked: &Asked<'_>,
    parking: &Arc<Parking>,
) -> Result<RawJson, RpcError> {
    match asked.method {
        method if REMOVED.contains(&method) => Err(unknown_method(method)),
        "subscriptions/listen" => listen::gathered(up, asked).await,
        method
            if parking::may_want_input(method)
                && (needs_own(up, asked) || state_of(asked.params.as_ref()).is_some()) =>
        {
            parking.request(up, asked).await
        }
        method => {
            let level = own_level(asked).map_or(Err(()), |level| Ok(Some(level)));
            let params = asked.params.as_ref().map(without_envelope);
            let answer = share(up, up.lasting(), asked, params, level).await?;
            Ok(describe::completed(method, &answer))
        }
    }
}

/// Sends a request over the connection that all share. `Err` as level wants no log lines.
pub(super) async fn share(
    up: &Upstream,
    lasting: &Lasting,
    asked: &Asked<'_>,
    params: Option<RawJson>,
    level: Result<Option<Level>, ()>,
) -> Result<RawJson, RpcError> {
    let _turn = up.turn().await;
    let _under_way = up.shared.enter(asked.client, asked.outlet, level);
    let related = Related {
        outlet: Arc::clone(asked.outlet),
        level: level.unwrap_or_default(),
        asks: None,
        everybody: Arc::new(Ear::new(&up.shared, !std::ptr::eq(lasting, up.lasting()))),
    };
    send(lasting, asked, params, Arc::new(related)).await
}

/// Sends a request over the client's own connection.
async fn alone(up: &Upstream, own: &Own, asked: &Asked<'_>) -> Result<RawJson, RpcError> {
    let _turn = up.turn().await;
    let _under_way = own.ear.enter(asked.outlet);
    let related = Related {
        outlet: Arc::clone(asked.outlet),
        level: None,
        asks: Some(own.ear.asks(Some(Arc::clone(asked.outlet)))),
        everybody: Arc::<_>::clone(&own.ear) as Arc<dyn Events>,
    };
    send(&own.lasting, asked, asked.params.clone(), Arc::new(related)).await
}

pub(super) async fn send(
    lasting: &Lasting,
    asked: &Asked<'_>,
    params: Option<RawJson>,
    related: Arc<dyn Events>,
) -> Result<RawJson, RpcError> {
    let mut span = traced::begin(asked, lasting.name());
    let (params, headers) = traced::passed_on(&span, params);
    let options = CallOptions {
        verbatim: true,
        progress: params.as_ref().and_then(|params| progress(params, asked)),
        related: Some(related),
        headers,
        ..CallOptions::default()
    };
    let params = Params {
        object: params,
        meta: None,
    };
    let answer = lasting.request(asked.method, params, options).await;
    traced::end(&mut span, answer.as_ref());
    Ok(answer?)
}

/// Progress goes to the stream of the request, under the token that the client knows.
fn progress(params: &RawJson, asked: &Asked<'_>) -> Option<crate::mcp::session::ProgressListener> {
    let token = progress_token(params)?;
    let outlet = Arc::clone(asked.outlet);
    Some(Arc::new(move |params: RawJson| {
        let token = String::from_utf8_lossy(token.as_bytes());
        let told = with_member(&params, "progressToken", &token);
        outlet.send(unasked(None, "notifications/progress", Some(&told)));
    }))
}

/// What a client says without wanting an answer.
pub(super) async fn notification(
    up: &Upstream,
    client: &Client,
    method: &str,
    params: Option<&RawJson>,
) {
    // The connections of the gateway have shaken hands for themselves.
    if method == "notifications/initialized" {
        return;
    }
    let own = up.own(client);
    let is_about_the_client = matches!(
        method,
        "notifications/roots/list_changed" | "notifications/progress"
    );
    let lasting = match &own {
        Some(own) => &own.lasting,
        None if is_about_the_client => return,
        None => up.old_lasting(),
    };
    if let Err(failure) = lasting.notify(method, params.cloned()).await {
        tracing::debug!(
            target: "toolbridge::gateway", server = up.config().name,
            "{method} did not reach the server: {failure}"
        );
    }
}
