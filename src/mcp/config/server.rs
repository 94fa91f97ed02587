//! Everything that is known about one server before it is reached. Owns [`ServerConfig`],
//! [`Target`], [`Endurance`] and [`Policy`]; whichever form of configuration it was read from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{OAuthConfig, StdioServerParameters};
use crate::mcp::HttpSettings;

/// How often a silent server behind HTTP is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Which HTTP transport a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpKind {
    /// Streamable HTTP, with or without sessions.
    Streamable,
    /// HTTP+SSE, of 2024-11-05.
    Sse,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// As a child process.
    Stdio(StdioServerParameters),
    /// Over HTTP.
    Http {
        /// Where, and with what.
        settings: HttpSettings,
        /// None is found out.
        kind: Option<HttpKind>,
    },
}

impl Target {
    /// What the server is called in a status: its command, or the origin of its URL. No secrets.
    pub fn shown(&self) -> String {
        match self {
            Self::Stdio(parameters) => parameters.command.clone(),
            Self::Http { settings, .. } => url::Url::parse(&settings.url).map_or_else(
                |_| "an URL".to_owned(),
                |url| url.origin().ascii_serialization(),
            ),
        }
    }
}

/// How long a connection is held, and how hard it is tried to get it back.
#[derive(Debug, Clone, PartialEq)]
pub struct Endurance {
    /// How long one attempt to connect may take, from the first byte to the end of the handshake.
    pub connect_timeout: Duration,
    /// How long a call waits for its answer unless it says otherwise; reconnections included.
    pub request_timeout: Option<Duration>,
    /// How often a server that is silent is asked for a sign of life; None never.
    pub keep_alive: Option<Duration>,
    /// After how long without a call the connection is closed until the next one; None never.
    pub idle_close: Option<Duration>,
    /// Whether a child process that died is started anew. Servers over HTTP always are reached anew.
    pub restart: bool,
    /// How often in a row it is tried before the server counts as failed.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with each, and what is waited is a
    /// random part of it, so that a server which comes back is not met by everybody at once.
    pub first_wait: Duration,
    /// The longest wait of all.
    pub longest_wait: Duration,
}

impl Default for Endurance {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            request_timeout: None,
            keep_alive: None,
            idle_close: None,
            restart: false,
            attempts: 8,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// What a gateway lets its clients do with a server, and tells them about it. Nothing that a client of
/// the server itself obeys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// What the server is told apart by in the gateway's own answers; its name where nobody says.
    pub server_id: Option<String>,
    /// Names that stand for several servers at once, this one among them.
    pub access_groups: Vec<String>,
    /// Every key may use it, whatever else the key may use.
    pub allow_all_keys: bool,
    /// Only callers of this machine and of private networks may use it.
    pub internal_only: bool,
    /// The parameters that a tool takes, by its own name; a tool that is not named takes all.
    pub allowed_params: BTreeMap<String, Vec<String>>,
    /// The headers of a client's request that are passed on to the server.
    pub forwarded_headers: Vec<String>,
    /// Requests that it takes at once; more wait.
    pub max_concurrent_requests: Option<usize>,
    /// Whether the server may ask clients for a completion; true lets a model of the gateway answer
    /// for a client that cannot. None asks the clients that can.
    pub allow_sampling: Option<bool>,
    /// Whether the server may ask the person at the client. None asks the clients that can.
    pub allow_elicitation: Option<bool>,
    /// What clients are told of how to use it, instead of its own words.
    pub instructions: Option<String>,
    /// What lists of tools say about it, as it stands in the configuration.
    pub info: Map<String, Value>,
}

/// One server of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The name that it stands under.
    pub name: String,
    /// A shorter name, which the names of its tools begin with instead.
    pub alias: Option<String>,
    /// What it is for, in words.
    pub description: Option<String>,
    /// How it is reached.
    pub target: Target,
    /// The revision, or how it is found out: `auto`, `legacy` or a revision.
    pub mode: Option<String>,
    /// The tools that are offered; None is all of them.
    pub allowed_tools: Option<Vec<String>>,
    /// The tools that are not.
    pub disallowed_tools: Vec<String>,
    /// How the connection is held.
    pub endurance: Endurance,
    /// What a gateway lets its clients do with it.
    pub policy: Policy,
    /// How its tokens are had, as the configuration says; the target has the authorizer.
    pub oauth: Option<OAuthConfig>,
}

impl ServerConfig {
    /// A server with nothing but its name and how it is reached.
    pub fn new(name: impl Into<String>, target: Target) -> Self {
        let is_http = matches!(target, Target::Http { .. });
        Self {
            name: name.into(),
            alias: None,
            description: None,
            target,
            mode: None,
            allowed_tools: None,
            disallowed_tools: Vec::new(),
            endurance: Endurance {
                // The end of a child process is seen without asking.
                keep_alive: is_http.then_some(KEEP_ALIVE),
                ..Endurance::default()
            },
            policy: Policy::default(),
            oauth: None,
        }
    }

    /// Takes over the authorizer of a server that was described the same: it has the tokens.
    pub(in crate::mcp) fn keep_authorizer(&mut self, before: &Self) {
        if let (Target::Http { settings, .. }, Target::Http { settings: old, .. }) =
            (&mut self.target, &before.target)
            && self.oauth.is_some()
            && self.oauth == before.oauth
        {
            settings.authorizer.clone_from(&old.authorizer);
        }
    }

    /// Whether a tool of the server is offered, by its own name.
    pub fn allows(&self, tool: &str) -> bool {
        let is_named = |names: &Vec<String>| names.iter().any(|name| name == tool);
        self.allowed_tools.as_ref().is_none_or(is_named) && !is_named(&self.disallowed_tools)
    }
}
