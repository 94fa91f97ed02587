//! The listening socket, its connections, and their end. Owns [`Server`]; knows nothing of what is
//! served.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind, Result};

/// How long a client may take to send the headers of a request.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// How long what is in flight may take to end once the gateway stops.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// The wait before the next connection is taken when the process has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that is served.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    serving: TaskTracker,
}

impl Server {
    /// Listens and serves.
    pub(super) async fn start(host: &str, port: u16, router: Router) -> Result<Self> {
        let refused = |cause: std::io::Error| {
            let message = format!("the gateway cannot listen on {host}:{port}: {cause}");
            Error::new(ErrorKind::Configuration, message).with_source(cause)
        };
        let listener = TcpListener::bind((host, port)).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let stopping = CancellationToken::new();
        let serving = TaskTracker::new();
        serving.spawn(serve(listener, router, stopping.clone()));
        serving.close();
        Ok(Self {
            address,
            stopping,
            serving,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits until the last one has ended.
    pub(super) async fn stop(&self) {
        self.stopping.cancel();
        self.serving.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => connection(stream, &router, &graceful),
            Err(failure) => {
                tracing::warn!(target: "toolbridge::gateway", "a connection was not taken: {failure}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(STOP_PATIENCE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            target: "toolbridge::gateway",
            "requests were still in flight {} s after the gateway was told to stop; they are cut off",
            STOP_PATIENCE.as_secs()
        );
    }
}

fn connection(stream: TcpStream, router: &Router, graceful: &GracefulShutdown) {
    // A socket that cannot be told is served all the same, a little later.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE);
    let service = TowerToHyperService::new(router.clone());
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(failure) = connection.await {
            tracing::debug!(target: "toolbridge::gateway", "a connection ended: {failure}");
        }
    });
}
