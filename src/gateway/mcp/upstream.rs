//! Connections to servers: one to each that all clients share, and those that belong to one client
//! alone. Owns [`Upstream`]; uses `mcp::Group`'s members and `mcp::Lasting`.
//!
//! ```text
//! shared    the connection of all clients: who hears what of it
//! own       a connection of one client, for servers that ask their clients
//! lease     connections to old servers that serve one call of a new client at a time
//! related   what belongs to one request, on its way to the stream of that request
//! lists     what a server has, as long as it is that
//! news      changes of resources at new servers, for old clients
//! clients   the clients that last longer than a request
//! ```

mod clients;
mod lease;
mod level;
mod lists;
mod news;
mod own;
mod related;
mod shared;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::client::{Client, Described};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::client::{Profile, is_outage};
use crate::mcp::{
    CallOptions, Group, Lasting, Member, Opening, Params, ServerConfig, Setup, Status, Target,
};
use crate::tools::Separator;
use own::connection;

pub(super) use clients::Clients;
pub(super) use lease::{Lease, Leases, Served};
pub(super) use level::{Level, level_of};
pub(super) use lists::{Kind, List, has_capability};
pub(super) use own::{Own, allowed, is_allowed, is_sampled_here};
pub(super) use related::{Asks, Related};
pub(super) use shared::{Ear, Listener, Shared};

/// With how many credentials of clients one server may be used.
const MAXIMUM_CREDENTIALS: usize = 256;
/// After how long without a call a connection with a client's credentials is closed.
const IDLE_CREDENTIALS: Duration = Duration::from_mins(5);
/// How many connections of single clients one server may have.
const MAXIMUM_OWN: usize = 1_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) member: Arc<Member>,
    pub(super) shared: Arc<Shared>,
    pub(super) leases: Arc<Leases>,
    turns: Option<Semaphore>,
    this: Weak<Self>,
    /// The same server with other credentials, which clients gave.
    others: Mutex<Others>,
    /// What keeps the connection where it is one with other credentials.
    _group: Option<Group>,
    /// The connection of the clients with a handshake, where the other one has none; none if the
    /// server wants no handshake at all.
    earlier: OnceCell<Option<Lasting>>,
}

/// A server with other credentials, by the headers that carry them.
type Others = HashMap<Vec<(String, String)>, Arc<Upstream>>;

/// The connection that the clients of one era share.
pub(super) struct Line<'a> {
    pub(super) lasting: &'a Lasting,
    /// What the server said of itself on it.
    pub(super) described: RawJson,
    pub(super) has_handshake: bool,
}

/// What the shared connection to a server is opened with.
pub(super) fn opening(shared: &Arc<Shared>) -> Opening {
    let ours = Profile::default();
    let profile = Profile {
        capabilities: allowed(&ours.capabilities, &shared.config().policy),
        ..ours
    };
    Opening {
        setup: Setup { profile, ..setup() },
        events: Some(Arc::new(Ear::new(shared, false))),
        ..Opening::default()
    }
}

/// Whatever a client should do with what a server says is the client's to do.
fn setup() -> Setup {
    Setup {
        screens_tools: false,
        ..Setup::default()
    }
}

impl Upstream {
    pub(super) fn new(member: Arc<Member>, shared: Arc<Shared>) -> Arc<Self> {
        Self::of(member, shared, None)
    }

    fn of(member: Arc<Member>, shared: Arc<Shared>, group: Option<Group>) -> Arc<Self> {
        let limit = member.config().policy.max_concurrent_requests;
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            turns: limit.map(|limit| Semaphore::new(limit.max(1))),
            member,
            shared,
            leases: Arc::default(),
            earlier: OnceCell::new(),
            others: Mutex::default(),
            _group: group,
        })
    }

    /// The same server with these headers beside its own, over a connection of their own.
    pub(super) fn with(
        self: &Arc<Self>,
        headers: Vec<(String, String)>,
        clients: &Arc<Clients>,
    ) -> Result<Arc<Self>> {
        let mut config = self.config().clone();
        let Target::Http { settings, .. } = &mut config.target else {
            return Ok(Arc::clone(self));
        };
        if headers.is_empty() {
            return Ok(Arc::clone(self));
        }
        let mut others = lock(&self.others);
        if let Some(found) = others.get(&headers) {
            return Ok(Arc::clone(found));
        }
        if others.len() >= MAXIMUM_CREDENTIALS {
            others.retain(|_, other| !other.is_idle());
        }
        if others.len() >= MAXIMUM_CREDENTIALS {
            let message = format!(
                "the MCP server `{}` is used with {MAXIMUM_CREDENTIALS} credentials at once already; \
                 come back later",
                config.name
            );
            return Err(Error::new(ErrorKind::ConnectionClosed, message));
        }
        let is_replaced = |name: &str| {
            let mut names = headers.iter();
            names.any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        settings.headers.retain(|(name, _)| !is_replaced(name));
        settings.headers.extend(headers.iter().cloned());
        let idle_close = config.endurance.idle_close;
        config.endurance.idle_close = idle_close.or(Some(IDLE_CREDENTIALS));
        let shared = Shared::new(
            config.clone(),
            Arc::clone(clients),
            Arc::clone(self.shared.sampler()),
        );
        let group = Group::new(Separator::default(), Arc::new(|_, _| {}));
        let member = group.add(config, opening(&shared))?;
        let made = Self::of(member, shared, Some(group));
        others.insert(headers, Arc::clone(&made));
        Ok(made)
    }

    /// Whether nobody uses it.
    fn is_idle(self: &Arc<Self>) -> bool {
        let is_unused = Arc::strong_count(self) == 1 && lock(&self.shared.own).is_empty();
        is_unused && !matches!(self.lasting().status(), Status::Ready | Status::Connecting)
    }

    pub(super) fn config(&self) -> &ServerConfig {
        self.member.config()
    }

    /// The connection that all share.
    pub(super) fn lasting(&self) -> &Lasting {
        self.member.lasting()
    }

    /// The connection that clients of an era share; waits for it if there is none. A server that
    /// speaks both eras is spoken to as its client speaks.
    pub(super) async fn line(&self, is_modern: bool) -> Result<Line<'_>> {
        let lasting = self.lasting();
        let described = self.described(lasting).await?;
        let has_handshake = lasting.has_handshake();
        if !is_modern
            && !has_handshake
            && let Some(earlier) = self.earlier().await
        {
            return Ok(Line {
                described: self.described(earlier).await?,
                lasting: earlier,
                has_handshake: true,
            });
        }
        Ok(Line {
            lasting,
            described,
            has_handshake,
        })
    }

    /// Where clients with a handshake have made their wishes.
    pub(super) fn old_lasting(&self) -> &Lasting {
        let earlier = self.earlier.get().and_then(Option::as_ref);
        earlier.unwrap_or_else(|| self.lasting())
    }

    /// Tries once whether a server without a handshake takes one all the same.
    async fn earlier(&self) -> Option<&Lasting> {
        if let Some(known) = self.earlier.get() {
            return known.as_ref();
        }
        // Whoever fixed a revision means it.
        if !matches!(self.config().mode.as_deref(), None | Some("auto")) {
            return None;
        }
        let tried = self.earlier.get_or_try_init(|| async {
            let events = Arc::new(Ear::new(&self.shared, true));
            let lasting = connection(self.config(), &Described::default(), events);
            lasting.settled().await;
            if lasting.status() == Status::Ready {
                self.shared.has_earlier();
                return Ok(Some(lasting));
            }
            // One that was not reached may speak both eras all the same.
            match lasting.last_error() {
                Some(failure) if is_outage(&failure) => Err(()),
                _ => Ok(None),
            }
        });
        tried.await.ok()?.as_ref()
    }

    async fn described(&self, lasting: &Lasting) -> Result<RawJson> {
        if let Some(described) = lasting.described() {
            return Ok(described);
        }
        let options = CallOptions {
            timeout: Some(self.config().endurance.connect_timeout),
            ..CallOptions::default()
        };
        let answer = lasting.request("ping", Params::default(), options).await;
        if let Some(described) = lasting.described() {
            return Ok(described);
        }
        Err(answer.err().unwrap_or_else(|| {
            let message = format!("the MCP server `{}` is not connected", self.config().name);
            Error::new(ErrorKind::ConnectionClosed, message)
        }))
    }

    /// Waits until the server takes one more request, where it takes only so many.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.turns.as_ref()?.acquire().await.ok()
    }

    /// The client's own connection, if it has one.
    pub(super) fn own(&self, client: &Client) -> Option<Arc<Own>> {
        lock(&self.shared.own).get(&client.number).cloned()
    }

    /// The client's own connection, made now if it has none.
    pub(super) fn own_or_new(&self, client: &Arc<Client>) -> Result<Arc<Own>> {
        let mut own = lock(&self.shared.own);
        if let Some(found) = own.get(&client.number) {
            return Ok(Arc::clone(found));
        }
        if own.len() >= MAXIMUM_OWN {
            let message = format!(
                "{MAXIMUM_OWN} clients have a connection of their own to the MCP server `{}` \
                 already; come back later",
                self.config().name
            );
            return Err(Error::new(ErrorKind::ConnectionClosed, message));
        }
        let made = Own::start(self.config(), client, self.shared.sampler());
        own.insert(client.number, Arc::clone(&made));
        Ok(made)
    }

    /// A client is gone, and with it what it had here.
    pub(super) fn forget(&self, client: &Client) {
        let others: Vec<_> = lock(&self.others).values().cloned().collect();
        for other in others {
            other.forget(client);
        }
        // Dropping a connection closes it.
        drop(lock(&self.shared.own).remove(&client.number));
        for uri in self.shared.forget(client.number) {
            self.unsubscribe(uri);
        }
    }

    /// Takes back a subscription of a listener that is gone, unless somebody else has the same.
    pub(super) fn leave(&self, uri: String) {
        if !self.shared.is_subscribed(&uri) {
            self.unsubscribe(uri);
        }
    }

    fn unsubscribe(&self, uri: String) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let Some(upstream) = self.this.upgrade() else {
            return;
        };
        runtime.spawn(async move {
            let object = serde_json::json!({ "uri": uri }).to_string();
            let params = Params {
                object: Some(RawJson::trusted(object)),
                meta: None,
            };
            let options = CallOptions {
                verbatim: true,
                ..CallOptions::default()
            };
            // Nobody is left whom a refusal would matter to.
            let _ = upstream
                .old_lasting()
                .request("resources/unsubscribe", params, options)
                .await;
        });
    }

    /// Brings a client of the earlier era the changes of a resource; `params` are those of the long
    /// request.
    pub(super) async fn begin_news(
        &self,
        client: &Arc<Client>,
        uri: String,
        params: RawJson,
    ) -> Result<()> {
        let news = &self.shared.news;
        news.begin(client, uri, &self.member, params).await
    }

    pub(super) fn stop_news(&self, client: &Client, uri: &str) {
        self.shared.news.stop(client.number, uri);
    }
}
