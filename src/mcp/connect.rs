//! From a description of a server to a client that is connected to it. Uses `client` and `transport`.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::client::{Client, Era, Found, Mode, Place, Setup, is_outage};
use crate::mcp::config::{HttpKind, StdioServerParameters, Target};
use crate::mcp::connection::Connection;
use crate::mcp::session::Events;
use crate::mcp::transport::http::HttpSettings;
use crate::mcp::transport::sse::SseConnection;
use crate::mcp::transport::stdio::{ErrorLog, StdioConnection};
use crate::mcp::transport::streamable_http::StreamableHttpConnection;

/// Makes the place for what a server writes to its standard error, once for each start of it.
pub type ErrorLogs = Arc<dyn Fn() -> ErrorLog + Send + Sync>;

/// What a client brings to a new connection.
#[derive(Clone)]
pub struct Opening {
    /// How it behaves.
    pub setup: Setup,
    /// Who hears what the server says unasked.
    pub events: Option<Arc<dyn Events>>,
    /// Where the standard error of a child process goes; none drops it.
    pub log: Option<ErrorLogs>,
    /// Whether a server behind HTTP is told that a session is over.
    pub terminate_on_close: bool,
    /// Gives the attempt up; what is open then is closed before it returns.
    pub cancelled: CancellationToken,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            setup: Setup::default(),
            events: None,
            log: None,
            terminate_on_close: true,
            cancelled: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Opening")
            .field("setup", &self.setup)
            .field("events", &self.events.is_some())
            .field("terminate_on_close", &self.terminate_on_close)
            .finish_non_exhaustive()
    }
}

/// A client that has agreed with its server.
#[derive(Debug)]
pub struct Connected {
    /// The client.
    pub client: Client,
    /// What the server said of itself: an `InitializeResult` or a `DiscoverResult`.
    pub described: RawJson,
}

/// Opens the transport and runs the lifecycle. A failure leaves nothing open.
///
/// Must be called inside the runtime.
pub async fn connect(target: &Target, mode: &Mode, opening: &Opening) -> Result<Connected> {
    match target {
        Target::Stdio(parameters) => opening.over_stdio(parameters, mode).await,
        Target::Http {
            settings,
            kind: None,
        } => opening.over_http(settings, mode).await,
        Target::Http {
            settings,
            kind: Some(HttpKind::Streamable),
        } => opening.over_streamable_http(settings, mode).await,
        Target::Http {
            settings,
            kind: Some(HttpKind::Sse),
        } => opening.over_sse(settings).await,
    }
}

impl Opening {
    async fn on(&self, connection: Connection, mode: &Mode) -> Result<Connected> {
        if let Some(events) = &self.events {
            connection.link().listen(Arc::clone(events));
        }
        let client = Client::start(connection, self.setup.clone());
        let outcome = tokio::select! {
            outcome = client.connect(mode) => outcome,
            () = self.cancelled.cancelled() => Err(given_up()),
        };
        match outcome {
            Ok(described) => Ok(Connected { client, described }),
            Err(failure) => {
                client.close().await;
                Err(failure)
            }
        }
    }

    async fn over_stdio(
        &self,
        parameters: &StdioServerParameters,
        mode: &Mode,
    ) -> Result<Connected> {
        let open = || {
            let log = self.log.as_ref().map_or(ErrorLog::Discard, |log| log());
            StdioConnection::open(parameters, log).map(Connection::Stdio)
        };
        match self.on(open()?, mode).await {
            Err(failure) if self.cancelled.is_cancelled() => Err(failure),
            // There are servers that end when the first message is not the handshake.
            Err(failure)
                if *mode == Mode::Auto && failure.kind() == ErrorKind::ConnectionClosed =>
            {
                let again = self.on(open()?, &Mode::Legacy).await.map_err(|_| failure)?;
                Place::of_command(parameters).remember(Found::Legacy);
                Ok(again)
            }
            outcome => outcome,
        }
    }

    async fn over_http(&self, settings: &HttpSettings, mode: &Mode) -> Result<Connected> {
        let place = Url::parse(&settings.url)
            .ok()
            .map(|url| Place::of_url(&url))
            .filter(|_| *mode == Mode::Auto);
        if let Some(place) = place
            && place.recall() == Some(Found::Sse)
        {
            match self.over_sse(settings).await {
                Err(failure) if failure.context().status.is_some() => place.forget(),
                outcome => return outcome,
            }
        }
        let refusal = match self.over_streamable_http(settings, mode).await {
            Err(refusal) if wants_sse(&refusal, mode) => refusal,
            outcome => return outcome,
        };
        // The refusal says more about the server than a second one.
        let connected = self.over_sse(settings).await.map_err(|_| refusal)?;
        if let Some(place) = place {
            place.remember(Found::Sse);
        }
        Ok(connected)
    }

    async fn over_streamable_http(
        &self,
        settings: &HttpSettings,
        mode: &Mode,
    ) -> Result<Connected> {
        let connection = StreamableHttpConnection::open(settings, self.terminate_on_close)?;
        self.on(Connection::StreamableHttp(connection), mode).await
    }

    async fn over_sse(&self, settings: &HttpSettings) -> Result<Connected> {
        let connection = tokio::select! {
            opened = SseConnection::open(settings) => opened?,
            () = self.cancelled.cancelled() => return Err(given_up()),
        };
        self.on(Connection::Sse(connection), &Mode::Legacy).await
    }
}

fn given_up() -> Error {
    let message = "the attempt to connect was given up";
    Error::new(ErrorKind::ConnectionClosed, message)
}

/// Whether the endpoint takes no POST of a message, as that of an HTTP+SSE server does.
fn wants_sse(refusal: &Error, mode: &Mode) -> bool {
    let may_shake_hands = matches!(mode, Mode::Auto | Mode::Legacy);
    let was_refused = refusal.kind() == ErrorKind::Transport
        && refusal.context().status.is_some_and(|status| status < 500);
    may_shake_hands && was_refused && !is_outage(refusal)
}

impl Connected {
    /// The era of the revision that was agreed on.
    pub fn era(&self) -> Era {
        self.client
            .agreed()
            .map_or(Era::Legacy, |agreed| agreed.era())
    }
}
