//! What a client remembers of its server between calls: the tools, and results that may be kept. The
//! notifications of the server keep it true. Uses `catalogue` and `cache`.

use tokio::sync::Notify;

use super::cache::{CacheSettings, ResponseCache};
use super::catalogue::Catalogue;
use crate::json::RawJson;

#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) catalogue: Catalogue,
    /// None keeps nothing.
    pub(super) cache: Option<ResponseCache>,
    /// Held while the tools are listed for a fact, so that they are listed once.
    pub(super) walking: tokio::sync::Mutex<()>,
    /// The server said that a task has moved on.
    pub(super) task_news: Notify,
}

impl Knowledge {
    pub(super) fn new(cache: Option<CacheSettings>) -> Self {
        Self {
            catalogue: Catalogue::default(),
            cache: cache.map(ResponseCache::new),
            walking: tokio::sync::Mutex::default(),
            task_news: Notify::new(),
        }
    }

    /// Hears each notification of the server before anybody else does: whoever reacts to it by
    /// asking again is not given what it made stale.
    pub(super) fn hear(&self, notification: &str, params: Option<&RawJson>) {
        match notification {
            "notifications/tools/list_changed" => self.catalogue.forget(),
            "notifications/tasks" | "notifications/tasks/status" => {
                self.task_news.notify_waiters();
            }
            _ => {}
        }
        if let Some(cache) = &self.cache {
            cache.hear(notification, params);
        }
    }
}
