//! One server of a group: its connection, its tools, and what it says unasked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::listing::Listing;
use super::{Change, ChangeListener};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::backlog::Backlog;
use crate::mcp::client::Mode;
use crate::mcp::config::ServerConfig;
use crate::mcp::connect::Opening;
use crate::mcp::lasting::{Jitter, Lasting, Reach, Server, Status};
use crate::mcp::session::{Events, PeerAnswer, PeerError};

/// A server of a group.
#[derive(Debug)]
pub struct Member {
    config: ServerConfig,
    lasting: Lasting,
    ear: Arc<Ear>,
    jitter: Jitter,
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
            lasting: Lasting::start(name, config.endurance.clone(), reach, jitter.clone()),
            jitter,
            config,
            ear,
            kept: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        });
        tokio::spawn(watch(Arc::downgrade(&member), on_change));
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
                |why| Error::clone(&why),
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

    /// The filter that asks for the notifications which the server can give, and what they tell of;
    /// none if it gives them unasked, or has none.
    fn wanted_changes(&self) -> Option<(RawJson, Vec<Change>)> {
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
        impl Capabilities {
            fn is_empty(&self) -> bool {
                self.tools.is_none() && self.prompts.is_none() && self.resources.is_none()
            }
        }
        if self.lasting.has_handshake() {
            return None;
        }
        let described = self.lasting.described()?;
        let Described { capabilities } = serde_json::from_slice(described.as_bytes()).ok()?;
        // A revision that the caller has fixed is not negotiated, and nothing is known of the server.
        let is_unknown = capabilities.is_empty();
        let mut filter = serde_json::Map::new();
        let mut wanted = Vec::new();
        for (key, change, lists) in [
            ("toolsListChanged", Change::Tools, capabilities.tools),
            ("promptsListChanged", Change::Prompts, capabilities.prompts),
            (
                "resourcesListChanged",
                Change::Resources,
                capabilities.resources,
            ),
        ] {
            if is_unknown || lists.is_some_and(|lists| lists.list_changed) {
                filter.insert(key.to_owned(), true.into());
                wanted.push(change);
            }
        }
        let filter = RawJson::from_serialize(&filter).ok()?;
        (!wanted.is_empty()).then_some((filter, wanted))
    }

    /// Waits until the server is ready with its tools, or has failed its first attempt.
    pub(super) async fn settled(&self) {
        let until = Instant::now().checked_add(self.config.endurance.connect_timeout);
        // The attempt has a limit of its own; a second one beside it would end before the status is
        // known.
        self.lasting.settled().await;
        if self.lasting.status() == Status::Ready
            && let Some(until) = until
        {
            // A server without tools, or that is too slow, is reached all the same.
            let _ = tokio::time::timeout_at(until, self.listing()).await;
        }
    }

    pub(super) async fn close(&self) {
        self.lasting.close().await;
    }
}

/// Tells of every change of the status, and reads the tools of each new connection: the list says
/// which calls may be repeated when that connection is lost.
async fn watch(member: Weak<Member>, on_change: ChangeListener) {
    let mut told = (Status::Connecting, 0);
    let mut listened_on = 0;
    loop {
        let Some(strong) = member.upgrade() else {
            return;
        };
        let changes = strong.lasting.changes();
        // A server without a handshake may have been ready before anybody looked.
        let (status, generation) = (strong.lasting.status(), strong.lasting.generation());
        if std::mem::replace(&mut told, (status, generation)) != (status, generation) {
            on_change(strong.name(), Change::Status);
        }
        match status {
            Status::Closed => return,
            Status::Ready => {
                if std::mem::replace(&mut listened_on, generation) != generation
                    && let Some((filter, wanted)) = strong.wanted_changes()
                {
                    tokio::spawn(listen(Arc::clone(&strong), generation, filter, wanted));
                }
                // As in `settled`.
                let _ = strong.listing().await;
            }
            _ => {}
        }
        drop(strong);
        changes.await;
    }
}

/// Asks a server without a handshake for its notifications, for as long as that connection holds.
async fn listen(member: Arc<Member>, generation: u64, filter: RawJson, wanted: Vec<Change>) {
    let (lasting, ear) = (&member.lasting, &member.ear);
    let listening = async {
        let mut failures = 0;
        loop {
            let outcome = lasting.listen(&filter).await;
            let was_listening = ear.is_listening.swap(false, Ordering::AcqRel);
            if was_listening {
                failures = 0;
                ear.miss(&wanted);
            } else if !outcome.is_err_and(|failure| is_passing(&failure)) {
                return;
            }
            failures += 1;
            tokio::time::sleep(member.jitter.wait(&member.config.endurance, failures)).await;
        }
    };
    let replaced = async {
        loop {
            let change = lasting.changes();
            if lasting.generation() != generation || lasting.status() != Status::Ready {
                return;
            }
            change.await;
        }
    };
    tokio::select! {
        // Without it the lists are kept for as long as the server allows.
        () = listening => {}
        () = replaced => {}
    }
    if ear.is_listening.swap(false, Ordering::AcqRel) {
        ear.miss(&wanted);
    }
}

/// Whether the same request may be answered in another way later.
fn is_passing(failure: &Error) -> bool {
    let kind = failure.kind();
    matches!(
        kind,
        ErrorKind::ConnectionClosed | ErrorKind::Transport | ErrorKind::McpTimeout
    )
}

/// Hears what a server says unasked before whoever else wants to.
#[derive(Default)]
pub(super) struct Ear {
    inner: Option<Arc<dyn Events>>,
    changes: AtomicU64,
    /// A server without a handshake tells of changes.
    is_listening: AtomicBool,
    /// What may have changed while it was not listened to.
    missed: Mutex<Vec<Change>>,
    on_change: OnceLock<(String, ChangeListener)>,
}

impl Ear {
    fn missed(&self) -> MutexGuard<'_, Vec<Change>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server does not tell of changes any more: what was read is stale, and once it tells again,
    /// it counts as changed.
    fn miss(&self, wanted: &[Change]) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        *self.missed() = wanted.to_vec();
    }

    fn tell(&self, change: Change) {
        if let Some((name, listener)) = self.on_change.get() {
            listener(name, change);
        }
    }
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
                let missed = std::mem::take(&mut *self.missed());
                for change in missed {
                    self.tell(change);
                }
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
        if let Some(change) = change {
            self.tell(change);
        }
    }

    fn garbage(&self, preview: &str, reason: &str) {
        if let Some(inner) = &self.inner {
            inner.garbage(preview, reason);
        }
    }

    fn backlog(&self) -> Option<&Backlog> {
        self.inner.as_ref().and_then(|inner| inner.backlog())
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        if let Some(inner) = &self.inner {
            return inner.request(method, params);
        }
        let refusal = PeerError::method_not_found(method);
        Box::pin(async move { Err(refusal) })
    }
}
