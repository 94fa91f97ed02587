//! The listening socket, its connections, and their end. Owns [`Server`]; knows nothing of what is
//! served.

mod prompt;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::Limits;
use crate::error::{Error, ErrorKind, Result};
use prompt::Prompt;

/// The wait before the next connection is taken when the process has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that is served.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    patience: Arc<Mutex<Duration>>,
    serving: TaskTracker,
}

impl Server {
    /// Listens and serves.
    pub(super) async fn start(
        host: &str,
        port: u16,
        router: Router,
        limits: &Limits,
    ) -> Result<Self> {
        let refused = |cause: std::io::Error| {
            let message = format!("the gateway cannot listen on {host}:{port}: {cause}");
            Error::new(ErrorKind::Configuration, message).with_source(cause)
        };
        let listener = TcpListener::bind((host, port)).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let stopping = CancellationToken::new();
        let serving = TaskTracker::new();
        let patience = Arc::new(Mutex::new(limits.stop_timeout));
        let places = Arc::new(Semaphore::new(
            limits.connections.min(Semaphore::MAX_PERMITS),
        ));
        let taking = Taking {
            router,
            limits: limits.clone(),
            places,
            stopping: stopping.clone(),
            patience: Arc::clone(&patience),
        };
        serving.spawn(taking.serve(listener));
        serving.close();
        Ok(Self {
            address,
            stopping,
            patience,
            serving,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits until the last one has ended.
    pub(super) async fn stop(&self, patience: Duration) {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
        self.stopping.cancel();
        self.serving.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// What takes connections.
struct Taking {
    router: Router,
    limits: Limits,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
    patience: Arc<Mutex<Duration>>,
}

impl Taking {
    async fn serve(self, listener: TcpListener) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = self.stopping.cancelled() => break,
            };
            match accepted {
                Ok((stream, from, place)) => self.connection(stream, from, place, &graceful),
                Err(failure) => {
                    tracing::warn!(target: "toolbridge::gateway", "a connection was not taken: {failure}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let patience = *self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        if tokio::time::timeout(patience, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                target: "toolbridge::gateway",
                "requests were still in flight {} s after the gateway was told to stop; they are cut off",
                patience.as_secs_f64()
            );
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(std::io::Error::other)?;
        let (stream, from) = listener.accept().await?;
        Ok((stream, from, place))
    }

    fn connection(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        place: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
    ) {
        // A socket that cannot be told is served all the same, a little later.
        let _ = stream.set_nodelay(true);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let header_bytes = self.limits.header_bytes;
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(header_bytes);
        let header_list = u32::try_from(header_bytes).unwrap_or(u32::MAX);
        builder.http2().max_header_list_size(header_list);
        let router = self.router.clone().layer(Extension(ConnectInfo(from)));
        let Limits {
            header_timeout,
            send_timeout,
            ..
        } = self.limits;
        let stream = Prompt::new(stream, header_timeout, send_timeout);
        let connection = builder
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(failure) = connection.await {
                tracing::debug!(target: "toolbridge::gateway", "a connection ended: {failure}");
            }
            drop(place);
        });
    }
}
