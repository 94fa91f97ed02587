//! Where a message of a client goes, and what comes back. Owns [`Relay`]; uses `upstream`.
//!
//! ```text
//! direct      one server: the client's message as it is, each of the two of either era
//! describe    what a server says of itself, in the words of the client's era
//! rounds      an old client at a new server: what the server wants is asked on the client's stream
//! sampled     both new: a model answers for a client that cannot, and the client what else is wanted
//! parking     a new client at an old server: what the server asks becomes a wish for input
//! seal        what leads a client back to its waiting call
//! many        several servers as one: names, lists, whose a request is
//! names       `server-tool`, and the lists under such names
//! merged      what several servers together say of themselves
//! policy      which tools and parameters the configuration offers
//! listen      news that a client asked for
//! traced      a request in its trace
//! splice      looks into JSON text and changes of it
//! ```

mod describe;
mod direct;
mod listen;
mod many;
mod merged;
mod names;
mod parking;
mod policy;
mod rounds;
mod sampled;
mod seal;
mod splice;
mod traced;

use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderName;

use super::client::{Client, Outlet};
use super::message::{INVALID_PARAMS, Request, RpcError};
use super::scope::{Covered, Scope, Unknown};
use super::upstream::{Clients, Kind, Shared, Upstream, opening};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::access::Caller;
use crate::gateway::config::RESERVED;
use crate::gateway::metrics::Metrics;
use crate::gateway::sampling::Sampler;
use crate::gateway::trace::Trace;
use crate::json::RawJson;
use crate::mcp::{Group, Member, ServerConfig};
use crate::tools::Separator;

use names::Names;
use parking::Parking;

pub(super) use splice::{member, text_member, with_subscription};

/// The servers, as clients see them.
#[derive(Debug)]
pub(super) struct Relay {
    servers: Group,
    upstreams: RwLock<Arc<Vec<Arc<Upstream>>>>,
    /// The headers of clients that any of the servers gets.
    forwarded: RwLock<Arc<[HeaderName]>>,
    clients: Arc<Clients>,
    sampler: Arc<Sampler>,
    parking: Arc<Parking>,
    names: Names,
    metrics: Arc<Metrics>,
}

/// A request of a client on its way.
struct Asked<'a> {
    client: &'a Arc<Client>,
    id: &'a RawJson,
    method: &'a str,
    params: Option<RawJson>,
    /// The stream of its answer.
    outlet: &'a Arc<dyn Outlet>,
    metrics: &'a Arc<Metrics>,
    /// Where it stands in a trace.
    trace: &'a Trace,
}

impl Relay {
    pub(super) fn new(servers: Vec<ServerConfig>, metrics: Arc<Metrics>) -> Result<Self> {
        let relay = Self {
            servers: Group::new(separator()?, Arc::new(|_, _| {})),
            upstreams: RwLock::default(),
            forwarded: RwLock::default(),
            clients: Arc::default(),
            sampler: Sampler::new(&metrics),
            parking: Parking::new()?,
            names: Names::new(separator()?),
            metrics,
        };
        relay.reload(servers)?;
        Ok(relay)
    }

    /// Takes other servers; those that did not change keep their connections.
    pub(super) fn reload(&self, servers: Vec<ServerConfig>) -> Result<()> {
        for server in &servers {
            let mut names = [Some(&server.name), server.alias.as_ref()]
                .into_iter()
                .flatten();
            if let Some(name) = names.find(|name| RESERVED.contains(&name.as_str())) {
                let message = format!(
                    "no MCP server can be called {name:?}: {} are paths of the gateway; give it \
                     another name",
                    RESERVED.join(", ")
                );
                return Err(Error::new(ErrorKind::Configuration, message));
            }
        }
        let mut ears: Vec<(String, Arc<Shared>)> = Vec::new();
        let ears_of = std::sync::Mutex::new(&mut ears);
        self.servers.replace(servers, |config| {
            let ear = Shared::new(
                config.clone(),
                Arc::clone(&self.clients),
                Arc::clone(&self.sampler),
            );
            let opening = opening(&ear);
            ears_of
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((config.name.clone(), ear));
            opening
        })?;
        let known = self.upstreams();
        let upstreams = self.servers.members().into_iter().filter_map(|member| {
            let kept = known.iter().find(|one| Arc::ptr_eq(&one.member, &member));
            if let Some(kept) = kept {
                return Some(Arc::clone(kept));
            }
            let place = ears.iter().position(|(name, _)| name == member.name())?;
            let (_, ear) = ears.swap_remove(place);
            Some(Upstream::new(member, ear))
        });
        let upstreams: Arc<Vec<Arc<Upstream>>> = Arc::new(upstreams.collect());
        let forwarded = upstreams.iter().flat_map(|server| {
            let names = server.config().policy.forwarded_headers.iter();
            names.filter_map(|name| HeaderName::try_from(name).ok())
        });
        let forwarded = forwarded.collect();
        *self
            .forwarded
            .write()
            .unwrap_or_else(PoisonError::into_inner) = forwarded;
        *self
            .upstreams
            .write()
            .unwrap_or_else(PoisonError::into_inner) = upstreams;
        Ok(())
    }

    /// What answers for clients that cannot.
    pub(super) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    fn upstreams(&self) -> Arc<Vec<Arc<Upstream>>> {
        Arc::clone(
            &self
                .upstreams
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The servers that a caller came for; those that it may not use do not exist for it.
    fn covered(
        &self,
        caller: &Caller,
        scope: &Scope,
    ) -> std::result::Result<Covered<Arc<Upstream>>, Unknown> {
        let all = self.upstreams();
        if !caller.is_limited() {
            return scope.covered(&all, |server| server.config());
        }
        let usable = all.iter().filter(|server| caller.may_use(server.config()));
        let usable: Vec<_> = usable.cloned().collect();
        scope.covered(&usable, |server| server.config())
    }

    /// The headers of clients that any of the servers gets.
    pub(super) fn forwarded(&self) -> Arc<[HeaderName]> {
        Arc::clone(
            &self
                .forwarded
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The servers that a client came for, each over the connection that has the client's credentials.
    fn covered_by(&self, client: &Client) -> Result<Covered<Arc<Upstream>>, RpcError> {
        let gone = |Unknown| {
            let message = "the servers of this endpoint are not configured any more";
            RpcError::new(INVALID_PARAMS, message)
        };
        let covered = self.covered(&client.caller, &client.scope).map_err(gone)?;
        let forwarded = &client.scope.forwarded;
        if forwarded.is_empty() {
            return Ok(covered);
        }
        let all = self.upstreams();
        let all: Vec<_> = all.iter().map(|one| one.config()).collect();
        let with = |server: Arc<Upstream>| {
            let headers = forwarded.of(server.config(), &all);
            server.with(headers, &self.clients)
        };
        Ok(match covered {
            Covered::One(server) => Covered::One(with(server)?),
            Covered::Many(servers) => {
                let servers: Result<_> = servers.into_iter().map(with).collect();
                Covered::Many(servers?)
            }
        })
    }

    /// Whether a scope leads a caller anywhere.
    pub(super) fn knows(&self, caller: &Caller, scope: &Scope) -> bool {
        self.covered(caller, scope).is_ok()
    }

    /// The servers, in the order of the configuration.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.servers.members()
    }

    /// Reaches every server that can be reached.
    pub(super) async fn reach(&self) {
        self.servers.tools().await;
    }

    /// What a client says without wanting an answer.
    pub(super) async fn notification(
        &self,
        client: &Arc<Client>,
        method: &str,
        params: Option<&RawJson>,
    ) {
        match self.covered_by(client) {
            Ok(Covered::One(server)) => {
                direct::notification(&server, client, method, params).await;
            }
            // Of the others nothing tells whose they are.
            Ok(Covered::Many(servers)) if method == "notifications/roots/list_changed" => {
                for server in servers {
                    direct::notification(&server, client, method, params).await;
                }
            }
            _ => {}
        }
    }

    /// A client is gone.
    pub(super) fn closed(&self, client: &Client) {
        self.clients.remove(client);
        for server in self.upstreams().iter() {
            server.forget(client);
        }
    }

    pub(super) async fn close(&self) {
        self.servers.close().await;
    }

    /// The parameters of a request, with the server's own name for what it names as several servers
    /// are asked for it.
    async fn unprefixed(&self, server: &Arc<Upstream>, asked: &Asked<'_>) -> Option<RawJson> {
        let params = asked.params.as_ref()?;
        let kind = match asked.method {
            "tools/call" => Kind::Tools,
            "prompts/get" => Kind::Prompts,
            _ => return Some(params.clone()),
        };
        let name = text_member(params.as_bytes(), "name");
        let Some(name) = name.filter(|name| name.starts_with(server.member.label())) else {
            return Some(params.clone());
        };
        // A name of the server's own means what it says.
        let list = server.list(kind).await;
        if list.is_none_or(|list| list.has(&name)) {
            return Some(params.clone());
        }
        let servers = [Arc::clone(server)];
        let Ok((_, own)) = self.names.find(kind, &servers, &name).await else {
            return Some(params.clone());
        };
        let own = serde_json::Value::from(own).to_string();
        Some(splice::with_member(params, "name", &own))
    }

    /// Answers a request of a client. What belongs to it on the way goes to `related`. Dropping the
    /// future cancels it everywhere.
    pub(super) async fn request(
        &self,
        client: &Arc<Client>,
        request: &Request,
        related: &Arc<dyn Outlet>,
    ) -> Result<RawJson, RpcError> {
        let trace = traced::trace(request);
        let asked = Asked {
            client,
            id: &request.id,
            method: &request.method,
            params: request.params.clone(),
            outlet: related,
            metrics: &self.metrics,
            trace: &trace,
        };
        if asked.method == "initialize" {
            self.clients.add(client);
        }
        match self.covered_by(client)? {
            Covered::One(server) => {
                let params = self.unprefixed(&server, &asked).await;
                let asked = Asked { params, ..asked };
                direct::request(&server, &asked, &self.parking).await
            }
            Covered::Many(servers) => many::request(self, &servers, &asked).await,
        }
    }
}

/// What stands between a server and its tool, as LiteLLM has it.
pub(super) fn separator() -> Result<Separator> {
    match std::env::var("MCP_TOOL_PREFIX_SEPARATOR") {
        Ok(text) if !text.is_empty() => Separator::new(&text),
        _ => Ok(Separator::default()),
    }
}
