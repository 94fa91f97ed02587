//! A client with a handshake at a server without one: what the server wants is asked of the client on
//! the stream of its request, and the request repeated with the answers.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Asked;
use super::splice::{appended, members, named, result_type, with_meta, without};
use crate::gateway::mcp::client::Described;
use crate::gateway::mcp::message::{INTERNAL_ERROR, RpcError};
use crate::gateway::mcp::upstream::{Level, Upstream, allowed, is_allowed, is_sampled_here};
use crate::json::RawJson;
use crate::mcp::client::{MODERN_VERSIONS, Profile};

/// How often one request is repeated.
pub(super) const MAXIMUM_ROUNDS: usize = 32;
/// The wait before a request is repeated that nothing is wanted for; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an answer wants before there is another one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted<'a> {
    #[serde(borrow, default)]
    pub(super) input_requests: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) request_state: Option<&'a RawValue>,
}

impl<'a> Wanted<'a> {
    pub(super) fn read(answer: &'a RawJson) -> Result<Self, RpcError> {
        serde_json::from_slice(answer.as_bytes())
            .map_err(|_| broken("input_required without a word of what"))
    }
}

/// One thing that is wanted: a request of the server.
#[derive(Deserialize)]
pub(super) struct Wish<'a> {
    pub(super) method: String,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl<'a> Wish<'a> {
    /// Reads one that the configuration lets the server have.
    pub(super) fn read(text: &'a RawValue, up: &Upstream) -> Result<Self, RpcError> {
        let wish: Self =
            serde_json::from_str(text.get()).map_err(|_| broken("a wish that is no request"))?;
        if is_allowed(&up.config().policy, &wish.method) {
            return Ok(wish);
        }
        Err(broken(&format!(
            "a wish for {}, which the configuration of the gateway does not let it have",
            wish.method
        )))
    }

    pub(super) fn params(&self) -> Option<RawJson> {
        let params = self.params?;
        Some(RawJson::trusted(params.get().to_owned()))
    }
}

/// Sends a request until its answer is complete.
pub(super) async fn request(up: &Upstream, asked: &Asked<'_>) -> Result<RawJson, RpcError> {
    let level = up.shared.level(asked.client);
    let mut described = (*asked.client.described()).clone();
    let ours = described.capabilities.take();
    let ours = ours.unwrap_or_else(|| RawJson::trusted("{}"));
    described.capabilities = Some(allowed(&ours, &up.config().policy));
    let params = stamped(asked.params.as_ref(), &described, level);
    let mut sent = params.clone();
    let mut pause = FIRST_PAUSE;
    for _ in 0..=MAXIMUM_ROUNDS {
        let answer = super::direct::share(up, up.lasting(), asked, Some(sent), Ok(level)).await?;
        if result_type(&answer).as_deref() != Some("input_required") {
            return Ok(answer);
        }
        let wanted = Wanted::read(&answer)?;
        let mut pieces = Vec::new();
        match wanted.input_requests {
            Some(requests) => {
                pause = FIRST_PAUSE;
                pieces.push(named(
                    "inputResponses",
                    &fulfilled(up, asked, requests).await?,
                ));
            }
            None if wanted.request_state.is_some() => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            None => return Err(broken("input_required without a word of what")),
        }
        if let Some(state) = wanted.request_state {
            pieces.push(named("requestState", state.get()));
        }
        sent = again(&params, &pieces);
    }
    Err(broken("input_required again and again"))
}

/// A request anew, with these members of its round.
pub(super) fn again(params: &RawJson, pieces: &[String]) -> RawJson {
    let params = without(params.as_bytes(), &["inputResponses", "requestState"]);
    appended(params.as_bytes(), &pieces.join(","))
}

pub(super) fn broken(what: &str) -> RpcError {
    let message = format!("the server answered with {what}, so the request has no answer");
    RpcError::new(INTERNAL_ERROR, message)
}

/// Asks the client for all that is wanted, at once.
async fn fulfilled(
    up: &Upstream,
    asked: &Asked<'_>,
    requests: &RawValue,
) -> Result<String, RpcError> {
    let (policy, abilities) = (&up.config().policy, asked.client.described().abilities());
    let wishes = members(requests.get().as_bytes()).into_iter();
    let answers = wishes.map(|(key, wish)| async move {
        let wish = Wish::read(wish, up)?;
        let params = wish.params();
        let answer = if is_sampled_here(policy, abilities, &wish.method) {
            up.shared.sampler().answer(params).await
        } else {
            let asking = asked.client;
            asking
                .ask(Some(asked.outlet), &wish.method, params.as_ref())
                .await
        };
        let answer = answer.map_err(RpcError::from)?;
        let text = String::from_utf8_lossy(answer.as_bytes()).into_owned();
        Ok::<_, RpcError>(named(&key, &text))
    });
    Ok(format!("{{{}}}", try_join_all(answers).await?.join(",")))
}

/// Parameters with all that a request of the later era carries, in the name of the client.
pub(super) fn stamped(
    params: Option<&RawJson>,
    described: &Described,
    level: Option<Level>,
) -> RawJson {
    let profile = Profile::default();
    let text = |raw: &RawJson| String::from_utf8_lossy(raw.as_bytes()).into_owned();
    let version = MODERN_VERSIONS.last().copied().unwrap_or_default();
    let info = described.info.as_ref().unwrap_or(&profile.client_info);
    let mut fields: Vec<(&str, Cow<'_, str>)> = vec![
        (
            "io.modelcontextprotocol/protocolVersion",
            format!("\"{version}\"").into(),
        ),
        ("io.modelcontextprotocol/clientInfo", text(info).into()),
        (
            "io.modelcontextprotocol/clientCapabilities",
            capabilities(described).into(),
        ),
    ];
    if let Some(level) = level {
        let level = format!("\"{}\"", level.name());
        fields.push(("io.modelcontextprotocol/logLevel", level.into()));
    }
    with_meta(params, &fields)
}

/// The later era has no news of roots.
fn capabilities(described: &Described) -> String {
    let Some(own) = &described.capabilities else {
        return "{}".to_owned();
    };
    if let Ok(mut value) = own.to_value()
        && let Some(roots) = value
            .get_mut("roots")
            .and_then(|roots| roots.as_object_mut())
        && roots.remove("listChanged").is_some()
    {
        return value.to_string();
    }
    String::from_utf8_lossy(own.as_bytes()).into_owned()
}
