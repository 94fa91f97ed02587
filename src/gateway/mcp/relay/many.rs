//! An endpoint of several servers: their lists as one, and each request to the server that it is for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use super::direct::{self, nothing, unknown_method};
use super::merged::{self, Said};
use super::splice::{member, text_member, with_member, with_subscription};
use super::{Asked, Relay};
use crate::gateway::mcp::client::Outlet;
use crate::gateway::mcp::message::{INVALID_PARAMS, RpcError, unasked};
use crate::gateway::mcp::upstream::{Kind, Upstream, has_capability};
use crate::json::RawJson;
use crate::mcp::Status;

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// How long a client waits for what servers say of themselves that are only just being reached.
const PATIENCE: Duration = Duration::from_secs(5);
const NOT_FOUND: i64 = -32_002;

type Servers<'a> = &'a [Arc<Upstream>];

/// Answers a request.
pub(super) async fn request(
    relay: &Relay,
    servers: Servers<'_>,
    asked: &Asked<'_>,
) -> Result<RawJson, RpcError> {
    let is_modern = asked.client.described().is_modern();
    let many = Many {
        relay,
        servers,
        asked,
    };
    match asked.method {
        "initialize" if !is_modern => {
            let said = many.said().await;
            let version = &asked.client.described().version;
            Ok(merged::initialized(&said, version))
        }
        "server/discover" if is_modern => Ok(merged::discovered(&many.said().await)),
        "ping" if !is_modern => Ok(nothing()),
        "tools/list" => many.list(Kind::Tools, is_modern).await,
        "prompts/list" => many.list(Kind::Prompts, is_modern).await,
        "resources/list" => many.list(Kind::Resources, is_modern).await,
        "resources/templates/list" => many.list(Kind::Templates, is_modern).await,
        "tools/call" => many.call(Kind::Tools).await,
        "prompts/get" => many.call(Kind::Prompts).await,
        "resources/read" => many.read().await,
        "resources/subscribe" | "resources/unsubscribe" if !is_modern => many.read().await,
        "completion/complete" => many.complete().await,
        "logging/setLevel" if !is_modern => many.set_level().await,
        "subscriptions/listen" if is_modern => many.listen().await,
        "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => {
            many.first_that_answers(servers.to_vec()).await
        }
        method => Err(unknown_method(method)),
    }
}

struct Many<'a> {
    relay: &'a Relay,
    servers: Servers<'a>,
    asked: &'a Asked<'a>,
}

impl Many<'_> {
    /// What each server says of itself.
    async fn said(&self) -> Vec<Said<'_>> {
        let servers = self.servers.iter().map(|server| async move {
            let lasting = server.lasting();
            if lasting.status() == Status::Connecting {
                let _ = tokio::time::timeout(PATIENCE, lasting.settled()).await;
            }
            Said {
                name: server.member.label(),
                described: lasting.described(),
                instructions: server.config().policy.instructions.as_deref(),
            }
        });
        join_all(servers).await
    }

    async fn list(&self, kind: Kind, is_modern: bool) -> Result<RawJson, RpcError> {
        let params = self.asked.params.as_ref();
        if let Some(cursor) = params.and_then(|params| text_member(params.as_bytes(), "cursor")) {
            let message = format!("cursor is {cursor:?}; the whole list comes as one page");
            return Err(RpcError::new(INVALID_PARAMS, message));
        }
        let merged = self.relay.names.listed(kind, self.servers).await;
        let head = format!("{{\"{}\":", kind.member());
        let tail = if is_modern {
            format!(
                ",\"resultType\":\"complete\",\"ttlMs\":{},\"cacheScope\":\"private\"}}",
                merged.lifetime
            )
        } else {
            "}".to_owned()
        };
        let caller = &self.asked.client.caller;
        let list = if kind == Kind::Tools && caller.is_limited() {
            let servers = self.servers;
            merged.selected(servers, |server, own| caller.may_call(server.config(), own))
        } else {
            merged.text.clone()
        };
        let text = [head.as_bytes(), list.as_bytes(), tail.as_bytes()].concat();
        Ok(RawJson::trusted(text))
    }

    /// A request that names what it is for.
    async fn call(&self, kind: Kind) -> Result<RawJson, RpcError> {
        let params = self.asked.params.as_ref();
        let name = params.and_then(|params| text_member(params.as_bytes(), "name"));
        let Some((params, name)) = params.zip(name) else {
            let message = format!("{} takes a name", self.asked.method);
            return Err(RpcError::new(INVALID_PARAMS, message));
        };
        let caller = &self.asked.client.caller;
        let names = &self.relay.names;
        let found = if kind == Kind::Tools && caller.is_limited() {
            let is_usable = |server: &Upstream, own: &str| caller.may_call(server.config(), own);
            let found = names.find_among(kind, self.servers, &name, is_usable);
            found.await.ok_or_else(|| {
                // What it may not call is as unknown as what there is not.
                RpcError::new(INVALID_PARAMS, format!("Unknown tool: {name}"))
            })?
        } else {
            names.find(kind, self.servers, &name).await?
        };
        let (server, own) = found;
        let params = with_member(params, "name", &Value::from(own).to_string());
        self.to(&server, Some(params)).await
    }

    async fn to(&self, server: &Upstream, params: Option<RawJson>) -> Result<RawJson, RpcError> {
        let asked = Asked {
            params,
            ..*self.asked
        };
        direct::request(server, &asked, &self.relay.parking).await
    }

    /// A request about a resource.
    async fn read(&self) -> Result<RawJson, RpcError> {
        let params = self.asked.params.as_ref();
        let Some(uri) = params.and_then(|params| text_member(params.as_bytes(), "uri")) else {
            let message = format!("{} takes the uri of a resource", self.asked.method);
            return Err(RpcError::new(INVALID_PARAMS, message));
        };
        if let Some(server) = self.relay.names.owner(self.servers, &uri).await {
            return self.to(&server, self.asked.params.clone()).await;
        }
        // No list has it: a server may know more resources than it lists.
        let with_resources = self.servers.iter().filter(|server| {
            let described = server.lasting().described();
            described.is_some_and(|described| has_capability(&described, "resources"))
        });
        self.first_that_answers(with_resources.cloned().collect())
            .await
    }

    /// Asks one server after the other; the last refusal is the answer if there is no other.
    async fn first_that_answers(&self, servers: Vec<Arc<Upstream>>) -> Result<RawJson, RpcError> {
        let mut refusal = RpcError::new(NOT_FOUND, "no server of this endpoint knows it");
        for server in servers {
            if server.lasting().status() != Status::Ready {
                continue;
            }
            match self.to(&server, self.asked.params.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => refusal = refused,
            }
        }
        Err(refusal)
    }

    async fn complete(&self) -> Result<RawJson, RpcError> {
        let unusable = || {
            let message = "completion/complete takes a ref with the name of a prompt or a uri";
            RpcError::new(INVALID_PARAMS, message)
        };
        let params = self.asked.params.as_ref().ok_or_else(unusable)?;
        let reference = member(params.as_bytes(), "ref").ok_or_else(unusable)?;
        let text = reference.get().as_bytes();
        if let Some(uri) = text_member(text, "uri") {
            let server = self.relay.names.owner(self.servers, &uri).await;
            let server = server.ok_or_else(|| {
                RpcError::new(
                    INVALID_PARAMS,
                    format!("no server has the resource {uri:?}"),
                )
            })?;
            return self.to(&server, Some(params.clone())).await;
        }
        let name = text_member(text, "name").ok_or_else(unusable)?;
        let names = &self.relay.names;
        let (server, own) = names.find(Kind::Prompts, self.servers, &name).await?;
        let reference = RawJson::trusted(reference.get().to_owned());
        let reference = with_member(&reference, "name", &Value::from(own).to_string());
        let reference = String::from_utf8_lossy(reference.as_bytes()).into_owned();
        let params = with_member(params, "ref", &reference);
        self.to(&server, Some(params)).await
    }

    async fn set_level(&self) -> Result<RawJson, RpcError> {
        let with_lines = self.servers.iter().filter(|server| {
            let described = server.lasting().described();
            described.is_some_and(|described| has_capability(&described, "logging"))
        });
        let told = with_lines.map(|server| self.to(server, self.asked.params.clone()));
        // A server that refuses is none that the others have to wait for.
        join_all(told).await;
        Ok(nothing())
    }

    /// The news of all servers on one stream.
    async fn listen(&self) -> Result<RawJson, RpcError> {
        let params = self.asked.params.as_ref();
        let filter = params.and_then(|params| member(params.as_bytes(), "notifications"));
        let Some((params, filter)) = params.zip(filter) else {
            let message = "subscriptions/listen takes notifications, an object of what to tell";
            return Err(RpcError::new(INVALID_PARAMS, message));
        };
        let told = with_subscription(
            Some(&RawJson::trusted(format!(
                "{{\"notifications\":{}}}",
                filter.get()
            ))),
            self.asked.id,
        );
        let outlet = self.asked.outlet;
        outlet.send(unasked(None, ACKNOWLEDGED, Some(&told)));
        let inner: Arc<dyn Outlet> = Arc::new(WithoutAcknowledgment(Arc::clone(outlet)));
        let uris: Vec<String> = member(filter.get().as_bytes(), "resourceSubscriptions")
            .and_then(|uris| serde_json::from_str(uris.get()).ok())
            .unwrap_or_default();
        let mut owners: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); self.servers.len()];
        for uri in &uris {
            let owner = self.relay.names.owner(self.servers, uri).await;
            let place = self
                .servers
                .iter()
                .position(|server| owner.as_ref().is_some_and(|one| Arc::ptr_eq(one, server)));
            if let Some(place) = place {
                owners[place].insert(uri);
            }
        }
        let filter = RawJson::trusted(filter.get().to_owned());
        let listening = self.servers.iter().zip(owners).map(|(server, uris)| {
            let uris = serde_json::json!(uris).to_string();
            let own = match uris.as_str() {
                "[]" => super::splice::without(filter.as_bytes(), &["resourceSubscriptions"]),
                uris => with_member(&filter, "resourceSubscriptions", uris),
            };
            let own = String::from_utf8_lossy(own.as_bytes()).into_owned();
            let params = with_member(params, "notifications", &own);
            let inner = &inner;
            async move {
                let asked = Asked {
                    params: Some(params),
                    outlet: inner,
                    ..*self.asked
                };
                let heard = direct::request(server, &asked, &self.relay.parking).await;
                if let Err(refused) = heard {
                    tracing::debug!(
                        target: "toolbridge::gateway", server = server.config().name,
                        "the server tells nothing: {refused:?}"
                    );
                }
            }
        });
        join_all(listening).await;
        // A server that tells nothing now may be reached again, with the next subscription.
        Ok(with_subscription(
            Some(&RawJson::trusted(r#"{"resultType":"complete"}"#)),
            self.asked.id,
        ))
    }
}

/// One acknowledgment is enough.
struct WithoutAcknowledgment(Arc<dyn Outlet>);

impl Outlet for WithoutAcknowledgment {
    fn send(&self, message: Bytes) -> bool {
        let is_acknowledgment = text_member(&message, "method").as_deref() == Some(ACKNOWLEDGED);
        is_acknowledgment || self.0.send(message)
    }
}
