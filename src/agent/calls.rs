//! The calls of one round, side by side. Owns [`Round`]: whatever goes wrong with a call is told to the
//! model, and costs the other calls nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::approval::{Approver, Decision};
use super::event::{Event, Listener, raw};
use super::offer::{BuiltIn, Offer, Owner};
use super::outcome::{Call, Done};
use super::results::Rests;
use super::toolbox::{CallTerms, Toolbox};
use super::turn::Called;
use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::tools::arguments;

/// What the calls of a round need.
pub(super) struct Round<'a> {
    pub(super) number: u32,
    pub(super) offer: &'a Offer,
    pub(super) toolbox: &'a dyn Toolbox,
    pub(super) approver: Option<&'a dyn Approver>,
    /// Held while somebody is asked.
    pub(super) asking: Mutex<()>,
    pub(super) listener: Option<&'a Listener>,
    pub(super) max_parallel: usize,
    pub(super) tool_timeout: Option<Duration>,
    /// How many tokens of a result the model is shown at once.
    pub(super) result_tokens: Option<u64>,
    pub(super) rests: &'a Rests,
}

/// What became of the calls.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Those that are over.
    pub(super) done: Vec<Done>,
    /// Those that wait for a decision.
    pub(super) deferred: Vec<Call>,
    /// Those that are the caller's.
    pub(super) callers: Vec<Call>,
}

enum One {
    Done(Box<Done>),
    Deferred(Call),
    Caller(Call),
}

/// The result that is a text.
fn said(text: &str) -> RawJson {
    RawJson::trusted(json!({"content": [{"type": "text", "text": text}]}).to_string())
}

/// The result that tells a model what went wrong.
pub(super) fn failed(why: &str) -> RawJson {
    let result = json!({"content": [{"type": "text", "text": why}], "isError": true});
    RawJson::trusted(result.to_string())
}

fn is_error(result: &RawJson) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        #[serde(default)]
        is_error: Option<bool>,
    }
    let told = serde_json::from_slice::<Told>(result.as_bytes());
    told.is_ok_and(|told| told.is_error == Some(true))
}

impl Round<'_> {
    /// Carries out the calls, at most `max_parallel` of them at once; `decided` are the decisions that
    /// are known already, by the ids of the calls.
    ///
    /// # Errors
    /// Whoever was asked about a call failed; the calls that are under way are cancelled.
    pub(super) async fn carry_out(
        &self,
        calls: Vec<Called>,
        decided: &[(String, Decision)],
    ) -> Result<Carried> {
        let mut outcomes = stream::iter(calls)
            .map(|called| self.one(called, decided))
            .buffered(self.max_parallel.max(1));
        let mut carried = Carried::default();
        while let Some(outcome) = outcomes.next().await {
            match outcome? {
                One::Done(done) => carried.done.push(*done),
                One::Deferred(call) => carried.deferred.push(call),
                One::Caller(call) => carried.callers.push(call),
            }
        }
        Ok(carried)
    }

    async fn one(&self, called: Called, decided: &[(String, Decision)]) -> Result<One> {
        let started = Instant::now();
        let mut call = match called {
            Called::Function(call) => call,
            Called::Other { id, kind } => {
                let why = format!("A call of the kind {kind:?} cannot be carried out here.");
                let (name, server, arguments) = (kind, None, String::new());
                let call = Call {
                    id,
                    name,
                    server,
                    arguments,
                };
                return Ok(self.over(call, None, failed(&why), started).await);
            }
        };
        match self.built_in(&mut call) {
            None => {}
            Some(Ok(result)) => return Ok(self.over(call, None, result, started).await),
            Some(Err(why)) => return Ok(self.over(call, None, failed(&why), started).await),
        }
        let offered = match self.offer.owner(&call.name) {
            Ok(Owner::Server(offered)) => Arc::clone(offered),
            Ok(Owner::Caller) => return Ok(One::Caller(call)),
            // What is called through another tool is a tool of a server.
            Ok(Owner::BuiltIn(_)) => {
                let why = failed("This tool calls the tools that were found, and no other.");
                return Ok(self.over(call, None, why, started).await);
            }
            Err(why) => return Ok(self.over(call, None, failed(&why), started).await),
        };
        call.server.clone_from(&offered.tool.server);
        call.name.clone_from(&offered.tool.name);
        let usable = |text: &str| match arguments(text) {
            Ok(text) => offered.check(text).map(|()| text.to_owned()),
            Err(why) => Err(format!(
                "The arguments are {}. Call the tool again with a JSON object.",
                why.message()
            )),
        };
        let mut sent = match usable(&call.arguments) {
            Ok(sent) => sent,
            Err(why) => return Ok(self.over(call, None, failed(&why), started).await),
        };
        let mut changed = None;
        match self.decide(&call, decided).await? {
            Decision::Allow => {}
            Decision::AllowWith(other) => {
                let text = String::from_utf8_lossy(other.as_bytes()).into_owned();
                match usable(&text) {
                    Ok(text) => sent = text,
                    Err(why) => {
                        return Ok(self.over(call, Some(other), failed(&why), started).await);
                    }
                }
                changed = Some(other);
            }
            Decision::Refuse(why) => {
                let why = match why {
                    Some(why) => format!("The call was not approved: {why}"),
                    None => "The call was not approved.".to_owned(),
                };
                return Ok(self.over(call, None, failed(&why), started).await);
            }
            Decision::Defer => return Ok(One::Deferred(call)),
        }
        let result = self.ask(&call, RawJson::trusted(sent)).await;
        let result = result.unwrap_or_else(|failure| failed(&told(&call, &failure)));
        Ok(self.over(call, changed, result, started).await)
    }

    /// Does what is the run's own to do, and says what came of it. A call of a tool that was found
    /// becomes the call of that tool: none, for it goes the way of all calls.
    fn built_in(&self, call: &mut Call) -> Option<Result<RawJson, String>> {
        let Ok(Owner::BuiltIn(what)) = self.offer.owner(&call.name) else {
            return None;
        };
        let sent = match arguments(&call.arguments) {
            Ok(sent) => sent.to_owned(),
            Err(why) => return Some(Err(format!("The arguments are {}.", why.message()))),
        };
        match what {
            BuiltIn::Search => Some(self.offer.search(&sent).map(|found| said(&found))),
            BuiltIn::Call => {
                #[derive(Deserialize)]
                struct Inner<'a> {
                    name: String,
                    #[serde(borrow, default)]
                    arguments: Option<&'a RawValue>,
                }
                let Ok(inner) = serde_json::from_str::<Inner<'_>>(&sent) else {
                    let why = "A call takes {\"name\": \"the tool\", \"arguments\": {…}}.";
                    return Some(Err(why.to_owned()));
                };
                // Some models write the arguments as text.
                let text = inner.arguments.map_or("{}", RawValue::get);
                let within = serde_json::from_str::<String>(text);
                call.arguments = within.unwrap_or_else(|_| text.to_owned());
                call.name = inner.name;
                None
            }
            BuiltIn::ReadMore => {
                let value: Value = serde_json::from_str(&sent).unwrap_or_default();
                let id = value["id"].as_str().unwrap_or_default();
                let name = self.offer.name_of(BuiltIn::ReadMore);
                let budget = self.result_tokens.unwrap_or(u64::MAX);
                Some(match self.rests.read_on(id, budget, name) {
                    Ok(Some(rest)) => Ok(rest),
                    Ok(None) => Err(format!("There is nothing to read under {id:?}.")),
                    Err(failure) => Err(failure.message().to_owned()),
                })
            }
        }
    }

    /// As much of a result as the model is shown.
    fn shown(&self, call: &Call, result: &RawJson) -> RawJson {
        let read_more = self.offer.name_of(BuiltIn::ReadMore);
        let Some(budget) = self.result_tokens.filter(|_| call.name != read_more) else {
            return result.clone();
        };
        let cut = self.rests.cut(result, budget, read_more);
        cut.unwrap_or_else(|_| result.clone())
    }

    async fn decide(&self, call: &Call, decided: &[(String, Decision)]) -> Result<Decision> {
        if let Some((_, decision)) = decided.iter().find(|(id, _)| *id == call.id) {
            return Ok(decision.clone());
        }
        let Some(approver) = self.approver else {
            return Ok(Decision::Allow);
        };
        let _asking = self.asking.lock().await;
        approver.decide(call).await
    }

    async fn ask(&self, call: &Call, sent: RawJson) -> Result<RawJson> {
        let terms = CallTerms {
            progress: self.listener.map(|listener| {
                let (listener, id, round) = (listener.clone(), call.id.clone(), self.number);
                Arc::new(move |params: RawJson| {
                    if let Ok(report) = params.to_value() {
                        let id = id.clone();
                        listener.mention(Event::ToolCallProgress { round, id, report });
                    }
                }) as _
            }),
        };
        let answer = self.toolbox.call(call.name.clone(), sent, terms);
        let Some(limit) = self.tool_timeout else {
            return answer.await;
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Ok(failed(&format!(
                "The tool {:?} did not answer within {} s.",
                call.name,
                limit.as_secs_f64()
            ))),
        }
    }

    async fn over(
        &self,
        call: Call,
        changed: Option<RawJson>,
        result: RawJson,
        started: Instant,
    ) -> One {
        let done = Done {
            is_error: is_error(&result),
            shown: self.shown(&call, &result),
            call,
            changed,
            result,
            took: started.elapsed(),
        };
        if let Some(listener) = self.listener {
            let sent = done.changed.as_ref().map(|sent| raw(sent.as_bytes()));
            let sent = sent.or_else(|| {
                let text = arguments(&done.call.arguments).ok()?;
                Some(raw(text.as_bytes()))
            });
            listener
                .tell(Event::ToolCallFinished {
                    round: self.number,
                    id: done.call.id.clone(),
                    name: done.call.name.clone(),
                    server: done.call.server.clone(),
                    arguments: sent,
                    result: raw(done.result.as_bytes()),
                    is_error: done.is_error,
                    seconds: done.took.as_secs_f64(),
                })
                .await;
        }
        One::Done(Box::new(done))
    }
}

/// What a model is told of a call that failed on the way.
fn told(call: &Call, failure: &Error) -> String {
    format!("The tool {:?} failed: {}", call.name, failure.message())
}
