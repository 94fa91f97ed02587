//! Authorization of MCP sessions over HTTP. Owns who gives a request its credentials and what a
//! refusal leads to; the transports know [`Authorizer`] alone.
//!
//! OAuth is written here, on `reqwest` and `aws-lc-rs`, and not on rmcp's `AuthorizationManager`.
//! rmcp registers a client of its own making (the user's metadata and the authentication method of
//! the answer are dropped), stores clients without their secrets and tokens in a typed form, knows
//! neither DPoP nor the JWT bearer grant of a workload, and has no hook for the user's check of the
//! resource; what would have been left of it is discovery, with a second OAuth crate behind it.
//!
//! | file | owns |
//! |---|---|
//! | `provider` | [`OAuth`]: tokens on requests, one flow for all who wait |
//! | `flow`, `grant` | the way to a token |
//! | `settings`, `storage` | what the user says, is asked, and keeps |
//! | `discovery`, `challenge`, `scope`, `client`, `document` | what servers say; pure |
//! | `keys`, `exchange`, `near` | signatures; requests, and where they may lead |

mod challenge;
mod client;
mod discovery;
mod document;
mod exchange;
mod flow;
mod grant;
mod keys;
mod near;
mod provider;
mod scope;
mod settings;
mod storage;

use std::pin::Pin;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::error::Result;
use crate::mcp::transport::http::HttpSettings;

pub use document::Document;
pub use keys::{DpopKey, SigningKey};
pub use provider::OAuth;
pub use settings::{Callbacks, Grant, IdentityProvider, OAuthSettings};
pub use storage::{FileStorage, MemoryStorage, TokenStorage};

/// What an implementation gives back later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Gives the requests of a connection their credentials.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// Told of each connection that uses it, before anything is sent.
    fn attach(&self, settings: &HttpSettings);

    /// The headers to add to a request; none of them while there are no credentials yet.
    fn headers<'a>(&'a self, method: &'a Method, url: &'a Url) -> Pending<'a, HeaderMap>;

    /// Told of the headers of every answer, before anything else looks at it.
    fn heard(&self, url: &Url, headers: &HeaderMap);

    /// Told that a request was refused with status 401 or 403; true asks to send it again, with new
    /// headers. A future that is dropped starts nothing any more.
    fn refused<'a>(&'a self, refusal: Refusal<'a>, rounds: &'a mut Rounds) -> Pending<'a, bool>;

    /// Ends once a person who is being asked has answered; none while nobody is asked.
    fn person(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Where it went.
    pub url: &'a Url,
    /// Its headers without the credentials.
    pub sent: &'a HeaderMap,
    /// What [`Authorizer::headers`] gave for it.
    pub credentials: &'a HeaderMap,
    /// 401 or 403.
    pub status: StatusCode,
    /// The headers of the refusal.
    pub headers: &'a HeaderMap,
}

/// What was tried already for one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rounds {
    /// How often it was sent again because others had brought new credentials meanwhile.
    pub renewed: u8,
    /// How often it was sent again with a nonce of the server.
    pub nonces: u8,
    /// How often it led to authorization.
    pub authorizations: u8,
    /// How often it led to authorization for a wider scope.
    pub step_ups: u8,
}
