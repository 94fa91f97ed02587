//! Connections to servers with a handshake for clients without one: each serves one call at a time, so
//! that whatever the server asks belongs to that call.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::own::connection;
use super::related::{Asks, is_for_everybody, is_wanted};
use super::{Level, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::mcp::client::{Client, Outlet};
use crate::gateway::mcp::message::unasked;
use crate::json::RawJson;
use crate::mcp::{Events, Lasting, PeerAnswer, PeerError, ServerConfig};

/// How many of them one server may have.
const MAXIMUM_LEASES: usize = 64;
/// How long one that serves nobody is kept.
const KEPT: Duration = Duration::from_mins(1);

/// The connections of one server.
#[derive(Debug, Default)]
pub(in crate::gateway::mcp) struct Leases(Mutex<Pool>);

#[derive(Debug, Default)]
struct Pool {
    spare: Vec<Arc<Leased>>,
    /// Those that serve somebody counted as well.
    count: usize,
    /// Counts what was put back, so that what is closed has been idle all the time.
    returned: u64,
}

/// A connection that is made for clients that say the same of themselves.
pub(in crate::gateway::mcp) struct Leased {
    pub(in crate::gateway::mcp) lasting: Lasting,
    ear: Arc<Ear>,
    key: Vec<u8>,
    last: Mutex<u64>,
    /// The level of log lines that the server was told.
    pub(in crate::gateway::mcp) level: Mutex<Option<Level>>,
}

impl std::fmt::Debug for Leased {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Leased")
    }
}

/// Hears what the server says on it, for the call that it serves.
#[derive(Default)]
struct Ear(Mutex<Option<Served>>);

/// The call that a connection serves.
#[derive(Clone)]
pub(in crate::gateway::mcp) struct Served {
    pub(in crate::gateway::mcp) outlet: Arc<dyn Outlet>,
    pub(in crate::gateway::mcp) asks: Asks,
    /// `Err` wants no log lines.
    pub(in crate::gateway::mcp) level: Result<Level, ()>,
}

/// A connection for as long as its call runs.
#[derive(Debug)]
pub(in crate::gateway::mcp) struct Lease {
    leases: Weak<Leases>,
    leased: Option<Arc<Leased>>,
}

impl Leases {
    /// A connection for one call of a client.
    pub(in crate::gateway::mcp) fn take(
        self: &Arc<Self>,
        config: &ServerConfig,
        client: &Client,
        served: Served,
    ) -> Result<Lease> {
        let described = client.described();
        let parts = [&described.capabilities, &described.info];
        let mut key = client.caller.identity().into_bytes();
        for part in parts.into_iter().flatten() {
            key.push(0);
            key.extend_from_slice(part.as_bytes());
        }
        let mut pool = lock(&self.0);
        let spare = pool.spare.iter().position(|spare| spare.key == key);
        let leased = if let Some(place) = spare {
            pool.spare.swap_remove(place)
        } else {
            if pool.count >= MAXIMUM_LEASES {
                if pool.spare.is_empty() {
                    let message = format!(
                        "{MAXIMUM_LEASES} calls of the MCP server `{}` wait for clients already; come \
                         back later",
                        config.name
                    );
                    return Err(Error::new(ErrorKind::ConnectionClosed, message));
                }
                pool.spare.remove(0);
                pool.count -= 1;
            }
            let ear = Arc::<Ear>::default();
            let events: Arc<dyn Events> = Arc::<Ear>::clone(&ear);
            let leased = Leased {
                lasting: connection(config, &described, events),
                ear,
                key,
                last: Mutex::default(),
                level: Mutex::default(),
            };
            pool.count += 1;
            Arc::new(leased)
        };
        drop(pool);
        *lock(&leased.ear.0) = Some(served);
        Ok(Lease {
            leases: Arc::downgrade(self),
            leased: Some(leased),
        })
    }
}

impl Lease {
    pub(in crate::gateway::mcp) fn lasting(&self) -> Option<&Arc<Leased>> {
        self.leased.as_ref()
    }

    /// The call has ended by an answer: the connection may serve another one. Without it the
    /// connection is closed, for the server may still be at it.
    pub(in crate::gateway::mcp) fn give_back(mut self) {
        let Some((leases, leased)) = self.leases.upgrade().zip(self.leased.take()) else {
            return;
        };
        *lock(&leased.ear.0) = None;
        let mut pool = lock(&leases.0);
        pool.returned += 1;
        let returned = pool.returned;
        *lock(&leased.last) = returned;
        pool.spare.push(Arc::clone(&leased));
        drop(pool);
        let leases = Weak::clone(&self.leases);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            let Some(leases) = leases.upgrade() else {
                return;
            };
            let mut pool = lock(&leases.0);
            let before = pool.spare.len();
            let is_idle =
                |spare: &Arc<Leased>| Arc::ptr_eq(spare, &leased) && *lock(&spare.last) == returned;
            pool.spare.retain(|spare| !is_idle(spare));
            pool.count -= before - pool.spare.len();
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.leased.take().is_some()
            && let Some(leases) = self.leases.upgrade()
        {
            lock(&leases.0).count -= 1;
        }
    }
}

impl Leased {
    /// Hears what the transport says belongs to the call.
    pub(in crate::gateway::mcp) fn events(&self) -> Arc<dyn Events> {
        Arc::<Ear>::clone(&self.ear)
    }
}

impl Ear {
    fn served(&self) -> Option<Served> {
        lock(&self.0).clone()
    }
}

impl Events for Ear {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        // The shared connection brings the news for everybody.
        if is_for_everybody(method) {
            return;
        }
        let Some(served) = self.served() else { return };
        let is_line = method == "notifications/message";
        let level = served.level;
        if !is_line || level.is_ok_and(|level| is_wanted(Some(level), params.as_ref())) {
            served.outlet.send(unasked(None, method, params.as_ref()));
        }
    }

    fn garbage(&self, preview: &str, reason: &str) {
        tracing::debug!(target: "toolbridge::gateway", "a server said what is no message: {reason}: {preview}");
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        if let Some(served) = self.served() {
            return (served.asks)(method, params);
        }
        let refusal = PeerError::method_not_found(method);
        Box::pin(async move { Err(refusal) })
    }
}
