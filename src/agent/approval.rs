//! Whether a call is made. Owns [`Approver`] and [`Decision`].

use futures_util::future::BoxFuture;

use super::outcome::Call;
use crate::error::Result;
use crate::json::RawJson;

/// What was decided about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is made.
    Allow,
    /// It is made with other arguments, a JSON object.
    AllowWith(RawJson),
    /// It is not made, and the model is told why.
    Refuse(Option<String>),
    /// It is not known yet: the run stops before it and can go on later.
    Defer,
}

/// Who decides.
pub trait Approver: Send + Sync {
    /// Decides about a call. Calls of one round are asked about one after another, in the order in
    /// which the model made them.
    ///
    /// # Errors
    /// The run ends with the error.
    fn decide(&self, call: &Call) -> BoxFuture<'_, Result<Decision>>;
}
