//! Credentials that have to be made or signed for each request: tokens that expire, signatures over
//! the body.
//!
//! | module | owns |
//! |---|---|
//! | `token` | tokens that an authorization server gives for a while |

pub mod token;

use std::fmt::Debug;
use std::pin::Pin;

use http::HeaderMap;
use url::Url;

use crate::error::Error;
use crate::llm::trust::Trust;

/// The result of [`Authorizer::authorize`].
pub type Authorized<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// A request that is about to be sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Where it goes. It is a `POST`.
    pub url: &'a Url,
    /// Its headers, to be added to.
    pub headers: &'a mut HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// Whom the caller trusts, for whatever has to be asked for credentials.
    pub trust: &'a Trust,
}

/// Makes the credentials of requests. Called before each one is sent, repetitions included.
pub trait Authorizer: Debug + Send + Sync {
    /// Adds them to a request.
    fn authorize<'a>(&'a self, request: Outgoing<'a>) -> Authorized<'a>;
}
