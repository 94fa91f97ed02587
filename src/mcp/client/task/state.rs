//! One state of a task, read in the form of either revision. Uses nothing of the client.

use std::time::Duration;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal;
use crate::error::Result;
use crate::json::RawJson;
use crate::mcp::client::rounds::{result_type, shortened};

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    /// As a server writes it.
    pub(super) const fn name(self) -> &'static str {
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
pub(super) struct Task {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) message: Option<String>,
    pub(super) poll: Option<Duration>,
    /// How long it is kept, from its creation.
    pub(super) lifetime: Option<Duration>,
    pub(super) text: RawJson,
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
    #[serde(default, alias = "ttl")]
    ttl_ms: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome<'a> {
    #[serde(borrow, default)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) input_requests: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Created<'a> {
    #[serde(borrow)]
    task: &'a RawValue,
}

impl Task {
    pub(super) fn read(answer: &RawJson, method: &str) -> Result<Self> {
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
                    "the server says that the task {:?} is {:?}; a task is \"working\", \
                     \"input_required\", \"completed\", \"failed\" or \"cancelled\"",
                    shortened(&told.task_id),
                    shortened(other)
                )));
            }
        };
        let poll = told
            .poll_interval_ms
            .and_then(|wait| Duration::try_from_secs_f64(wait / 1e3).ok());
        let lifetime = told
            .ttl_ms
            .filter(|lifetime| *lifetime > 0.0)
            .and_then(|lifetime| Duration::try_from_secs_f64(lifetime / 1e3).ok());
        Ok(Self {
            id: told.task_id,
            status,
            message: told.status_message,
            poll,
            lifetime,
            text,
        })
    }

    pub(super) fn outcome(&self) -> Outcome<'_> {
        serde_json::from_slice(self.text.as_bytes()).unwrap_or_default()
    }
}

/// Whether an answer of `tools/call` is a task instead of a result.
pub(in crate::mcp::client) fn is_created(answer: &RawJson, is_modern: bool) -> bool {
    if is_modern {
        return matches!(result_type("tools/call", answer), Ok(Some(kind)) if kind == "task");
    }
    memmem::find(answer.as_bytes(), b"\"taskId\"").is_some()
        && serde_json::from_slice::<Created<'_>>(answer.as_bytes())
            .is_ok_and(|created| serde_json::from_str::<Told>(created.task.get()).is_ok())
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
}
