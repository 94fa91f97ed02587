//! A connection of one client alone: the server may ask that client, and nobody else is meant by what
//! it says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use super::related::{Asks, is_for_everybody};
use super::{lock, setup};
use crate::gateway::mcp::client::{Abilities, Client, Described, Outlet};
use crate::gateway::mcp::message::unasked;
use crate::gateway::sampling::{self, Sampler};
use crate::json::RawJson;
use crate::mcp::client::{Mode, Profile};
use crate::mcp::lasting::Server;
use crate::mcp::{
    Events, Jitter, Lasting, Opening, PeerAnswer, PeerError, Policy, ServerConfig, Setup,
};

/// A connection of one client.
#[derive(Debug)]
pub(in crate::gateway::mcp) struct Own {
    pub(in crate::gateway::mcp) lasting: Lasting,
    pub(in crate::gateway::mcp) ear: Arc<Ear>,
}

/// Hears what the server says on it.
pub(in crate::gateway::mcp) struct Ear {
    client: Weak<Client>,
    policy: Policy,
    sampler: Arc<Sampler>,
    /// Where the requests that are under way hear what belongs to them.
    calls: Mutex<BTreeMap<u64, Arc<dyn Outlet>>>,
    next: AtomicU64,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ear")
            .field("calls", &lock(&self.calls).len())
            .finish_non_exhaustive()
    }
}

impl Own {
    /// Begins to connect. Must be called inside the runtime.
    pub(super) fn start(
        config: &ServerConfig,
        client: &Arc<Client>,
        sampler: &Arc<Sampler>,
    ) -> Arc<Self> {
        let ear = Arc::new(Ear {
            client: Arc::downgrade(client),
            policy: config.policy.clone(),
            sampler: Arc::clone(sampler),
            calls: Mutex::default(),
            next: AtomicU64::new(0),
        });
        let events: Arc<dyn Events> = Arc::<Ear>::clone(&ear);
        let lasting = connection(config, &client.described(), events);
        Arc::new(Self { lasting, ear })
    }
}

/// A connection with a handshake that says of itself what a client says.
pub(in crate::gateway::mcp) fn connection(
    config: &ServerConfig,
    described: &Described,
    events: Arc<dyn Events>,
) -> Lasting {
    let ours = Profile::default();
    let capabilities = described.capabilities.as_ref();
    let profile = Profile {
        client_info: described.info.clone().unwrap_or(ours.client_info),
        capabilities: allowed(capabilities.unwrap_or(&ours.capabilities), &config.policy),
        log_level: None,
    };
    let server = Server {
        target: config.target.clone(),
        mode: Mode::Legacy,
        opening: Opening {
            setup: Setup { profile, ..setup() },
            events: Some(events),
            ..Opening::default()
        },
        restart: config.endurance.restart,
    };
    Lasting::start(
        config.name.clone(),
        config.endurance.clone(),
        Arc::new(server),
        Jitter::default(),
    )
}

/// The capabilities of a client without those that the configuration keeps from the server, and with
/// what the gateway does in its place.
pub(in crate::gateway::mcp) fn allowed(capabilities: &RawJson, policy: &Policy) -> RawJson {
    let refused = [
        ("sampling", policy.allow_sampling),
        ("elicitation", policy.allow_elicitation),
    ];
    let refused = refused
        .into_iter()
        .filter(|(_, allowed)| *allowed == Some(false));
    let mut value = None;
    for (name, _) in refused {
        let value = value.get_or_insert_with(|| capabilities.to_value().unwrap_or_default());
        if let Some(object) = value.as_object_mut() {
            object.remove(name);
        }
    }
    if policy.allow_sampling == Some(true) {
        let value = value.get_or_insert_with(|| capabilities.to_value().unwrap_or_default());
        if let Some(object) = value.as_object_mut() {
            object.entry("sampling").or_insert_with(|| json!({}));
        }
    }
    value.map_or_else(
        || capabilities.clone(),
        |value: Value| RawJson::trusted(value.to_string()),
    )
}

/// Whether the configuration lets a server ask for that.
pub(in crate::gateway::mcp) fn is_allowed(policy: &Policy, method: &str) -> bool {
    match method {
        "sampling/createMessage" => policy.allow_sampling != Some(false),
        "elicitation/create" => policy.allow_elicitation != Some(false),
        _ => true,
    }
}

/// Whether a model answers a server's request in the place of a client with these abilities.
pub(in crate::gateway::mcp) fn is_sampled_here(
    policy: &Policy,
    abilities: Abilities,
    method: &str,
) -> bool {
    method == sampling::METHOD && policy.allow_sampling == Some(true) && !abilities.sampling
}

/// One request that is under way.
pub(in crate::gateway::mcp) struct UnderWay<'a>(&'a Ear, u64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.0.calls).remove(&self.1);
    }
}

impl Ear {
    /// Notes a request for as long as it is under way.
    pub(in crate::gateway::mcp) fn enter(&self, outlet: &Arc<dyn Outlet>) -> UnderWay<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.calls).insert(number, Arc::clone(outlet));
        UnderWay(self, number)
    }

    /// Where the client hears what the server says in the course of its requests: on the stream of
    /// the last one, for a transport with one channel does not tell.
    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        let calls = lock(&self.calls);
        calls.last_key_value().map(|(_, outlet)| Arc::clone(outlet))
    }

    /// What asks the client on one of its streams.
    pub(in crate::gateway::mcp) fn asks(&self, outlet: Option<Arc<dyn Outlet>>) -> Asks {
        let (client, policy) = (Weak::clone(&self.client), self.policy.clone());
        let sampler = Arc::clone(&self.sampler);
        Arc::new(move |method, params| {
            let client = client.upgrade().filter(|_| is_allowed(&policy, method));
            let abilities = client.as_ref().map(|client| client.described().abilities());
            if abilities.is_some_and(|can| is_sampled_here(&policy, can, method)) {
                return sampler.answer(params);
            }
            let (method, outlet) = (method.to_owned(), outlet.clone());
            Box::pin(async move {
                let Some(client) = client else {
                    return Err(PeerError::method_not_found(&method));
                };
                client.ask(outlet.as_ref(), &method, params.as_ref()).await
            })
        })
    }
}

impl Events for Ear {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        let belongs_to_none = is_for_everybody(method)
            || matches!(
                method,
                "notifications/elicitation/complete" | "notifications/tasks/status"
            );
        let outlet = self.outlet().filter(|_| !belongs_to_none);
        let is_heard =
            outlet.is_some_and(|outlet| outlet.send(unasked(None, method, params.as_ref())));
        if !is_heard && let Some(client) = self.client.upgrade() {
            client.tell(method, params.as_ref());
        }
    }

    fn garbage(&self, preview: &str, reason: &str) {
        tracing::debug!(target: "toolbridge::gateway", "a server said what is no message: {reason}: {preview}");
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        self.asks(self.outlet())(method, params)
    }
}
