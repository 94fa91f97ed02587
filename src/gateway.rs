//! The gateway: many MCP servers behind one endpoint and many models behind one OpenAI-compatible
//! endpoint, out of one configuration file. Owns [`Gateway`]; uses `mcp`, `llm` and what is below
//! them.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | the configuration file, with everything that is wrong or unknown in it |
//! | `sampling` | completions that servers wish for, by a model |
//! | `server` | the listening socket, connections and their end |
//! | `router` | which path is served by whom |
//! | `origin` | from where a request may come |
//! | `access` | who calls, and what a caller may use |
//! | `failure` | errors as HTTP answers |
//! | `limits` | bodies of requests in their limits |
//! | `health` | whether it serves, what it reaches |
//! | `log` | what is said about every request |
//! | `metrics` | what is counted |
//! | `trace` | traces that go through it, and its share of them |
//! | `llm` | the OpenAI side |
//! | `mcp` | the MCP side |

mod access;
pub mod config;
mod failure;
mod health;
mod limits;
mod llm;
mod log;
pub mod mcp;
mod metrics;
mod origin;
mod router;
mod sampling;
mod server;
mod trace;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::FromRef;

use crate::error::Result;
use access::Access;
use config::{Config, Limits};
use llm::Models;
use mcp::Endpoint;
use metrics::Metrics;
use origin::Origins;
use server::Server;
use trace::Tracer;

/// How long spans may take to leave once the gateway stops.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// What a request is served with, from its first byte to its last: another configuration makes
/// another one, and a request keeps the one that it began with.
#[derive(Debug)]
struct Shared {
    origins: Origins,
    access: Access,
    models: Arc<Models>,
    /// Outlives configurations, for clients do.
    mcp: Arc<Endpoint>,
    metrics: Arc<Metrics>,
    /// None where nobody takes spans.
    tracer: Option<Arc<Tracer>>,
    /// Whether the metrics need no key.
    has_open_metrics: bool,
    limits: Limits,
}

/// What the next request is served with. Handlers take a `State<Arc<Shared>>` out of it.
#[derive(Debug, Clone)]
struct Current(Arc<RwLock<Arc<Shared>>>);

impl Current {
    fn new(shared: Shared) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(shared))))
    }

    fn get(&self) -> Arc<Shared> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, shared: Shared) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shared);
    }
}

impl FromRef<Current> for Arc<Shared> {
    fn from_ref(current: &Current) -> Self {
        current.get()
    }
}

/// A gateway that serves. Dropping it ends it without waiting for what is in flight.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    current: Current,
    /// Where it was asked to listen.
    host: String,
    /// Held while a configuration takes the place of another.
    reloading: Mutex<()>,
}

impl Gateway {
    /// Listens, and begins to connect to the MCP servers; waits for none of them. Must be called
    /// inside the runtime.
    ///
    /// # Errors
    /// The configuration cannot be used, or the address cannot be listened on.
    pub async fn start(config: Config, host: &str, port: u16) -> Result<Self> {
        let access = Access::new(&config.access, host)?;
        let tracer = config.traces.as_ref().map(Tracer::start).transpose()?;
        let metrics = Arc::default();
        let models = Models::new(
            config.models,
            config.router,
            config.keeps_traces,
            config.keep_alive,
        );
        let models = Arc::new(models);
        let mcp = Endpoint::new(config.servers, &config.limits, &metrics)?;
        mcp.sampler().use_models(&models);
        let current = Current::new(Shared {
            origins: Origins::new(host, &config.access),
            access,
            models,
            mcp,
            metrics,
            tracer,
            has_open_metrics: config.has_open_metrics,
            limits: config.limits.clone(),
        });
        let router = router::router(current.clone());
        let server = Server::start(host, port, router, &config.limits).await?;
        Ok(Self {
            server,
            current,
            host: host.to_owned(),
            reloading: Mutex::default(),
        })
    }

    /// Serves by another configuration from the next request on. What is in flight ends by the old
    /// one, and servers that did not change keep their connections. Must be called inside the runtime.
    ///
    /// # Errors
    /// The configuration cannot be used; the old one stays in force then.
    pub fn reload(&self, config: Config) -> Result<()> {
        let _alone = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let access = Access::new(&config.access, &self.host)?;
        let shared = self.current.get();
        let models = &shared.models;
        let models = models.reloaded(
            config.models,
            config.router,
            config.keeps_traces,
            config.keep_alive,
        );
        let models = Arc::new(models);
        // The last thing that can fail, for it is in force at once.
        shared.mcp.reload(config.servers, &config.limits)?;
        shared.mcp.sampler().use_models(&models);
        self.current.set(Shared {
            origins: Origins::new(&self.host, &config.access),
            access,
            models,
            mcp: Arc::clone(&shared.mcp),
            metrics: Arc::clone(&shared.metrics),
            // Where spans go is said when the process starts.
            tracer: shared.tracer.clone(),
            has_open_metrics: config.has_open_metrics,
            limits: config.limits,
        });
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes no more connections, lets what is in flight end, and closes the connections to the MCP
    /// servers. Streams that wait for news end at once.
    pub async fn stop(&self) {
        let shared = self.current.get();
        let began = Instant::now();
        let streams = shared.mcp.open_streams();
        let requests = shared.metrics.in_flight().saturating_sub(streams);
        tracing::info!(
            target: "toolbridge::gateway", requests, streams,
            "the gateway stops: requests in flight may take {} s to end, streams end now",
            shared.limits.stop_timeout.as_secs_f64()
        );
        shared.mcp.drain();
        self.server.stop(shared.limits.stop_timeout).await;
        let left = shared.metrics.in_flight();
        shared.mcp.close().await;
        if let Some(tracer) = &shared.tracer {
            tracer.flush(FLUSH_PATIENCE).await;
        }
        tracing::info!(
            target: "toolbridge::gateway",
            waited_for = requests.saturating_sub(left), cut_off = left,
            "the gateway has stopped after {:.1} s", began.elapsed().as_secs_f64()
        );
    }
}
