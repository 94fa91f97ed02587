//! What a client remembers of its server between calls: the tools, and results that may be kept. The
//! notifications of the server keep it true. Uses `catalogue` and `cache`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cache::{CacheSettings, ResponseCache};
use super::catalogue::Catalogue;
use super::task::TaskNews;
use crate::json::RawJson;
use crate::mcp::transport::http::CredentialChanges;

#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) catalogue: Catalogue,
    /// None keeps nothing.
    cache: Option<ResponseCache>,
    credentials: CredentialChanges,
    /// The count of the changes that the cache knows of.
    credentials_known: AtomicU64,
    /// Held while the tools are listed for a fact, so that they are listed once.
    pub(super) walking: tokio::sync::Mutex<()>,
    /// Who waits for which task.
    pub(super) tasks: TaskNews,
}

impl Knowledge {
    pub(super) fn new(cache: Option<CacheSettings>, credentials: CredentialChanges) -> Self {
        Self {
            catalogue: Catalogue::default(),
            cache: cache.map(ResponseCache::new),
            credentials_known: AtomicU64::new(credentials.count()),
            credentials,
            walking: tokio::sync::Mutex::default(),
            tasks: TaskNews::default(),
        }
    }

    /// The kept results, without those of other credentials than the present ones.
    pub(super) fn cache(&self) -> Option<&ResponseCache> {
        let cache = self.cache.as_ref()?;
        let count = self.credentials.count();
        if self.credentials_known.swap(count, Ordering::AcqRel) != count {
            cache.forget_private();
        }
        Some(cache)
    }

    /// Hears each notification of the server before anybody else does: whoever reacts to it by
    /// asking again is not given what it made stale.
    pub(super) fn hear(&self, notification: &str, params: Option<&RawJson>) {
        match notification {
            "notifications/tools/list_changed" => self.catalogue.forget(),
            "notifications/tasks" | "notifications/tasks/status" => {
                if let Some(params) = params {
                    self.tasks.hear(params);
                }
            }
            _ => {}
        }
        if let Some(cache) = &self.cache {
            cache.hear(notification, params);
        }
    }
}
