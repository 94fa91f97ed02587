//! Multi round-trip requests (MCP 2026-07-28): an answer that asks for input is answered by the
//! client's callbacks, and the request repeated with what they said.

use std::time::Duration;

use futures_util::future::try_join_all;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::era::removed_request;
use super::fields::{members, present};
use super::{Agreed, Client};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params, PeerError};
use crate::mcp::wire::Stateless;

/// The wait before a request is repeated that no input is wanted for: the server is not ready. It
/// doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

const INTERNAL_ERROR: i64 = -32_603;
/// How many requests one answer may hold; they are answered at once.
const MAXIMUM_WISHES: usize = 64;
const SHOWN_CHARACTERS: usize = 100;

/// What an answer that asks for input holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    #[serde(borrow, default)]
    input_requests: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_state: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct InputRequest<'a> {
    method: String,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl Client {
    /// Sends a request and repeats it for as long as the server wants input.
    pub(super) async fn request_modern(
        &self,
        agreed: &Agreed,
        method: &str,
        params: Params,
        options: CallOptions,
    ) -> Result<RawJson> {
        match method {
            "ping" => return self.sign_of_life(agreed, options).await,
            "logging/setLevel" => return self.set_log_level(agreed, params),
            _ => {}
        }
        if let Some(answer) = removed_request(method) {
            return answer;
        }
        let mut pause = FIRST_PAUSE;
        let mut rounds = 0;
        let mut sent = params.clone();
        loop {
            let answer = self
                .send_modern(agreed, method, sent, options.clone())
                .await?;
            match result_type(method, &answer)?.as_deref() {
                None | Some("complete") => return Ok(answer),
                Some("task") if self.setup.follows_tasks && may_be_task(method) => {
                    return Ok(answer);
                }
                Some("input_required") if options.allow_input_required => return Ok(answer),
                Some("input_required") => {}
                Some(other) => return Err(unknown_result(method, other)),
            }
            if !matches!(method, "tools/call" | "prompts/get" | "resources/read") {
                return Err(refusal(format!(
                    "the server answered {method} with a wish for input; only tools/call, \
                     prompts/get and resources/read may be answered so"
                )));
            }
            if rounds == self.setup.maximum_rounds {
                let message = format!(
                    "the server wanted input for {method} more than {rounds} times; raise \
                     input_required_max_rounds, or take the wishes with allow_input_required"
                );
                return Err(
                    Error::new(ErrorKind::InputRounds, message).map_context(|context| {
                        context.rpc_code = Some(INTERNAL_ERROR);
                        context.rpc_data = Some(json!({"maxRounds": rounds}).to_string());
                    }),
                );
            }
            rounds += 1;
            let wanted: InputRequired<'_> = serde_json::from_slice(answer.as_bytes())
                .map_err(|cause| unreadable(method).with_source(cause))?;
            if let Some(state) = wanted
                .request_state
                .filter(|state| !state.get().starts_with('"'))
            {
                return Err(refusal(format!(
                    "the server wants input for {method} with the requestState {}; it is a text",
                    shortened(state.get())
                )));
            }
            let responses = match wanted.input_requests {
                Some(requests) => {
                    pause = FIRST_PAUSE;
                    Some(self.fulfil(method, requests).await?)
                }
                None if wanted.request_state.is_some() => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    None
                }
                None => return Err(unreadable(method)),
            };
            sent = Params {
                object: Some(repeated(
                    params.object.as_ref(),
                    responses,
                    wanted.request_state,
                )?),
                meta: params.meta.clone(),
            };
        }
    }

    /// The revision has no `ping`; every server answers `server/discover`.
    async fn sign_of_life(&self, agreed: &Agreed, options: CallOptions) -> Result<RawJson> {
        let asked = self.send_modern(agreed, "server/discover", Params::default(), options);
        asked.await.map(|_| RawJson::trusted("{}"))
    }

    /// The level goes with each request from now on.
    fn set_log_level(&self, agreed: &Agreed, params: Params) -> Result<RawJson> {
        #[derive(Deserialize)]
        struct Level {
            level: String,
        }
        let object = params.object.unwrap_or_else(|| RawJson::trusted("{}"));
        let wanted: Level = serde_json::from_slice(object.as_bytes()).map_err(|cause| {
            Error::new(ErrorKind::Configuration, "level takes a str").with_source(cause)
        })?;
        let stamp = agreed.stamp.as_ref();
        self.agree(Agreed {
            stamp: stamp.map(|stamp| stamp.with_log_level(&wanted.level)),
            ..agreed.clone()
        });
        Ok(RawJson::trusted("{}"))
    }

    /// Sends one request with all that the revision asks for, and takes its answer as it is.
    pub(super) async fn send_modern(
        &self,
        agreed: &Agreed,
        method: &str,
        params: Params,
        mut options: CallOptions,
    ) -> Result<RawJson> {
        let Some(stamp) = &agreed.stamp else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a revision without a handshake was agreed on without the fields that it asks for",
            ));
        };
        let params = stamp.apply(method, params, &mut options.headers)?;
        let stateless = Stateless { subscriber: None };
        self.session
            .send(method, params, options, Some(stateless))
            .await
    }

    /// Asks the callbacks for all that is wanted, at once; the text of the responses. The first
    /// refusal ends the call.
    pub(super) async fn fulfil(&self, method: &str, requests: &RawValue) -> Result<String> {
        let requests = RawJson::trusted(requests.get().to_owned());
        let asked = members(&requests).map_err(|_| unreadable(method))?;
        if asked.len() > MAXIMUM_WISHES {
            return Err(refusal(format!(
                "the server wants {} inputs for {method} at once; at most {MAXIMUM_WISHES} are given",
                asked.len()
            )));
        }
        let answers = asked.into_iter().map(|(key, request)| async move {
            let request: InputRequest<'_> = serde_json::from_str(request.get())
                .map_err(|cause| unreadable(method).with_source(cause))?;
            let params = request
                .params
                .map(|params| RawJson::trusted(params.get().to_owned()));
            let answer = match self.link.events() {
                Some(events) => events.request(&request.method, params).await,
                None => Err(PeerError::method_not_found(&request.method)),
            };
            let answer = answer.map_err(refused)?;
            let text = String::from_utf8_lossy(answer.as_bytes()).into_owned();
            Ok::<_, Error>(format!("{}:{text}", Value::from(&*key)))
        });
        Ok(format!("{{{}}}", try_join_all(answers).await?.join(",")))
    }
}

/// The parameters of a request that is repeated: those of the first time, with the responses and the
/// state of this round alone.
fn repeated(
    object: Option<&RawJson>,
    responses: Option<String>,
    state: Option<&RawValue>,
) -> Result<RawJson> {
    let mut pieces = Vec::new();
    if let Some(object) = object {
        for (name, value) in members(object)? {
            if !matches!(&*name, "inputResponses" | "requestState") {
                pieces.push(format!("{}:{}", Value::from(&*name), value.get()));
            }
        }
    }
    pieces.extend(responses.map(|text| format!("\"inputResponses\":{text}")));
    pieces.extend(state.map(|text| format!("\"requestState\":{}", text.get())));
    Ok(RawJson::trusted(format!("{{{}}}", pieces.join(","))))
}

/// What kind of result an answer is; none is a complete one.
///
/// # Errors
/// It says so with something else than a text.
pub(super) fn result_type(method: &str, answer: &RawJson) -> Result<Option<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        result_type: Option<&'a RawValue>,
    }
    // Most of a long answer is not read for this.
    if memmem::find(answer.as_bytes(), b"\"resultType\"").is_none() {
        return Ok(None);
    }
    let typed: Typed<'_> = serde_json::from_slice(answer.as_bytes()).map_err(|cause| {
        refusal(format!(
            "the answer to {method} is no result that can be read"
        ))
        .with_source(cause)
    })?;
    let Some(told) = typed.result_type else {
        return Ok(None);
    };
    serde_json::from_str(told.get()).map(Some).map_err(|cause| {
        let found = shortened(told.get());
        refusal(format!(
            "the server answered {method} with the resultType {found}; it is a text, such as \
             \"complete\""
        ))
        .with_source(cause)
    })
}

/// The start of what a server said, short enough for a sentence.
pub(super) fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// Only calls of tools become tasks; servers also call what they say of a task one.
fn may_be_task(method: &str) -> bool {
    method == "tools/call" || method.starts_with("tasks/")
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Mcp, message)
        .map_context(|context| context.rpc_code = Some(INTERNAL_ERROR))
}

fn unknown_result(method: &str, found: &str) -> Error {
    let found = shortened(found);
    refusal(format!(
        "the server answered {method} with a result of the type {found:?}; this client knows \
         \"complete\" and \"input_required\""
    ))
}

fn unreadable(method: &str) -> Error {
    refusal(format!(
        "the server wants input for {method} and does not say which: inputRequests is no object of \
         requests, and there is no requestState"
    ))
}

/// The callback's refusal is that of the call.
fn refused(failure: PeerError) -> Error {
    let data = failure.data.map(RawJson::into_bytes);
    Error::new(ErrorKind::Mcp, failure.message).map_context(|context| {
        context.rpc_code = Some(i64::from(failure.code));
        context.rpc_data = data.map(|data| String::from_utf8_lossy(&data).into_owned());
    })
}
