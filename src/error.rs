//! The one error type of the crate. Owns [`Error`], [`ErrorKind`], [`ErrorContext`] and [`nearest`]; no Python
//! in it. `src/python/error.rs` maps the kinds to the Python exception classes.

mod nearest;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use nearest::nearest;

/// What went wrong, in the terms in which a caller reacts to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A defect of toolbridge itself, or a use after the process forked.
    Internal,
    /// A setting, an argument or a file that cannot be used.
    Configuration,
    /// The MCP peer answered with a JSON-RPC error.
    Mcp,
    /// The MCP connection ended before the answer came.
    ConnectionClosed,
    /// The MCP transport could not be opened or could not carry a message.
    Transport,
    /// The MCP peer did not answer in time.
    McpTimeout,
    /// Authorization with an MCP server was refused, or failed on its way.
    OAuthFlow,
    /// The authorization server gave no token.
    OAuthToken,
    /// The authorization server did not register this client.
    OAuthRegistration,
    /// The structured result of a tool does not fit the schema that the tool declares.
    ToolOutput,
    /// A server wants input for one call again and again.
    InputRounds,
    /// A model still called tools when it had been asked as often as it may.
    RoundLimit,
    /// The provider could not be reached, or the connection broke.
    Connection,
    /// The provider did not answer in time (no answer, or status 408).
    Timeout,
    /// The provider answered with something that is not an answer.
    ResponseValidation,
    /// The answer does not fit the JSON schema that was asked for.
    JsonSchemaValidation,
    /// An error that the provider reported without a status, as in the middle of a stream.
    Api,
    /// A status that has no kind of its own.
    Status,
    /// 400.
    BadRequest,
    /// 400: the messages do not fit the context window.
    ContextWindowExceeded,
    /// 400: refused by the provider's content policy.
    ContentPolicyViolation,
    /// 400: a parameter that the provider or model does not take.
    UnsupportedParams,
    /// 401, or no key at all.
    Authentication,
    /// 402.
    PaymentRequired,
    /// 403.
    PermissionDenied,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 422.
    UnprocessableEntity,
    /// 429.
    RateLimit,
    /// 500 and every 5xx without a kind of its own.
    InternalServer,
    /// 502.
    BadGateway,
    /// 503.
    ServiceUnavailable,
}

/// How the connection under a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The request never left.
    Unsent,
    /// It may have arrived, and may have been carried out.
    Broken,
    /// It arrived, and nothing came for as long as the transport waits.
    Silent,
    /// It arrived and was refused: the peer no longer knows the session.
    Forgotten,
}

impl Loss {
    /// Whether the request was surely not carried out.
    pub fn leaves_nothing_done(self) -> bool {
        matches!(self, Self::Unsent | Self::Forgotten)
    }
}

/// What is known about the place where it went wrong. All of it is safe to show: no keys, and URLs
/// as their origin alone.
#[derive(Debug, Clone, Default)]
pub struct ErrorContext {
    /// The provider, as in `openai`.
    pub provider: Option<String>,
    /// The model, as the caller named it.
    pub model: Option<String>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// The body of the answer as text.
    pub body: Option<String>,
    /// The headers of the answer, names in lower case.
    pub headers: Vec<(String, String)>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// The provider's `code` of the error, or the variable or parameter that is concerned.
    pub code: Option<String>,
    /// The parameter that the provider complains of.
    pub param: Option<String>,
    /// The provider's `type` of the error.
    pub error_type: Option<String>,
    /// The JSON-RPC code of an MCP error.
    pub rpc_code: Option<i64>,
    /// The JSON-RPC `data` of an MCP error, as JSON text.
    pub rpc_data: Option<String>,
    /// How the connection under an MCP request was lost, if it was.
    pub loss: Option<Loss>,
    /// How often the request was repeated before this error was given.
    pub retries: u32,
    /// The models that were asked, of which none answered; the last one failed with this error.
    pub tried: Option<Arc<Tried>>,
}

/// Models that were asked one after another.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Those before the last one, with what they failed with.
    pub before: Vec<(String, Error)>,
    /// The last one.
    pub last: String,
}

/// The error of every fallible function of the crate.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    context: Box<ErrorContext>,
}

/// The result of every fallible function of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with its sentence: what happened, what was found, what is accepted, what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            context: Box::default(),
        }
    }

    /// Chains the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Replaces what is known about the place.
    #[must_use]
    pub fn with_context(mut self, context: ErrorContext) -> Self {
        *self.context = context;
        self
    }

    /// Adds to what is known about the place.
    #[must_use]
    pub fn map_context(mut self, change: impl FnOnce(&mut ErrorContext)) -> Self {
        change(&mut self.context);
        self
    }

    /// Changes the sentence.
    #[must_use]
    pub fn map_message(mut self, change: impl FnOnce(&str) -> String) -> Self {
        self.message = change(&self.message);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence, without the causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is known about the place.
    pub fn context(&self) -> &ErrorContext {
        &self.context
    }

    /// The sentences of the causes, the nearest first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let sentence = cause.to_string();
            if causes.last() != Some(&sentence) {
                causes.push(sentence);
            }
            next = cause.source();
        }
        causes
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("causes", &self.causes())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
