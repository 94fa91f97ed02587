//! What a new connection must be told that an old one was, and how many calls are under way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::json::RawJson;
use crate::mcp::session::Params;

/// How many subscriptions are restored.
const MAXIMUM_SUBSCRIPTIONS: usize = 10_000;

/// Whether a request changes nothing at the server, or nothing more the second time.
pub(super) fn only_reads(method: &str) -> bool {
    method.ends_with("/list")
        || matches!(
            method,
            "completion/complete"
                | "logging/setLevel"
                | "ping"
                | "prompts/get"
                | "resources/read"
                | "resources/subscribe"
                | "resources/templates/list"
                | "resources/unsubscribe"
                | "server/discover"
                | "subscriptions/listen"
                | "tasks/get"
                | "tasks/result"
        )
}

/// The tool that a call names.
pub(super) fn tool_of(params: &Params) -> Option<String> {
    #[derive(Deserialize)]
    struct Call {
        name: String,
    }
    let object = params.object.as_ref()?;
    let call: Call = serde_json::from_slice(object.as_bytes()).ok()?;
    Some(call.name)
}

/// What the caller asked of the server and did not take back.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
    under_way: AtomicUsize,
    /// Counts the calls that began and ended.
    heard: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct Kept {
    log_level: Option<RawJson>,
    subscriptions: BTreeSet<String>,
}

/// One call that is under way.
pub(super) struct Call<'a>(&'a Memory);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.heard.fetch_add(1, Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Memory {
    pub(super) fn begin(&self) -> Call<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.heard.fetch_add(1, Ordering::Relaxed);
        Call(self)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Keeps what an answered request means for the connections to come.
    pub(super) fn answered(&self, method: &str, params: &Params) {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match method {
            "logging/setLevel" => kept().log_level.clone_from(&params.object),
            "resources/subscribe" => {
                let mut kept = kept();
                if let Some(uri) = uri_of(params)
                    && kept.subscriptions.len() < MAXIMUM_SUBSCRIPTIONS
                {
                    kept.subscriptions.insert(uri);
                }
            }
            "resources/unsubscribe" => {
                if let Some(uri) = uri_of(params) {
                    kept().subscriptions.remove(&uri);
                }
            }
            _ => {}
        }
    }

    /// The requests that make a new connection what the old one was.
    pub(super) fn restoring(&self) -> Vec<(&'static str, Params)> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let subscriptions = kept.subscriptions.into_iter().map(|uri| {
            let object = serde_json::json!({ "uri": uri }).to_string();
            ("resources/subscribe", RawJson::trusted(object))
        });
        let level = kept.log_level.map(|object| ("logging/setLevel", object));
        level
            .into_iter()
            .chain(subscriptions)
            .map(|(method, object)| {
                let params = Params {
                    object: Some(object),
                    meta: None,
                };
                (method, params)
            })
            .collect()
    }
}

fn uri_of(params: &Params) -> Option<String> {
    #[derive(Deserialize)]
    struct Subscription {
        uri: String,
    }
    let object = params.object.as_ref()?;
    let subscription: Subscription = serde_json::from_slice(object.as_bytes()).ok()?;
    Some(subscription.uri)
}
