//! What a server has: its tools, prompts, resources and templates, every page of them, kept for as long
//! as they are what the server has.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Upstream, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::{CallOptions, Lasting, Params, Status};

/// How many pages a list may have, and how many entries.
const MAXIMUM_PAGES: usize = 1_000;
const MAXIMUM_ENTRIES: usize = 100_000;
/// How long the others wait for a list.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway::mcp) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(in crate::gateway::mcp) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the answer that holds the entries.
    pub(in crate::gateway::mcp) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an entry that tells it from the others.
    pub(in crate::gateway::mcp) fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The capability that a server with such things has.
    fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }
}

/// A list as it was at one moment.
#[derive(Debug, Default)]
pub(in crate::gateway::mcp) struct List {
    entries: Vec<(String, RawJson)>,
    places: HashMap<String, usize>,
    /// For how long the server lets it be kept, in milliseconds.
    pub(in crate::gateway::mcp) lifetime: Option<u64>,
}

impl List {
    /// The keys and the entries, as the server sent them.
    pub(in crate::gateway::mcp) fn entries(&self) -> &[(String, RawJson)] {
        &self.entries
    }

    pub(in crate::gateway::mcp) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Adds a page; gives the cursor of the next one.
    fn add(&mut self, kind: Kind, server: &str, answer: &RawJson) -> Result<Option<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            next_cursor: Option<String>,
            #[serde(default)]
            ttl_ms: Option<f64>,
        }
        let broken = || {
            let message = format!(
                "the answer of the MCP server `{server}` to {} is no list",
                kind.method()
            );
            Error::new(ErrorKind::Mcp, message)
        };
        let text = answer.as_bytes();
        let page: Page = serde_json::from_slice(text).map_err(|_| broken())?;
        let entries = super::super::relay::member(text, kind.member()).ok_or_else(broken)?;
        let entries: Vec<&RawValue> = serde_json::from_str(entries.get()).map_err(|_| broken())?;
        for entry in entries {
            let key = super::super::relay::text_member(entry.get().as_bytes(), kind.key());
            let Some(key) = key.filter(|key| !self.places.contains_key(key)) else {
                continue;
            };
            self.places.insert(key.clone(), self.entries.len());
            let entry = RawJson::trusted(entry.get().to_owned());
            self.entries.push((key, entry));
        }
        if let Some(lifetime) = page.ttl_ms {
            let lifetime = Duration::try_from_secs_f64(lifetime / 1000.0).unwrap_or_default();
            let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
            self.lifetime = Some(self.lifetime.map_or(lifetime, |known| known.min(lifetime)));
        }
        Ok(page.next_cursor.filter(|cursor| !cursor.is_empty()))
    }
}

/// The lists of one server.
#[derive(Debug, Default)]
pub(in crate::gateway::mcp) struct Lists([Place; 4]);

#[derive(Debug, Default)]
struct Place {
    kept: Mutex<Option<Kept>>,
    /// How often the list has changed.
    changes: AtomicU64,
    /// The reading that is under way, and since when.
    reading: Mutex<Option<(Instant, watch::Receiver<bool>)>>,
}

#[derive(Debug)]
struct Kept {
    list: Arc<List>,
    generation: u64,
    changes: u64,
    until: Option<Instant>,
}

impl Lists {
    fn place(&self, kind: Kind) -> &Place {
        &self.0[kind as usize]
    }

    /// The server says that a list is another one now.
    pub(super) fn changed(&self, notification: &str) {
        let kinds: &[Kind] = match notification {
            "notifications/tools/list_changed" => &[Kind::Tools],
            "notifications/prompts/list_changed" => &[Kind::Prompts],
            _ => &[Kind::Resources, Kind::Templates],
        };
        for kind in kinds {
            self.place(*kind).changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The list as it last was; enough to know whose a name is.
    pub(in crate::gateway::mcp) fn remembered(&self, kind: Kind) -> Option<Arc<List>> {
        let kept = lock(&self.place(kind).kept);
        kept.as_ref().map(|kept| Arc::clone(&kept.list))
    }

    fn current(&self, kind: Kind, lasting: &Lasting) -> Option<Arc<List>> {
        let place = self.place(kind);
        let kept = lock(&place.kept);
        let kept = kept.as_ref()?;
        let is_current = kept.generation == lasting.generation()
            && kept.changes == place.changes.load(Ordering::Acquire)
            && kept.until.is_none_or(|until| Instant::now() < until);
        is_current.then(|| Arc::clone(&kept.list))
    }
}

impl Upstream {
    /// The list, read unless it is known and did not change. A server that is not reached has none; for
    /// one that takes its time what it had last must do.
    pub(in crate::gateway::mcp) async fn list(&self, kind: Kind) -> Option<Arc<List>> {
        let lasting = self.lasting();
        if matches!(lasting.status(), Status::Connecting) {
            let _ = tokio::time::timeout(PATIENCE, lasting.settled()).await;
        }
        if !matches!(lasting.status(), Status::Ready | Status::Idle) {
            return None;
        }
        let lists = &self.shared.lists;
        if let Some(list) = lists.current(kind, lasting) {
            return Some(list);
        }
        if let Some(described) = lasting.described()
            && !has_capability(&described, kind.capability())
        {
            return None;
        }
        let (since, mut reading) = self.reading(kind);
        let left = PATIENCE.saturating_sub(since.elapsed());
        // Whether it is done or not, what is known then counts.
        let _ = tokio::time::timeout(left, reading.wait_for(|is_done| *is_done)).await;
        lists.remembered(kind)
    }

    /// The reading that is under way, begun if there is none.
    fn reading(&self, kind: Kind) -> (Instant, watch::Receiver<bool>) {
        let mut reading = lock(&self.shared.lists.place(kind).reading);
        if let Some(found) = &*reading {
            return found.clone();
        }
        let (done, receiver) = watch::channel(false);
        let begun = (Instant::now(), receiver);
        *reading = Some(begun.clone());
        tokio::spawn(read(Weak::clone(&self.this), kind, done));
        begun
    }
}

async fn read(upstream: Weak<Upstream>, kind: Kind, done: watch::Sender<bool>) {
    let Some(upstream) = upstream.upgrade() else {
        return;
    };
    let lasting = upstream.lasting();
    let place = upstream.shared.lists.place(kind);
    let changes = place.changes.load(Ordering::Acquire);
    let endurance = &upstream.config().endurance;
    let limit = endurance
        .request_timeout
        .unwrap_or(endurance.connect_timeout);
    let pages = tokio::time::timeout(limit, pages(lasting, kind)).await;
    let list = pages.unwrap_or_else(|_| {
        let message = format!(
            "{} took longer than {} s",
            kind.method(),
            limit.as_secs_f64()
        );
        Err(Error::new(ErrorKind::McpTimeout, message))
    });
    match list {
        Ok(list) => {
            // A server with a handshake tells of changes.
            let lifetime = list.lifetime.or((!lasting.has_handshake()).then_some(0));
            let lifetime = lifetime.map(Duration::from_millis);
            *lock(&place.kept) = Some(Kept {
                generation: lasting.generation(),
                changes,
                until: lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime)),
                list: Arc::new(list),
            });
        }
        Err(failure) => {
            tracing::warn!(
                target: "toolbridge::gateway", server = lasting.name(),
                "{} failed, so the server is left out: {failure}", kind.method()
            );
            *lock(&place.kept) = None;
        }
    }
    *lock(&place.reading) = None;
    // Nobody may be waiting any more.
    let _ = done.send(true);
}

async fn pages(lasting: &Lasting, kind: Kind) -> Result<List> {
    let mut list = List::default();
    let mut seen = HashSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAXIMUM_PAGES {
        let object = cursor
            .as_ref()
            .map(|cursor| RawJson::trusted(serde_json::json!({ "cursor": cursor }).to_string()));
        let params = Params { object, meta: None };
        let answer = lasting
            .request(kind.method(), params, CallOptions::default())
            .await?;
        cursor = list.add(kind, lasting.name(), &answer)?;
        match &cursor {
            None => return Ok(list),
            // A list that goes in circles is cut where it begins again.
            Some(next) if !seen.insert(next.clone()) => return Ok(list),
            Some(_) if list.entries.len() > MAXIMUM_ENTRIES => break,
            Some(_) => {}
        }
    }
    tracing::warn!(
        target: "toolbridge::gateway", server = lasting.name(),
        "{} has no end; {} entries are used", kind.method(), list.entries.len()
    );
    Ok(list)
}

/// Whether a server says that it has something. One whose revision was fixed says nothing.
pub(in crate::gateway::mcp) fn has_capability(described: &RawJson, name: &str) -> bool {
    let capabilities = super::super::relay::member(described.as_bytes(), "capabilities");
    let Some(capabilities) = capabilities else {
        return true;
    };
    let text = capabilities.get().as_bytes();
    capabilities.get() == "{}" || super::super::relay::member(text, name).is_some()
}
