//! MCP sessions and the transports under them. Uses `json` and `error`; never names `llm`.
//!
//! rmcp carries the protocol: request ids, cancellation, the service loop. Its typed models drop
//! what they do not know, so nothing that a peer says passes through them: requests go out as
//! `CustomRequest` with their parameters as raw text, answers come back as raw text.

pub mod auth;
mod backlog;
pub mod client;
pub mod config;
pub mod connect;
pub mod connection;
pub mod group;
pub mod lasting;
pub mod link;
pub mod session;
pub mod transport;
pub mod upstream;
mod wire;

pub use auth::Authorizer;
pub use backlog::{Backlog, Place};
pub use client::{Agreed, Change, Client, Era, Mode, Profile, Setup, Subscription};
pub use config::{
    Endurance, HttpKind, Loaded, OAuthConfig, Policy, ServerConfig, StdioServerParameters, Target,
};
pub use connect::{Connected, Opening, connect};
pub use connection::{Connection, Terminate};
pub use group::{Group, Member, Merged};
pub use lasting::{Jitter, Lasting, Status};
pub use session::{CallOptions, Events, Params, PeerAnswer, PeerError, Session};
pub use transport::http::{HttpSettings, SessionId, Trust};
pub use transport::sse::SseConnection;
pub use transport::stdio::{StdioConnection, close_all};
pub use transport::streamable_http::StreamableHttpConnection;
pub use upstream::{Renewal, Upstream};
