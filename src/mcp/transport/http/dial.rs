//! How a connection is made: to the server, through a proxy, or to a Unix socket, with TLS where
//! the URL wants it. Owns the sockets' options.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use super::tls::client_config;
use super::{HttpSettings, configuration};
use crate::error::{Error, Result};

/// How often a connection that says nothing is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// What leads to the server.
#[derive(Debug)]
enum Via {
    Direct,
    Proxy(Intercept),
    Unix(PathBuf),
}

struct Route {
    via: Via,
    is_secure: bool,
    /// To the server, and to a proxy that is reached over TLS.
    tls: Option<(TlsConnector, TlsConnector)>,
    tcp: HttpConnector,
    limit: Option<Duration>,
}

/// Makes the connections of one pool, all to the same origin.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Route>);

impl Dialer {
    pub(super) fn new(
        settings: &HttpSettings,
        to: &Uri,
        unix_socket: Option<PathBuf>,
    ) -> Result<Self> {
        let via = match (unix_socket, &settings.proxy) {
            (Some(path), _) => Via::Unix(path),
            (None, Some(proxy)) => Via::Proxy(explicit_proxy(proxy, to)?),
            (None, None) => match Matcher::from_system().intercept(to) {
                Some(proxy) if is_http(&proxy) => Via::Proxy(proxy),
                Some(_) => return Err(not_a_proxy("the proxy that the environment names")),
                None => Via::Direct,
            },
        };
        let is_secure = to.scheme_str() == Some("https");
        let to_proxy = matches!(&via, Via::Proxy(proxy) if is_https(proxy.uri()));
        // The certificates of the system are read only where something is checked against them.
        let tls = if is_secure || to_proxy {
            let mut config = client_config(&settings.trust, settings.identity.as_deref())?;
            config.alpn_protocols = vec![HTTP_1.to_vec()];
            let proxy = TlsConnector::from(Arc::new(config.clone()));
            config.alpn_protocols.insert(0, HTTP_2.to_vec());
            Some((TlsConnector::from(Arc::new(config)), proxy))
        } else {
            None
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(3));
        Ok(Self(Arc::new(Route {
            via,
            is_secure,
            tls,
            tcp,
            limit: settings.timeout,
        })))
    }

    /// What each request shows a proxy that reads it; a tunnel is told when it is opened.
    pub(super) fn proxy_authorization(&self) -> Option<HeaderValue> {
        match &self.0.via {
            Via::Proxy(proxy) if !self.0.is_secure => proxy.basic_auth().cloned(),
            _ => None,
        }
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn explicit_proxy(proxy: &str, to: &Uri) -> Result<Intercept> {
    let found = Matcher::builder().all(proxy).build().intercept(to);
    found.filter(is_http).ok_or_else(|| not_a_proxy("proxy"))
}

fn is_http(proxy: &Intercept) -> bool {
    matches!(proxy.uri().scheme_str(), Some("http" | "https"))
}

fn not_a_proxy(what: &str) -> Error {
    configuration(format!(
        "{what} is not the URL of an HTTP proxy; http and https are accepted, such as \
         http://proxy.example.com:3128"
    ))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Route {
    async fn connect(&self, near: Near, to: Uri) -> io::Result<Channel> {
        let (stream, is_proxied): (Box<dyn Stream>, _) = match &self.via {
            Via::Direct => (Box::new(self.tcp(to.clone()).await?), false),
            Via::Unix(path) => (unix(path).await?, false),
            Via::Proxy(proxy) if self.is_secure => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), near);
                if let Some(credentials) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                let opened = tunnel.call(to.clone()).await;
                let opened = opened.map_err(|cause| {
                    let origin = proxy.uri().authority().map_or("", |one| {
                        // Without the credentials that stand before it.
                        one.as_str().rsplit('@').next().unwrap_or_default()
                    });
                    io::Error::other(format!(
                        "the proxy at {origin}: {}",
                        super::root_cause(&cause)
                    ))
                })?;
                (opened.into_inner(), false)
            }
            Via::Proxy(proxy) => (self.near(proxy.uri().clone()).await?, true),
        };
        match &self.tls {
            Some((tls, _)) if self.is_secure => {
                let stream = tls.connect(server_name(&to)?, stream).await?;
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
                Ok(Channel {
                    stream: Box::new(stream),
                    is_proxied,
                    is_h2,
                })
            }
            _ => Ok(Channel {
                stream,
                is_proxied,
                is_h2: false,
            }),
        }
    }

    /// To a proxy.
    async fn near(&self, to: Uri) -> io::Result<Box<dyn Stream>> {
        let stream = self.tcp(to.clone()).await?;
        match &self.tls {
            Some((_, tls)) if is_https(&to) => {
                let stream = tls.connect(server_name(&to)?, stream).await?;
                Ok(Box::new(stream))
            }
            _ => Ok(Box::new(stream)),
        }
    }

    async fn tcp(&self, to: Uri) -> io::Result<Tcp> {
        let mut tcp = self.tcp.clone();
        std::future::poll_fn(|context| tcp.poll_ready(context))
            .await
            .map_err(io::Error::other)?;
        let stream = tcp.call(to).await.map_err(io::Error::other)?;
        Ok(Tcp(stream.into_inner()))
    }
}

fn server_name(to: &Uri) -> io::Result<ServerName<'static>> {
    let host = to.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn unix(_path: &std::path::Path) -> io::Result<Box<dyn Stream>> {
    Err(io::ErrorKind::Unsupported.into())
}

type Connecting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Service<Uri> for Dialer {
    type Response = TokioIo<Channel>;
    type Error = io::Error;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let route = Arc::clone(&self.0);
        Box::pin(async move {
            let connecting = route.connect(Near(Arc::clone(&route)), to);
            let Some(channel) = super::within(route.limit, connecting).await else {
                let limit = route.limit.unwrap_or_default().as_secs_f64();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no connection within {limit} s (timeout)"),
                ));
            };
            Ok(TokioIo::new(channel?))
        })
    }
}

/// Reaches the proxy that a tunnel starts at.
#[derive(Clone)]
struct Near(Arc<Route>);

impl Service<Uri> for Near {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let route = Arc::clone(&self.0);
        Box::pin(async move { Ok(TokioIo::new(route.near(to).await?)) })
    }
}

/// A socket whose peer never waits for an acknowledgement of ours.
///
/// A server without `TCP_NODELAY` holds the second part of its answer back until the first is
/// acknowledged, and Linux delays that for 40 ms on a connection that goes back and forth. The
/// option lasts until the next packet, so it is set anew with each.
struct Tcp(TcpStream);

impl Tcp {
    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // A socket without the option is only slower.
        let _ = self.0.set_quickack(true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.0).poll_read(context, buffer);
        if read.is_ready() && buffer.filled().len() > before {
            self.acknowledge();
        }
        read
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A connection, as the pool sees it.
pub(super) struct Channel {
    stream: Box<dyn Stream>,
    is_proxied: bool,
    is_h2: bool,
}

impl Connection for Channel {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxied);
        if self.is_h2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
