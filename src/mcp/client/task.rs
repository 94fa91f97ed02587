//! Calls that a server runs as tasks: the extension `io.modelcontextprotocol/tasks` (SEP-2663) of
//! 2026-07-28, and the experimental tasks of 2025-11-25. A task is polled until it has a result, and
//! looked at as soon as the server tells of it; the input that it wants is given, and one that nobody
//! waits for any more is cancelled.
//!
//! | module | owns |
//! |---|---|
//! | `state` | one state of a task, as the server told it |
//! | `news` | what the server says of tasks unasked |

mod news;
mod state;

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub(super) use news::TaskNews;
use news::Watch;
pub(super) use state::is_created;
use state::{Status, Task};

use super::fields::members;
use super::rounds::{result_type, shortened};
use super::{Client, Era};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params, REQUEST_TIMEOUT_CODE, Session};
use crate::mcp::wire::Stateless;

/// The extension of 2026-07-28.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// How long to wait between two looks at a task whose server does not say.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Whatever the server says.
const SHORTEST_POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_mins(5);
/// How long the server may take to hear that a task is not wanted any more.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);

/// How many inputs one task is given.
const MAXIMUM_ANSWERED: usize = 1_000;

const INTERNAL_ERROR: i64 = -32_603;

/// Whether a server of 2025-11-25 runs calls as tasks; `described` is its answer to `initialize`.
pub(super) fn is_offered(described: &RawJson) -> bool {
    let Ok(described) = described.to_value() else {
        return false;
    };
    described
        .pointer("/capabilities/tasks/requests/tools/call")
        .is_some_and(Value::is_object)
}

/// The parameters of a call that asks for a task of 2025-11-25, unless they do already.
pub(super) fn augmented(params: &Params) -> Result<RawJson> {
    let object = params
        .object
        .clone()
        .unwrap_or_else(|| RawJson::trusted("{}"));
    let mut pieces = Vec::new();
    for (name, value) in members(&object)? {
        if name == "task" {
            return Ok(object.clone());
        }
        pieces.push(format!("{}:{}", Value::from(&*name), value.get()));
    }
    pieces.push("\"task\":{}".to_owned());
    Ok(RawJson::trusted(format!("{{{}}}", pieces.join(","))))
}

/// How long to wait before the next look.
#[derive(Debug)]
struct Waits {
    next: Duration,
}

impl Waits {
    /// The server's interval, or one that grows; a little longer at random, so that many tasks that
    /// began together are not asked for together.
    fn next(&mut self, wished: Option<Duration>) -> Duration {
        let wait = if let Some(wished) = wished {
            wished.clamp(SHORTEST_POLL, LONGEST_POLL)
        } else {
            let wait = self.next;
            self.next = (wait * 3 / 2).min(LONGEST_WAIT);
            wait
        };
        let parts = u32::try_from(RandomState::new().build_hasher().finish() % 100).unwrap_or(0);
        wait + wait / 10 * parts / 100
    }
}

impl Client {
    /// Waits for the result of a task, `created` being what the server said of it last; the text of
    /// the final result.
    ///
    /// `timeout` of `options` is for each request, `task_timeout` for the whole; the lifetime that the
    /// server gives the task bounds it too. With `cancels`, a task that is given up is cancelled, as
    /// it is when the future is dropped.
    pub(super) async fn finish_task(
        &self,
        created: RawJson,
        options: &CallOptions,
        cancels: bool,
    ) -> Result<RawJson> {
        let mut task = Task::read(&created, "tools/call")?;
        let mut guard = self.task_guard(&task.id)?;
        guard.is_wanted = !cancels;
        let mut is_over = false;
        let following = self.follow(&mut task, options, &mut is_over);
        let outcome = match options.task_timeout {
            Some(limit) => tokio::time::timeout(limit, following).await.ok(),
            None => Some(following.await),
        };
        let outcome = outcome.unwrap_or_else(|| {
            is_over = true;
            Err(timed_out(format!(
                "the task did not end within {} s; give it more time with task_timeout_seconds",
                options.task_timeout.unwrap_or_default().as_secs_f64()
            )))
        });
        // A task that failed to answer once may still be asked for; one that is given up may not.
        guard.is_wanted = !(cancels && is_over);
        let (id, status) = (shortened(&task.id), task.status);
        outcome.map_err(|failure| {
            if matches!(status, Status::Failed | Status::Cancelled) {
                return failure;
            }
            let said = task
                .message
                .as_deref()
                .map_or(String::new(), |said| format!(": {}", shortened(said)));
            // It may have a result later on, and then it has a name to be asked by.
            let message = format!(
                "{} (task {id:?}, last seen {}{said})",
                failure.message(),
                status.name()
            );
            Error::new(failure.kind(), message)
                .with_context(failure.context().clone())
                .with_source(failure)
        })
    }

    /// The result of a task that was handed out, checked as that of a call of `tool`.
    pub async fn task_result(
        &self,
        tool: Option<&str>,
        created: RawJson,
        options: &CallOptions,
    ) -> Result<RawJson> {
        let result = self.finish_task(created, options, false).await?;
        if let Some(tool) = tool {
            self.check_output(tool, &result, options).await?;
        }
        Ok(result)
    }

    /// Looks at a task until it has ended; `is_over` is set when its own lifetime was over first.
    async fn follow(
        &self,
        task: &mut Task,
        options: &CallOptions,
        is_over: &mut bool,
    ) -> Result<RawJson> {
        let started = Instant::now();
        let is_modern = self
            .agreed()
            .is_some_and(|agreed| agreed.era() == Era::Modern);
        let mut answered = HashSet::new();
        let mut waits = Waits { next: FIRST_WAIT };
        let mut shown: Option<(Status, Option<String>)> = None;
        let mut is_seed = true;
        let id = task.id.clone();
        let mut watch = Watch::new(self, &id, is_modern);
        loop {
            let state = Some((task.status, task.message.clone()));
            if shown != state {
                if let Some(listener) = &options.task_status {
                    listener(task.text.clone());
                }
                shown = state;
            }
            match (task.status, is_modern) {
                (Status::Completed | Status::Failed, true) => {
                    let outcome = task.outcome();
                    match (outcome.result, outcome.error, is_seed) {
                        (Some(result), _, _) if task.status == Status::Completed => {
                            return final_result(&task.id, result);
                        }
                        (_, Some(error), _) => return Err(failed(&task.id, error.get())),
                        // The first state comes without what the task ended in.
                        (_, _, true) => {}
                        _ => {
                            return Err(refusal(format!(
                                "the server says that the task {:?} has ended, without its result",
                                task.id
                            )));
                        }
                    }
                }
                // Its answer is the result, or the error that the call failed with. While the task
                // waits for input, the server asks for it until then.
                (Status::Completed | Status::Failed | Status::InputRequired, false) => {
                    let asked = CallOptions {
                        timeout: None,
                        ..CallOptions::default()
                    };
                    let asking = self.ask_task(&task.id, "tasks/result", "", asked);
                    let result = match task
                        .lifetime
                        .filter(|_| task.status == Status::InputRequired)
                    {
                        Some(lifetime) => {
                            let rest = lifetime.saturating_sub(started.elapsed());
                            tokio::time::timeout(rest, asking).await.ok()
                        }
                        None => Some(asking.await),
                    };
                    let Some(result) = result else {
                        *is_over = true;
                        return Err(outlived(task.lifetime));
                    };
                    let result = result?;
                    if is_created(&result, false) {
                        return Err(another_task(&task.id));
                    }
                    return Ok(result);
                }
                (Status::Cancelled, _) => {
                    let why = task
                        .message
                        .as_deref()
                        .map_or(String::new(), |why| format!(": {why}"));
                    return Err(refusal(format!(
                        "the server cancelled the task {:?}{why}",
                        shortened(&task.id)
                    )));
                }
                (Status::InputRequired, true) => {
                    self.give_input(task, &mut answered, options).await?;
                }
                (Status::Working, _) => {}
            }
            let rest = task
                .lifetime
                .map(|lifetime| lifetime.saturating_sub(started.elapsed()));
            if rest == Some(Duration::ZERO) {
                *is_over = true;
                return Err(outlived(task.lifetime));
            }
            let at_once = is_seed && matches!(task.status, Status::Completed | Status::Failed);
            if !at_once {
                let wait = waits.next(task.poll);
                watch.wait(rest.map_or(wait, |rest| wait.min(rest))).await;
            }
            is_seed = false;
            let asked = CallOptions {
                timeout: options.timeout,
                ..CallOptions::default()
            };
            let answer = self.ask_task(&task.id, "tasks/get", "", asked).await?;
            let seen = Task::read(&answer, "tasks/get")?;
            if seen.id != task.id {
                return Err(refusal(format!(
                    "the server was asked about the task {:?} and answered with the task {:?}",
                    shortened(&task.id),
                    shortened(&seen.id)
                )));
            }
            *task = seen;
        }
    }

    /// Answers the requests of a task that were not answered before.
    async fn give_input(
        &self,
        task: &Task,
        answered: &mut HashSet<String>,
        options: &CallOptions,
    ) -> Result<()> {
        let Some(requests) = task.outcome().input_requests else {
            return Ok(());
        };
        let requests = RawJson::trusted(requests.get().to_owned());
        let unanswered: Vec<String> = members(&requests)?
            .into_iter()
            .filter(|(key, _)| answered.insert(key.clone().into_owned()))
            .map(|(key, request)| format!("{}:{}", Value::from(&*key), request.get()))
            .collect();
        if unanswered.is_empty() {
            return Ok(());
        }
        if answered.len() > MAXIMUM_ANSWERED {
            return Err(refusal(format!(
                "the task {:?} wants more than {MAXIMUM_ANSWERED} inputs",
                shortened(&task.id)
            )));
        }
        let wanted = RawValue::from_string(format!("{{{}}}", unanswered.join(",")));
        let wanted = wanted.map_err(|cause| {
            refusal("the input that a task wants cannot be read".to_owned()).with_source(cause)
        })?;
        let responses = self.fulfil("tools/call", &wanted).await?;
        let asked = CallOptions {
            timeout: options.timeout,
            ..CallOptions::default()
        };
        let more = format!(",\"inputResponses\":{responses}");
        self.ask_task(&task.id, "tasks/update", &more, asked)
            .await?;
        Ok(())
    }

    async fn ask_task(
        &self,
        id: &str,
        method: &str,
        more: &str,
        options: CallOptions,
    ) -> Result<RawJson> {
        let object = Some(naming(id, more));
        self.exchange(method, Params { object, meta: None }, options)
            .await
    }

    fn task_guard(&self, id: &str) -> Result<TaskGuard> {
        let object = Some(naming(id, ""));
        let mut params = Params { object, meta: None };
        let mut headers = HeaderMap::new();
        let stamp = self.agreed().and_then(|agreed| agreed.stamp.clone());
        let is_modern = stamp.is_some();
        if let Some(stamp) = stamp {
            params = stamp.apply("tasks/cancel", params, &mut headers)?;
        }
        Ok(TaskGuard {
            session: Arc::clone(&self.session),
            params,
            headers,
            is_modern,
            is_wanted: false,
        })
    }
}

fn naming(id: &str, more: &str) -> RawJson {
    RawJson::trusted(format!("{{\"taskId\":{}{more}}}", Value::from(id)))
}

/// Cancels a task that its caller gave up.
struct TaskGuard {
    session: Arc<Session>,
    params: Params,
    headers: HeaderMap,
    is_modern: bool,
    /// Somebody has its outcome, or may ask for it again.
    is_wanted: bool,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.is_wanted {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let session = Arc::clone(&self.session);
        let params = self.params.clone();
        let options = CallOptions {
            timeout: Some(FAREWELL_PATIENCE),
            headers: std::mem::take(&mut self.headers),
            ..CallOptions::default()
        };
        let stateless = self.is_modern.then_some(Stateless { subscriber: None });
        runtime.spawn(async move {
            // A server that refuses, or that is gone, has nothing to cancel.
            let _ = session
                .send("tasks/cancel", params, options, stateless)
                .await;
        });
    }
}

/// The JSON-RPC error that a task ended in.
fn failed(id: &str, error: &str) -> Error {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(default)]
        code: Option<i64>,
        #[serde(default)]
        message: Option<String>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let wire = serde_json::from_str::<Wire<'_>>(error);
    let Ok(wire) = wire else {
        return refusal(format!("the task {id:?} failed: {error}"));
    };
    let message = wire
        .message
        .unwrap_or_else(|| format!("the task {id:?} failed without a reason"));
    Error::new(ErrorKind::Mcp, message).map_context(|context| {
        context.rpc_code = wire.code;
        context.rpc_data = wire.data.map(|data| data.get().to_owned());
    })
}

/// The result that a task ended in, which is no other task and no wish for input.
fn final_result(id: &str, result: &RawValue) -> Result<RawJson> {
    let result = RawJson::trusted(result.get().to_owned());
    match result_type("tasks/get", &result)?.as_deref() {
        None | Some("complete") => Ok(result),
        Some("task") => Err(another_task(id)),
        Some(other) => Err(refusal(format!(
            "the task {:?} ended in a result of the type {:?}; it has to be \"complete\"",
            shortened(id),
            shortened(other)
        ))),
    }
}

fn another_task(id: &str) -> Error {
    refusal(format!(
        "the result of the task {:?} is another task; a task ends in the result of its call",
        shortened(id)
    ))
}

fn timed_out(message: String) -> Error {
    Error::new(ErrorKind::McpTimeout, message)
        .map_context(|context| context.rpc_code = Some(REQUEST_TIMEOUT_CODE))
}

fn outlived(lifetime: Option<Duration>) -> Error {
    timed_out(format!(
        "the task did not end within the {} s for which its server keeps it (ttl)",
        lifetime.unwrap_or_default().as_secs_f64()
    ))
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Mcp, message)
        .map_context(|context| context.rpc_code = Some(INTERNAL_ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_call_asks_for_a_task_once() {
        let of = |text: &str| {
            let object = Some(raw(text));
            augmented(&Params { object, meta: None }).unwrap()
        };
        assert_eq!(of(r#"{"name":"a"}"#), raw(r#"{"name":"a","task":{}}"#));
        assert_eq!(of(r#"{"task":{"ttl":1}}"#), raw(r#"{"task":{"ttl":1}}"#));
        assert!(is_offered(&raw(
            r#"{"capabilities":{"tasks":{"requests":{"tools":{"call":{}}}}}}"#
        )));
        assert!(!is_offered(&raw(r#"{"capabilities":{"tasks":{}}}"#)));
    }

    #[test]
    fn the_wait_is_the_servers_within_bounds_or_grows() {
        let mut waits = Waits { next: FIRST_WAIT };
        for (wished, least) in [
            (0, SHORTEST_POLL),
            (3_000, Duration::from_secs(3)),
            (u64::MAX, LONGEST_POLL),
        ] {
            let wait = waits.next(Some(Duration::from_millis(wished)));
            assert!(wait >= least && wait <= least + least / 10, "{wait:?}");
        }
        let grown: Vec<Duration> = (0..20).map(|_| waits.next(None)).collect();
        assert!(grown[0] >= FIRST_WAIT && grown[0] < grown[3]);
        assert!(grown[19] >= LONGEST_WAIT && grown[19] <= LONGEST_WAIT + LONGEST_WAIT / 10);
    }
}
