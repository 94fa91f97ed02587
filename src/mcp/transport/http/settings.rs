//! How an HTTP server is reached: what the caller says, and what its URL stands for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

use super::configuration;
use super::tls::Trust;
use crate::error::Result;
use crate::mcp::auth::Authorizer;
use crate::mcp::config::StdioServerParameters;

/// The scheme of a Unix socket.
const UNIX_SCHEME: &str = "http+unix";

/// How an HTTP server is reached.
#[derive(Clone)]
pub struct HttpSettings {
    /// The endpoint; `http+unix://` and the path of a Unix socket, percent-encoded, reach that one.
    pub url: String,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// How long a connection, and the delivery of a notification, may take.
    pub timeout: Option<Duration>,
    /// How long an answer or a stream may be silent.
    pub read_timeout: Option<Duration>,
    /// The largest message that is read, in bytes.
    pub maximum_message_bytes: usize,
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// A file with a client certificate and its key, both PEM.
    pub identity: Option<PathBuf>,
    /// Who gives the requests their credentials, if the headers are not all.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// The URL of a proxy; without one those of the environment count.
    pub proxy: Option<String>,
    /// A Unix socket that is connected to instead of the host of the URL.
    pub unix_socket: Option<PathBuf>,
}

impl HttpSettings {
    /// Nothing but a URL: 30 s to connect, 300 s of silence, the certificates of the system.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            timeout: Some(Duration::from_secs(30)),
            read_timeout: Some(Duration::from_mins(5)),
            maximum_message_bytes: StdioServerParameters::DEFAULT_MAXIMUM_MESSAGE_BYTES,
            trust: Trust::System,
            identity: None,
            authorizer: None,
            proxy: None,
            unix_socket: None,
        }
    }
}

impl PartialEq for HttpSettings {
    /// Whoever gives the credentials is told apart by the object.
    fn eq(&self, other: &Self) -> bool {
        let address = |one: &Self| {
            let authorizer = one.authorizer.as_ref();
            authorizer.map(|one| Arc::as_ptr(one).cast::<()>())
        };
        self.url == other.url
            && self.headers == other.headers
            && self.timeout == other.timeout
            && self.read_timeout == other.read_timeout
            && self.maximum_message_bytes == other.maximum_message_bytes
            && self.trust == other.trust
            && self.identity == other.identity
            && address(self) == address(other)
            && self.proxy == other.proxy
            && self.unix_socket == other.unix_socket
    }
}

impl std::fmt::Debug for HttpSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL and the headers carry keys.
        formatter
            .debug_struct("HttpSettings")
            .field("headers", &self.headers.len())
            .field("timeout", &self.timeout)
            .field("read_timeout", &self.read_timeout)
            .field("authorizer", &self.authorizer)
            .finish_non_exhaustive()
    }
}

/// The URL without what is none of it on the wire, and the Unix socket that it stands for.
pub(super) fn endpoint(settings: &HttpSettings) -> Result<(Url, Option<PathBuf>)> {
    let unusable = || {
        configuration(
            "url is not an absolute http or https URL; give one such as https://example.com/mcp",
        )
    };
    let mut url = Url::parse(&settings.url).map_err(|_| unusable())?;
    url.set_fragment(None);
    let mut unix_socket = settings.unix_socket.clone();
    if url.scheme() == UNIX_SCHEME {
        let path = percent_decode_str(url.host_str().unwrap_or_default()).decode_utf8();
        let path = path.ok().filter(|path| !path.is_empty()).ok_or_else(|| {
            configuration(
                "url names no Unix socket; give its path percent-encoded, such as \
                 http+unix://%2Frun%2Fserver.sock/mcp",
            )
        })?;
        unix_socket.get_or_insert_with(|| PathBuf::from(path.as_ref()));
        let local = Url::parse("http://localhost").and_then(|local| local.join(url.path()));
        let query = url.query().map(str::to_owned);
        url = local.map_err(|_| unusable())?;
        url.set_query(query.as_deref());
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(unusable());
    }
    if unix_socket.is_some() && cfg!(not(unix)) {
        return Err(configuration("Unix sockets are not offered on this system"));
    }
    Ok((url, unix_socket))
}

/// Takes the credentials out of a URL and makes the header that they stand for.
pub(super) fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    let password = url.password().map(percent_decode_str);
    if pair.is_empty() && password.is_none() {
        return None;
    }
    pair.push(b':');
    pair.extend(password.into_iter().flatten());
    // A URL with a host takes both.
    let _ = (url.set_username(""), url.set_password(None));
    let text = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut value = HeaderValue::try_from(format!("Basic {text}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn uri(url: &Url) -> Result<Uri> {
    url.as_str()
        .parse()
        .map_err(|cause| configuration("url cannot be requested").with_source(cause))
}
