//! Authorization of MCP sessions over HTTP. Owns who gives a request its credentials, and what a
//! refusal leads to; knows no transport.

use std::pin::Pin;

use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::error::Result;

/// What an implementation gives back later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Gives the requests of a connection their credentials.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// The headers to add to a request; none of them while there are no credentials yet.
    fn headers<'a>(&'a self, method: &'a Method, url: &'a Url) -> Pending<'a, HeaderMap>;

    /// Told of the headers of every answer, before anything else looks at it.
    fn heard(&self, url: &Url, headers: &HeaderMap);

    /// Told that a request was refused with status 401 or 403; true asks to send it again, with new
    /// headers. A future that is dropped starts nothing any more.
    fn refused<'a>(&'a self, refusal: Refusal<'a>, rounds: &'a mut Rounds) -> Pending<'a, bool>;
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
