//! One server of a group: its connection, its tools, and what it says unasked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

use super::listing::Listing;
use super::{Change, ChangeListener};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::client::Mode;
use crate::mcp::config::ServerConfig;
use crate::mcp::connect::Opening;
use crate::mcp::lasting::{Jitter, Lasting, Reach, Server, Status};
use crate::mcp::session::{CallOptions, Events, Params, PeerAnswer, PeerError};

/// A server of a group.
#[derive(Debug)]
pub struct Member {
    config: ServerConfig,
    lasting: Lasting,
    ear: Arc<Ear>,
    kept: Mutex<Option<Kept>>,
    /// Held while the list is read, so that it is read once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Kept {
    listing: Arc<Listing>,
    /// The connection that it was read on.
    generation: u64,
    /// How often the tools had changed by then.
    changes: u64,
    until: Option<Instant>,
}

impl Member {
    pub(super) fn start(
        config: ServerConfig,
        mut opening: Opening,
        on_change: ChangeListener,
    ) -> Result<Arc<Self>> {
        let mode = config.mode.as_deref().map_or(Ok(Mode::Auto), Mode::parse)?;
        let ear = Arc::new(Ear {
            inner: opening.events.take(),
            ..Ear::default()
        });
        opening.events = Some(Arc::<Ear>::clone(&ear));
        let reach = Server {
            target: config.target.clone(),
            mode,
            opening,
            restart: config.endurance.restart,
        };
        Ok(Self::reached_by(
            config,
            Arc::new(reach),
            Jitter::default(),
            on_change,
            ear,
        ))
    }

    pub(super) fn reached_by(
        config: ServerConfig,
        reach: Arc<dyn Reach>,
        jitter: Jitter,
        on_change: ChangeListener,
        ear: Arc<Ear>,
    ) -> Arc<Self> {
        let name = config.name.clone();
        // Set once, here.
        let _ = ear.on_change.set((name.clone(), Arc::clone(&on_change)));
        let member = Arc::new(Self {
            lasting: Lasting::start(name, config.endurance.clone(), reach, jitter),
            config,
            ear,
            kept: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        });
        tokio::spawn(watch(
            Arc::downgrade(&member),
            member.lasting.changes(),
            on_change,
        ));
        member
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What the names of its tools begin with: its alias if it has one.
    pub fn label(&self) -> &str {
        self.config.alias.as_deref().unwrap_or(&self.config.name)
    }

    /// Its configuration.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Its connection.
    pub fn lasting(&self) -> &Lasting {
        &self.lasting
    }

    /// The tools that are known, as the server sent them, a JSON array; none while the server is not
    /// reached, for what it had may be gone.
    pub fn tools(&self) -> Option<RawJson> {
        let known = self.known()?;
        Some(known.text(|tool| self.config.allows(tool)))
    }

    pub(super) fn known(&self) -> Option<Arc<Listing>> {
        if self.lasting.status() != Status::Ready {
            return None;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        (kept.generation == self.lasting.generation()).then(|| Arc::clone(&kept.listing))
    }

    /// The tools as they last were, reached or not: enough to know whose a name is.
    pub(super) fn remembered(&self) -> Option<Arc<Listing>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| Arc::clone(&kept.listing))
    }

    fn current(&self) -> Option<Arc<Listing>> {
        let known = self.known()?;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        let is_current = kept.changes == self.ear.changes.load(Ordering::Acquire)
            && kept.until.is_none_or(|until| Instant::now() < until);
        is_current.then_some(known)
    }

    /// The tools, asked for unless they are known and did not change.
    pub(super) async fn listing(&self) -> Result<Arc<Listing>> {
        if let Some(listing) = self.current() {
            return Ok(listing);
        }
        let _reading = self.reading.lock().await;
        if let Some(listing) = self.current() {
            return Ok(listing);
        }
        if matches!(self.lasting.status(), Status::Connecting) {
            self.lasting.settled().await;
        }
        if matches!(
            self.lasting.status(),
            Status::Reconnecting | Status::Failed | Status::Closed
        ) {
            // Its last error says why; a listing is no reason to wait for it.
            let why = self.lasting.last_error();
            return Err(why.map_or_else(
                || Error::new(ErrorKind::ConnectionClosed, "the server is not reached"),
                |why| Error::shared(&why),
            ));
        }
        let endurance = &self.config.endurance;
        let limit = endurance
            .request_timeout
            .unwrap_or(endurance.connect_timeout);
        let changes = self.ear.changes.load(Ordering::Acquire);
        let listing = Arc::new(Listing::fetch(&self.lasting, limit).await?);
        let kept = Kept {
            generation: self.lasting.generation(),
            changes,
            until: self
                .lifetime(&listing)
                .and_then(|lifetime| Instant::now().checked_add(lifetime)),
            listing: Arc::clone(&listing),
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(listing)
    }

    /// For how long a list may be kept; none as long as the server would tell of a change.
    fn lifetime(&self, listing: &Listing) -> Option<Duration> {
        let tells = self.lasting.has_handshake() || self.ear.is_listening.load(Ordering::Acquire);
        listing.lifetime.or((!tells).then_some(Duration::ZERO))
    }

    /// The parameters that ask for the notifications which the server can give; none if it gives
    /// them unasked, or has none.
    fn wanted_changes(&self) -> Option<RawJson> {
        #[derive(Deserialize)]
        struct Described {
            #[serde(default)]
            capabilities: Capabilities,
        }
        #[derive(Deserialize, Default)]
        struct Capabilities {
            #[serde(default)]
            tools: Option<Lists>,
            #[serde(default)]
            prompts: Option<Lists>,
            #[serde(default)]
            resources: Option<Lists>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Lists {
            #[serde(default)]
            list_changed: bool,
        }
        if self.lasting.has_handshake() {
            return None;
        }
        let described = self.lasting.described()?;
        let Described { capabilities } = serde_json::from_slice(described.as_bytes()).ok()?;
        let mut filter = serde_json::Map::new();
        for (key, lists) in [
            ("toolsListChanged", capabilities.tools),
            ("promptsListChanged", capabilities.prompts),
            ("resourcesListChanged", capabilities.resources),
        ] {
            if lists.is_some_and(|lists| lists.list_changed) {
                filter.insert(key.to_owned(), true.into());
            }
        }
        let params = serde_json::json!({ "notifications": filter }).to_string();
        (!filter.is_empty()).then(|| RawJson::trusted(params))
    }

    /// Waits until the server is ready with its tools, or has failed its first attempt.
    pub(super) async fn settled(&self) {
        let settling = async {
            self.lasting.settled().await;
            if self.lasting.status() == Status::Ready {
                // A server without tools, or that is too slow, is reached all the same.
                let _ = self.listing().await;
            }
        };
        // Its status says what it is by then.
        let _ = tokio::time::timeout(self.config.endurance.connect_timeout, settling).await;
    }

    pub(super) async fn close(&self) {
        self.lasting.close().await;
    }
}

/// Tells of every change of the status, and reads the tools of each new connection: the list says
/// which calls may be repeated when that connection is lost.
async fn watch(
    member: Weak<Member>,
    mut changes: BoxFuture<'static, Status>,
    on_change: ChangeListener,
) {
    let mut listened_on = 0;
    loop {
        changes.await;
        let Some(strong) = member.upgrade() else {
            return;
        };
        changes = strong.lasting.changes();
        let status = strong.lasting.status();
        on_change(strong.name(), Change::Status);
        match status {
            Status::Closed => return,
            Status::Ready => {
                let generation = strong.lasting.generation();
                if std::mem::replace(&mut listened_on, generation) != generation
                    && let Some(filter) = strong.wanted_changes()
                {
                    tokio::spawn(listen(Arc::clone(&strong), filter));
                }
                // As in `settled`.
                let _ = strong.listing().await;
            }
            _ => {}
        }
    }
}

/// Asks a server without a handshake for its notifications, for as long as that connection holds.
async fn listen(member: Arc<Member>, filter: RawJson) {
    let params = Params {
        object: Some(filter),
        meta: None,
    };
    let lasting = &member.lasting;
    let generation = lasting.generation();
    let listening = lasting.request("subscriptions/listen", params, CallOptions::default());
    let replaced = async {
        while lasting.generation() == generation && lasting.status() != Status::Closed {
            lasting.changes().await;
        }
    };
    tokio::select! {
        // Without it the lists are kept for as long as the server allows.
        _ = listening => {}
        () = replaced => {}
    }
    member.ear.is_listening.store(false, Ordering::Release);
}

/// Hears what a server says unasked before whoever else wants to.
#[derive(Default)]
pub(super) struct Ear {
    inner: Option<Arc<dyn Events>>,
    changes: AtomicU64,
    /// A server without a handshake tells of changes.
    is_listening: AtomicBool,
    on_change: OnceLock<(String, ChangeListener)>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ear")
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl Events for Ear {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        let change = match method {
            "notifications/subscriptions/acknowledged" => {
                self.is_listening.store(true, Ordering::Release);
                return;
            }
            "notifications/tools/list_changed" => Some(Change::Tools),
            "notifications/prompts/list_changed" => Some(Change::Prompts),
            "notifications/resources/list_changed" => Some(Change::Resources),
            _ => None,
        };
        if change == Some(Change::Tools) {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        if let Some(inner) = &self.inner {
            inner.notification(method, params);
        }
        if let Some(change) = change
            && let Some((name, listener)) = self.on_change.get()
        {
            listener(name, change);
        }
    }

    fn garbage(&self, preview: &str, reason: &str) {
        if let Some(inner) = &self.inner {
            inner.garbage(preview, reason);
        }
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        if let Some(inner) = &self.inner {
            return inner.request(method, params);
        }
        let refusal = PeerError::method_not_found(method);
        Box::pin(async move { Err(refusal) })
    }
}
