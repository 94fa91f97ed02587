//! Results that a server allows to be kept (MCP 2026-07-28, `ttlMs` and `cacheScope`): which are
//! kept, for how long, for whom, and what makes them stale. Time is tokio's. Uses `json`.

mod store;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use crate::json::RawJson;
use store::Key;

pub use store::{Limits, Store};

/// No result is kept for longer, whatever its server says.
const LONGEST: Duration = Duration::from_hours(24);

/// What one call does with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheMode {
    /// Takes what is kept and fresh, and keeps what it fetches.
    #[default]
    Use,
    /// Asks the server, and keeps the answer.
    Refresh,
    /// Has nothing to do with the cache.
    Bypass,
}

/// Whose entries a client shares, and how long it keeps what says nothing about it.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Where the entries are.
    pub store: Store,
    /// Which server this is, where the store is shared.
    pub target: String,
    /// Who the caller is, where the store is shared; private results stay with them.
    pub partition: String,
    /// Whether results that the server calls public are shared with every other caller.
    pub shares_public: bool,
    /// How long a result without a `ttlMs` is kept.
    pub default_ttl: Duration,
}

impl Default for CacheSettings {
    /// A store of its own.
    fn default() -> Self {
        Self {
            store: Store::default(),
            target: String::new(),
            partition: String::new(),
            shares_public: false,
            default_ttl: Duration::ZERO,
        }
    }
}

/// The methods whose results may be kept.
const CACHEABLE: [&str; 6] = [
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// The kept results of one client.
#[derive(Debug)]
pub struct ResponseCache {
    settings: CacheSettings,
    /// How often each method became stale, so that an answer that was under way is not kept.
    changes: [AtomicU64; CACHEABLE.len()],
}

/// A request that is about to be made, whose answer may be kept.
#[derive(Debug)]
pub struct Ticket {
    method: usize,
    params: Bytes,
    revision: String,
    changes: u64,
    reads: bool,
}

impl ResponseCache {
    /// The cache of one client.
    pub fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            changes: Default::default(),
        }
    }

    /// A ticket for a request whose answer may be kept; none for every other request.
    ///
    /// `params` is the object without `_meta`. A request with a `_meta` of its own always reaches
    /// the server, as its answer may depend on it.
    pub fn ticket(
        &self,
        method: &str,
        params: Option<&RawJson>,
        has_meta: bool,
        mode: CacheMode,
        revision: &str,
    ) -> Option<Ticket> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Round<'a> {
            #[serde(borrow, default)]
            input_responses: Option<&'a serde_json::value::RawValue>,
            #[serde(borrow, default)]
            request_state: Option<&'a serde_json::value::RawValue>,
        }
        if mode == CacheMode::Bypass {
            return None;
        }
        let index = CACHEABLE.iter().position(|known| *known == method)?;
        let mut key = Bytes::new();
        if let Some(params) = params {
            let round: Round<'_> = serde_json::from_slice(params.as_bytes()).ok()?;
            // The answer depends on the input of this one call.
            if round.input_responses.is_some() || round.request_state.is_some() {
                return None;
            }
            if params.as_bytes() != b"{}" {
                key = Bytes::copy_from_slice(params.as_bytes());
            }
        }
        Some(Ticket {
            method: index,
            params: key,
            revision: revision.to_owned(),
            changes: self.changes[index].load(Ordering::Acquire),
            reads: mode == CacheMode::Use && !has_meta,
        })
    }

    fn key(&self, ticket: &Ticket, is_public: bool) -> Key {
        let settings = &self.settings;
        Key {
            target: settings.target.clone(),
            revision: ticket.revision.clone(),
            partition: (!(is_public && settings.shares_public)).then(|| settings.partition.clone()),
            method: CACHEABLE[ticket.method],
            params: ticket.params.clone(),
        }
    }

    /// A fresh result, if the call takes one.
    pub fn get(&self, ticket: &Ticket) -> Option<RawJson> {
        if !ticket.reads {
            return None;
        }
        let mut shelf = self.settings.store.lock();
        let own = shelf.get(&self.key(ticket, false));
        if own.is_some() || !self.settings.shares_public {
            return own;
        }
        shelf.get(&self.key(ticket, true))
    }

    /// Keeps an answer for as long as it says, if it says so. `obeys_hints` is whether the revision
    /// has such hints.
    pub fn put(&self, ticket: &Ticket, result: &RawJson, obeys_hints: bool) {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Hints {
            #[serde(default)]
            result_type: Option<String>,
            #[serde(default)]
            ttl_ms: Option<f64>,
            #[serde(default)]
            cache_scope: Option<String>,
        }
        let hints: Hints = if obeys_hints {
            serde_json::from_slice(result.as_bytes()).unwrap_or_default()
        } else {
            Hints::default()
        };
        let ttl = match hints.ttl_ms {
            Some(wished) => Duration::try_from_secs_f64(wished / 1e3).unwrap_or(if wished > 0.0 {
                LONGEST
            } else {
                Duration::ZERO
            }),
            None => self.settings.default_ttl,
        };
        let ttl = ttl.min(LONGEST);
        let is_complete = hints.result_type.is_none_or(|kind| kind == "complete");
        let is_public = hints.cache_scope.as_deref() == Some("public");
        let mut shelf = self.settings.store.lock();
        // What was kept before is older than this answer in any case.
        shelf.remove(&self.key(ticket, true));
        shelf.remove(&self.key(ticket, false));
        let has_changed = self.changes[ticket.method].load(Ordering::Acquire) != ticket.changes;
        if ttl.is_zero() || !is_complete || has_changed {
            return;
        }
        // A copy: the buffer that the answer came in may be much larger.
        let text = RawJson::trusted(Bytes::copy_from_slice(result.as_bytes()));
        shelf.put(self.key(ticket, is_public), text, Instant::now() + ttl);
    }

    /// Forgets the pages of a listing: one of its cursors is no longer known to the server.
    pub fn forget_pages(&self, ticket: &Ticket) {
        self.change(ticket.method, None);
    }

    /// Acts on a notification of the server; true if it made something stale.
    pub fn hear(&self, notification: &str, params: Option<&RawJson>) -> bool {
        #[derive(Deserialize)]
        struct Updated {
            uri: String,
        }
        match notification {
            "notifications/tools/list_changed" => self.change(1, None),
            "notifications/prompts/list_changed" => self.change(2, None),
            "notifications/resources/list_changed" => {
                self.change(3, None);
                // Templates describe the same resources.
                self.change(4, None);
            }
            "notifications/resources/updated" => {
                let updated = params
                    .and_then(|params| serde_json::from_slice::<Updated>(params.as_bytes()).ok());
                self.change(5, updated.map(|updated| updated.uri).as_deref());
            }
            _ => return false,
        }
        true
    }

    /// Forgets what was for this caller alone: the credentials have changed.
    pub fn forget_private(&self) {
        for changes in &self.changes {
            changes.fetch_add(1, Ordering::AcqRel);
        }
        let settings = &self.settings;
        settings.store.lock().remove_where(|key| {
            key.target == settings.target && key.partition.as_ref() == Some(&settings.partition)
        });
    }

    fn change(&self, method: usize, uri: Option<&str>) {
        // First of all: an answer that is under way must not come back after the removal.
        self.changes[method].fetch_add(1, Ordering::AcqRel);
        let settings = &self.settings;
        settings.store.lock().remove_where(|key| {
            let is_own = key
                .partition
                .as_ref()
                .is_none_or(|own| *own == settings.partition);
            key.method == CACHEABLE[method]
                && key.target == settings.target
                && is_own
                && uri.is_none_or(|uri| names(&key.params, uri))
        });
    }
}

/// Whether the parameters of a `resources/read` are about this resource, or cannot be told.
fn names(params: &Bytes, uri: &str) -> bool {
    #[derive(Deserialize)]
    struct Read {
        uri: String,
    }
    serde_json::from_slice::<Read>(params).map_or(true, |read| read.uri == uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn cache() -> ResponseCache {
        ResponseCache::new(CacheSettings::default())
    }

    fn ticket(cache: &ResponseCache, method: &str, params: Option<&str>) -> Ticket {
        let params = params.map(raw);
        cache
            .ticket(method, params.as_ref(), false, CacheMode::Use, "2026-07-28")
            .unwrap()
    }

    const MINUTE: &str = r#"{"resultType":"complete","tools":[],"ttlMs":60000}"#;

    #[tokio::test(start_paused = true)]
    async fn a_result_is_fresh_for_as_long_as_its_server_says() {
        let cache = cache();
        let request = ticket(&cache, "tools/list", None);
        assert!(cache.get(&request).is_none());
        cache.put(&request, &raw(MINUTE), true);
        assert_eq!(cache.get(&request), Some(raw(MINUTE)));
        assert!(
            cache
                .get(&ticket(&cache, "tools/list", Some("{}")))
                .is_some()
        );
        for other in [
            ticket(&cache, "prompts/list", None),
            ticket(&cache, "tools/list", Some(r#"{"cursor":"a"}"#)),
        ] {
            assert!(cache.get(&other).is_none());
        }
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert!(cache.get(&request).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(cache.get(&request).is_none());
        assert!(cache.settings.store.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_kept_is_not() {
        let cache = cache();
        for result in [
            r#"{"tools":[]}"#,
            r#"{"tools":[],"ttlMs":0}"#,
            r#"{"tools":[],"ttlMs":-5}"#,
            r#"{"tools":[],"ttlMs":"60000"}"#,
            r#"{"resultType":"input_required","ttlMs":60000}"#,
        ] {
            let request = ticket(&cache, "tools/list", None);
            cache.put(&request, &raw(MINUTE), true);
            cache.put(&request, &raw(result), true);
            assert!(cache.get(&request).is_none(), "{result}");
        }
        let request = ticket(&cache, "tools/list", None);
        cache.put(&request, &raw(MINUTE), false);
        assert!(cache.get(&request).is_none());
        let mode = |params: &str, mode| {
            cache.ticket("resources/read", Some(&raw(params)), false, mode, "")
        };
        assert!(mode(r#"{"uri":"a"}"#, CacheMode::Bypass).is_none());
        assert!(mode(r#"{"uri":"a","requestState":"s"}"#, CacheMode::Use).is_none());
        assert!(mode(r#"{"uri":"a","inputResponses":{}}"#, CacheMode::Use).is_none());
        assert!(
            cache
                .ticket("tools/call", None, false, CacheMode::Use, "")
                .is_none()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_longer_than_a_day() {
        let cache = cache();
        let request = ticket(&cache, "tools/list", None);
        for wish in ["1e300", "86400001"] {
            cache.put(&request, &raw(&format!(r#"{{"ttlMs":{wish}}}"#)), true);
            tokio::time::advance(Duration::from_hours(23)).await;
            assert!(cache.get(&request).is_some());
            tokio::time::advance(Duration::from_hours(1)).await;
            assert!(cache.get(&request).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_can_ask_the_server_nevertheless() {
        let cache = cache();
        cache.put(&ticket(&cache, "tools/list", None), &raw(MINUTE), true);
        let refresh = cache.ticket("tools/list", None, false, CacheMode::Refresh, "2026-07-28");
        assert!(cache.get(&refresh.unwrap()).is_none());
        let with_meta = cache.ticket("tools/list", None, true, CacheMode::Use, "2026-07-28");
        assert!(cache.get(&with_meta.unwrap()).is_none());
        let other = cache.ticket("tools/list", None, false, CacheMode::Use, "2025-11-25");
        assert!(cache.get(&other.unwrap()).is_none());
        assert!(cache.get(&ticket(&cache, "tools/list", None)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_notification_makes_stale_what_it_is_about() {
        let cache = cache();
        let keep = |method: &str, params: Option<&str>| {
            cache.put(&ticket(&cache, method, params), &raw(MINUTE), true);
        };
        let has = |method: &str, params: Option<&str>| {
            cache.get(&ticket(&cache, method, params)).is_some()
        };
        let (a, b) = (Some(r#"{"uri":"a"}"#), Some(r#"{"uri":"b"}"#));
        for method in &CACHEABLE[1..5] {
            keep(method, None);
        }
        keep("tools/list", Some(r#"{"cursor":"2"}"#));
        keep("resources/read", a);
        keep("resources/read", b);
        assert!(cache.hear("notifications/tools/list_changed", None));
        assert!(!has("tools/list", None) && !has("tools/list", Some(r#"{"cursor":"2"}"#)));
        assert!(has("prompts/list", None));
        assert!(cache.hear("notifications/prompts/list_changed", None));
        assert!(!has("prompts/list", None) && has("resources/list", None));
        assert!(cache.hear("notifications/resources/list_changed", None));
        assert!(!has("resources/list", None) && !has("resources/templates/list", None));
        assert!(cache.hear("notifications/resources/updated", Some(&raw(a.unwrap()))));
        assert!(!has("resources/read", a) && has("resources/read", b));
        assert!(!cache.hear("notifications/message", None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_under_way_when_it_became_stale_is_not_kept() {
        let cache = cache();
        let request = ticket(&cache, "tools/list", None);
        cache.hear("notifications/tools/list_changed", None);
        cache.put(&request, &raw(MINUTE), true);
        assert!(cache.get(&ticket(&cache, "tools/list", None)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn private_results_stay_with_their_caller() {
        let store = Store::default();
        let of = |target: &str, partition: &str, shares_public| {
            ResponseCache::new(CacheSettings {
                store: store.clone(),
                target: target.to_owned(),
                partition: partition.to_owned(),
                shares_public,
                default_ttl: Duration::ZERO,
            })
        };
        let scoped = |scope: &str| raw(&format!(r#"{{"ttlMs":60000,"cacheScope":"{scope}"}}"#));
        let get = |cache: &ResponseCache| cache.get(&ticket(cache, "tools/list", None));
        let alice = of("s", "alice", true);
        let bob = of("s", "bob", true);
        alice.put(
            &ticket(&alice, "tools/list", None),
            &scoped("private"),
            true,
        );
        assert!(get(&alice).is_some() && get(&bob).is_none());
        alice.put(&ticket(&alice, "tools/list", None), &scoped("public"), true);
        assert!(get(&alice).is_some() && get(&bob).is_some());
        assert!(get(&of("s", "carol", false)).is_none());
        assert!(get(&of("other", "alice", true)).is_none());
        alice.put(
            &ticket(&alice, "tools/list", None),
            &scoped("private"),
            true,
        );
        assert!(get(&bob).is_none());
        alice.forget_private();
        assert!(get(&alice).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_holds_no_more_than_its_limits() {
        let size = r#"{"ttlMs":60000}"#.len();
        let limits = Limits {
            entries: Some(3),
            bytes: size * 2,
        };
        for (limits, held) in [
            (limits, 2),
            (
                Limits {
                    bytes: size * 9,
                    ..limits
                },
                3,
            ),
            (
                Limits {
                    bytes: size - 1,
                    ..limits
                },
                0,
            ),
            (
                Limits {
                    entries: Some(0),
                    ..limits
                },
                0,
            ),
        ] {
            let store = Store::new(limits);
            let cache = ResponseCache::new(CacheSettings {
                store: store.clone(),
                ..CacheSettings::default()
            });
            for uri in 0..9 {
                let params = format!(r#"{{"uri":"{uri}"}}"#);
                let request = ticket(&cache, "resources/read", Some(&params));
                cache.put(&request, &raw(r#"{"ttlMs":60000}"#), true);
                // The first is used again and again.
                cache.get(&ticket(&cache, "resources/read", Some(r#"{"uri":"0"}"#)));
            }
            assert_eq!(store.len(), held);
            let first = ticket(&cache, "resources/read", Some(r#"{"uri":"0"}"#));
            assert_eq!(cache.get(&first).is_some(), held > 0);
        }
    }
}
