//! Calls that a server runs as tasks: the extension `io.modelcontextprotocol/tasks` (SEP-2663) of
//! 2026-07-28, and the experimental tasks of 2025-11-25. A task is polled until it has a result, the
//! input that it wants is given, and one that nobody waits for any more is cancelled.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::members;
use super::rounds::result_type;
use super::{Client, Era};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params, Session};
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

const INTERNAL_ERROR: i64 = -32_603;

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    /// As a server writes it.
    const fn name(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One state of a task, as its server told it.
#[derive(Debug)]
struct Task {
    id: String,
    status: Status,
    message: Option<String>,
    poll: Option<Duration>,
    text: RawJson,
}

/// The members of a task in both revisions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    task_id: String,
    status: String,
    #[serde(default)]
    status_message: Option<String>,
    #[serde(default, alias = "pollInterval")]
    poll_interval_ms: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_requests: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Created<'a> {
    #[serde(borrow)]
    task: &'a RawValue,
}

impl Task {
    fn read(answer: &RawJson, method: &str) -> Result<Self> {
        let text = match serde_json::from_slice::<Created<'_>>(answer.as_bytes()) {
            Ok(created) => RawJson::trusted(created.task.get().to_owned()),
            Err(_) => answer.clone(),
        };
        let told: Told = serde_json::from_slice(text.as_bytes()).map_err(|cause| {
            let message = format!("the server answered {method} with a task that is none");
            refusal(message).with_source(cause)
        })?;
        let status = match told.status.as_str() {
            "working" => Status::Working,
            "input_required" => Status::InputRequired,
            "completed" => Status::Completed,
            "failed" => Status::Failed,
            "cancelled" => Status::Cancelled,
            other => {
                return Err(refusal(format!(
                    "the server says that the task {:?} is {other:?}; a task is \"working\", \
                     \"input_required\", \"completed\", \"failed\" or \"cancelled\"",
                    told.task_id
                )));
            }
        };
        let poll = told
            .poll_interval_ms
            .and_then(|wait| Duration::try_from_secs_f64(wait / 1e3).ok());
        Ok(Self {
            id: told.task_id,
            status,
            message: told.status_message,
            poll,
            text,
        })
    }

    fn outcome(&self) -> Outcome<'_> {
        serde_json::from_slice(self.text.as_bytes()).unwrap_or_default()
    }
}

/// Whether an answer of `tools/call` is a task instead of a result.
pub(super) fn is_created(answer: &RawJson, is_modern: bool) -> bool {
    if is_modern {
        return result_type(answer).as_deref() == Some("task");
    }
    memmem::find(answer.as_bytes(), b"\"taskId\"").is_some()
        && serde_json::from_slice::<Created<'_>>(answer.as_bytes())
            .is_ok_and(|created| serde_json::from_str::<Told>(created.task.get()).is_ok())
}

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
    /// The time limit of `options` is that of each request, not that of the task. With
    /// `cancels`, dropping the future cancels the task.
    pub(super) async fn finish_task(
        &self,
        created: RawJson,
        options: &CallOptions,
        cancels: bool,
    ) -> Result<RawJson> {
        let mut task = Task::read(&created, "tools/call")?;
        let mut guard = self.task_guard(&task.id)?;
        guard.is_wanted = !cancels;
        let outcome = self.follow(&mut task, options).await;
        guard.is_wanted = true;
        let (id, status) = (&task.id, task.status);
        outcome.map_err(|failure| {
            if matches!(status, Status::Failed | Status::Cancelled) {
                return failure;
            }
            // It may have a result later on, and then it has a name to be asked by.
            let message = format!(
                "{} (task {id:?}, last seen {})",
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

    async fn follow(&self, task: &mut Task, options: &CallOptions) -> Result<RawJson> {
        let is_modern = self
            .agreed()
            .is_some_and(|agreed| agreed.era() == Era::Modern);
        let mut answered = HashSet::new();
        let mut waits = Waits { next: FIRST_WAIT };
        let mut shown: Option<(Status, Option<String>)> = None;
        let mut is_seed = true;
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
                            return Ok(RawJson::trusted(result.get().to_owned()));
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
                    let unlimited = CallOptions {
                        timeout: None,
                        ..CallOptions::default()
                    };
                    return self.ask_task(&task.id, "tasks/result", "", unlimited).await;
                }
                (Status::Cancelled, _) => {
                    let why = task
                        .message
                        .as_deref()
                        .map_or(String::new(), |why| format!(": {why}"));
                    return Err(refusal(format!(
                        "the server cancelled the task {:?}{why}",
                        task.id
                    )));
                }
                (Status::InputRequired, true) => {
                    self.give_input(task, &mut answered, options).await?;
                }
                (Status::Working, _) => {}
            }
            let at_once = is_seed && matches!(task.status, Status::Completed | Status::Failed);
            if !at_once {
                self.wait_for_news(waits.next(task.poll)).await;
            }
            is_seed = false;
            let asked = CallOptions {
                timeout: options.timeout,
                ..CallOptions::default()
            };
            let answer = self.ask_task(&task.id, "tasks/get", "", asked).await?;
            *task = Task::read(&answer, "tasks/get")?;
        }
    }

    /// Waits until it is time to look, or until the server says that a task has moved on.
    async fn wait_for_news(&self, wait: Duration) {
        let news = async {
            self.knowledge.task_news.notified().await;
            // A server that says so all the time does not make this client ask all the time.
            tokio::time::sleep(SHORTEST_POLL).await;
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = news => {}
            _ = self.ended() => {}
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
    fn a_task_is_read_in_the_form_of_either_revision() {
        let modern = r#"{"resultType":"task","taskId":"a","status":"working","pollIntervalMs":5}"#;
        let legacy = r#"{"task":{"taskId":"a","status":"working","pollInterval":5}}"#;
        for text in [modern, legacy] {
            let task = Task::read(&raw(text), "tools/call").unwrap();
            assert_eq!(task.id, "a");
            assert_eq!(task.status, Status::Working);
            assert_eq!(task.poll, Some(Duration::from_millis(5)));
        }
        assert!(is_created(&raw(modern), true) && !is_created(&raw(modern), false));
        assert!(is_created(&raw(legacy), false) && !is_created(&raw(legacy), true));
        let structured = r#"{"content":[],"structuredContent":{"taskId":"a"}}"#;
        assert!(!is_created(&raw(structured), false));
        for odd in [r#"{"taskId":"a"}"#, r#"{"taskId":"a","status":"lost"}"#] {
            assert!(Task::read(&raw(odd), "tasks/get").is_err());
        }
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
