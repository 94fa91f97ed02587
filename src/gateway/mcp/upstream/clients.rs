//! The clients that last longer than a request, so that servers' news reach them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use super::lock;
use crate::gateway::mcp::client::Client;

/// Clients by their numbers.
#[derive(Debug, Default)]
pub(in crate::gateway::mcp) struct Clients(Mutex<BTreeMap<u64, Weak<Client>>>);

impl Clients {
    pub(in crate::gateway::mcp) fn add(&self, client: &Arc<Client>) {
        lock(&self.0).insert(client.number, Arc::downgrade(client));
    }

    pub(in crate::gateway::mcp) fn remove(&self, client: &Client) {
        lock(&self.0).remove(&client.number);
    }

    /// One of them.
    pub(in crate::gateway::mcp) fn get(&self, number: u64) -> Option<Arc<Client>> {
        lock(&self.0).get(&number)?.upgrade()
    }

    /// All of them.
    pub(in crate::gateway::mcp) fn all(&self) -> Vec<Arc<Client>> {
        let mut clients = lock(&self.0);
        clients.retain(|_, client| client.strong_count() > 0);
        clients.values().filter_map(Weak::upgrade).collect()
    }
}
