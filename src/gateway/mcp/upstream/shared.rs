//! The connection that all clients of a server share: what the server says on it goes to whom it is
//! for, and to nobody if that is not known.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::lists::Lists;
use super::news::News;
use super::related::is_wanted;
use super::{Clients, Level, Own, is_sampled_here, lock};
use crate::gateway::mcp::client::{Abilities, Client, Outlet};
use crate::gateway::mcp::message::unasked;
use crate::gateway::sampling::Sampler;
use crate::json::RawJson;
use crate::mcp::{Events, PeerAnswer, PeerError, ServerConfig};

/// Who uses the shared connection of a server, and for what.
pub(in crate::gateway::mcp) struct Shared {
    config: ServerConfig,
    clients: Arc<Clients>,
    sampler: Arc<Sampler>,
    /// The clients that do not share.
    pub(super) own: Mutex<HashMap<u64, Arc<Own>>>,
    pub(super) news: News,
    pub(in crate::gateway::mcp) lists: Lists,
    calls: Mutex<BTreeMap<u64, Call>>,
    wishes: Mutex<Wishes>,
    next: AtomicU64,
    /// Clients with a handshake have a connection apart.
    has_earlier: AtomicBool,
}

/// Hears what a server says on one of the shared connections.
pub(in crate::gateway::mcp) struct Ear {
    shared: Arc<Shared>,
    /// It is the connection of the clients with a handshake, beside one that has none.
    is_earlier: bool,
}

/// A request that is under way.
struct Call {
    client: u64,
    outlet: Arc<dyn Outlet>,
    /// The least important log lines that it wants; `Err` wants none.
    level: Result<Option<Level>, ()>,
}

/// What clients asked for that lasts.
#[derive(Default)]
struct Wishes {
    /// From the URI of a resource to those who want to know of its changes.
    subscribers: BTreeMap<String, BTreeSet<u64>>,
    levels: BTreeMap<u64, Level>,
    listeners: BTreeMap<u64, Listener>,
}

/// A long answer that brings news, of the later era.
pub(in crate::gateway::mcp) struct Listener {
    pub(in crate::gateway::mcp) outlet: Arc<dyn Outlet>,
    /// The methods of the notifications that it brings.
    pub(in crate::gateway::mcp) lists: Vec<&'static str>,
    pub(in crate::gateway::mcp) uris: BTreeSet<String>,
    /// The id of its request, which its notifications carry.
    pub(in crate::gateway::mcp) id: RawJson,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("server", &self.config.name)
            .finish_non_exhaustive()
    }
}

/// Takes an entry back when it is dropped.
pub(in crate::gateway::mcp) struct Entry<'a> {
    shared: &'a Shared,
    number: u64,
    is_listener: bool,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.is_listener {
            lock(&self.shared.wishes).listeners.remove(&self.number);
        } else {
            lock(&self.shared.calls).remove(&self.number);
        }
    }
}

impl Shared {
    pub(in crate::gateway::mcp) fn new(
        config: ServerConfig,
        clients: Arc<Clients>,
        sampler: Arc<Sampler>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            clients,
            sampler,
            own: Mutex::default(),
            news: News::default(),
            lists: Lists::default(),
            calls: Mutex::default(),
            wishes: Mutex::default(),
            next: AtomicU64::new(0),
            has_earlier: AtomicBool::new(false),
        })
    }

    /// What answers for clients that cannot.
    pub(in crate::gateway::mcp) fn sampler(&self) -> &Arc<Sampler> {
        &self.sampler
    }

    pub(super) fn config(&self) -> &ServerConfig {
        &self.config
    }

    pub(super) fn has_earlier(&self) {
        self.has_earlier.store(true, Ordering::Release);
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a request for as long as it is under way. `Err` as level wants no log lines.
    pub(in crate::gateway::mcp) fn enter(
        &self,
        client: &Client,
        outlet: &Arc<dyn Outlet>,
        level: Result<Option<Level>, ()>,
    ) -> Entry<'_> {
        let number = self.number();
        let call = Call {
            client: client.number,
            outlet: Arc::clone(outlet),
            level,
        };
        lock(&self.calls).insert(number, call);
        Entry {
            shared: self,
            number,
            is_listener: false,
        }
    }

    /// Brings news for as long as the entry is kept.
    pub(in crate::gateway::mcp) fn listen(&self, listener: Listener) -> Entry<'_> {
        let number = self.number();
        lock(&self.wishes).listeners.insert(number, listener);
        Entry {
            shared: self,
            number,
            is_listener: true,
        }
    }

    /// The least important log lines that a client asked for.
    pub(in crate::gateway::mcp) fn level(&self, client: &Client) -> Option<Level> {
        lock(&self.wishes).levels.get(&client.number).copied()
    }

    /// A client wants log lines from that level on; the level that the server has to be told.
    pub(in crate::gateway::mcp) fn set_level(&self, client: &Client, level: Level) -> Level {
        let mut wishes = lock(&self.wishes);
        wishes.levels.insert(client.number, level);
        wishes.levels.values().copied().min().unwrap_or(level)
    }

    pub(in crate::gateway::mcp) fn subscribe(&self, client: &Client, uri: &str) {
        let mut wishes = lock(&self.wishes);
        let subscribers = wishes.subscribers.entry(uri.to_owned()).or_default();
        subscribers.insert(client.number);
    }

    /// Whether nobody else wants to know of the changes of that resource.
    pub(in crate::gateway::mcp) fn unsubscribe(&self, client: &Client, uri: &str) -> bool {
        let mut wishes = lock(&self.wishes);
        if let Some(subscribers) = wishes.subscribers.get_mut(uri) {
            subscribers.remove(&client.number);
            if !subscribers.is_empty() {
                return false;
            }
            wishes.subscribers.remove(uri);
        }
        wishes.listeners.values().all(|one| !one.uris.contains(uri))
    }

    /// Whether somebody wants to know of the changes of that resource.
    pub(in crate::gateway::mcp) fn is_subscribed(&self, uri: &str) -> bool {
        let wishes = lock(&self.wishes);
        wishes.subscribers.contains_key(uri)
            || wishes.listeners.values().any(|one| one.uris.contains(uri))
    }

    /// A client is gone; the resources that nobody wants to know of any more.
    pub(super) fn forget(&self, client: u64) -> Vec<String> {
        self.news.forget(client);
        let mut wishes = lock(&self.wishes);
        wishes.levels.remove(&client);
        let mut left = Vec::new();
        let Wishes {
            subscribers,
            listeners,
            ..
        } = &mut *wishes;
        subscribers.retain(|uri, numbers| {
            let was_subscribed = numbers.remove(&client);
            if was_subscribed
                && numbers.is_empty()
                && listeners.values().all(|one| !one.uris.contains(uri))
            {
                left.push(uri.clone());
            }
            !numbers.is_empty()
        });
        left
    }

    /// The news of a list goes to everybody who uses this server.
    fn list_changed(&self, method: &str, params: Option<&RawJson>, is_earlier: bool) {
        let is_for_sessions = is_earlier || !self.has_earlier.load(Ordering::Acquire);
        let clients = is_for_sessions.then(|| self.clients.all());
        for client in clients.into_iter().flatten() {
            let shares = !lock(&self.own).contains_key(&client.number);
            if shares && client.scope.covers(&self.config) {
                client.tell(method, params);
            }
        }
        for listener in lock(&self.wishes).listeners.values() {
            if listener.lists.contains(&method) {
                listener.tell(method, params);
            }
        }
    }

    fn updated(&self, method: &str, params: Option<&RawJson>) {
        #[derive(Deserialize)]
        struct Updated<'a> {
            #[serde(borrow)]
            uri: Cow<'a, str>,
        }
        let updated =
            params.and_then(|raw| serde_json::from_slice::<Updated<'_>>(raw.as_bytes()).ok());
        let Some(Updated { uri }) = updated else {
            return;
        };
        let wishes = lock(&self.wishes);
        for listener in wishes.listeners.values() {
            if listener.uris.contains(&*uri) {
                listener.tell(method, params);
            }
        }
        let numbers = wishes.subscribers.get(&*uri).cloned().unwrap_or_default();
        drop(wishes);
        for client in numbers
            .into_iter()
            .filter_map(|number| self.clients.get(number))
        {
            client.tell(method, params);
        }
    }

    /// What belongs to a request, and comes without a word of which, goes to the one client that has
    /// any under way.
    fn to_the_only_one(&self, method: &str, params: Option<&RawJson>) {
        let calls = lock(&self.calls);
        let mut outlet = None;
        if let Some((_, last)) = calls.last_key_value()
            && calls.values().all(|call| call.client == last.client)
        {
            let is_line = method == "notifications/message";
            let is_wanted = !is_line || last.level.is_ok_and(|level| is_wanted(level, params));
            outlet = is_wanted.then(|| Arc::clone(&last.outlet));
        }
        drop(calls);
        if let Some(outlet) = outlet {
            outlet.send(unasked(None, method, params));
        } else {
            tracing::debug!(
                target: "toolbridge::gateway", server = self.config.name,
                "{method} is of no request that is known; it went to nobody"
            );
        }
    }
}

impl Listener {
    /// The id of the subscription is the one that the client knows.
    fn tell(&self, method: &str, params: Option<&RawJson>) {
        let told = super::super::relay::with_subscription(params, &self.id);
        self.outlet.send(unasked(None, method, Some(&told)));
    }
}

impl Ear {
    pub(in crate::gateway::mcp) fn new(shared: &Arc<Shared>, is_earlier: bool) -> Self {
        Self {
            shared: Arc::clone(shared),
            is_earlier,
        }
    }
}

impl Events for Ear {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        let (shared, params) = (&self.shared, params.as_ref());
        match method {
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {
                if !self.is_earlier {
                    shared.lists.changed(method);
                }
                shared.list_changed(method, params, self.is_earlier);
            }
            "notifications/resources/updated" => shared.updated(method, params),
            _ => shared.to_the_only_one(method, params),
        }
    }

    fn garbage(&self, preview: &str, reason: &str) {
        tracing::debug!(
            target: "toolbridge::gateway", server = self.shared.config.name,
            "the server said what is no message: {reason}: {preview}"
        );
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        // Clients that can be asked have a connection of their own.
        let nobody = Abilities::default();
        if is_sampled_here(&self.shared.config.policy, nobody, method) {
            return self.shared.sampler.answer(params);
        }
        let refusal = PeerError::method_not_found(method);
        Box::pin(async move { Err(refusal) })
    }
}
