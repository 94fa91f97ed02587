//! What was found out about servers, for the lifetime of the process: the next connection to the same
//! one goes straight there. Bounded; holds no URL and no command, only their hashes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use url::Url;

use crate::mcp::config::StdioServerParameters;

/// How many servers are remembered; the one that was learned first is forgotten first.
const CAPACITY: usize = 256;

static SERVERS: Mutex<Vec<(Place, Found)>> = Mutex::new(Vec::new());

/// A server, as far as it can be recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// How a server wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Without a handshake.
    Modern,
    /// With a handshake.
    Legacy,
    /// Over HTTP+SSE, which has a handshake too.
    Sse,
}

impl Place {
    /// Origin and path: a query may carry a key that changes.
    pub(crate) fn of_url(url: &Url) -> Self {
        let mut hasher = DefaultHasher::new();
        url.origin().ascii_serialization().hash(&mut hasher);
        url.path().hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Whatever decides which program runs.
    pub(crate) fn of_command(parameters: &StdioServerParameters) -> Self {
        let mut hasher = DefaultHasher::new();
        parameters.command.hash(&mut hasher);
        parameters.args.hash(&mut hasher);
        parameters.env.hash(&mut hasher);
        parameters.cwd.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// What is remembered.
    pub(crate) fn recall(self) -> Option<Found> {
        let servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        servers
            .iter()
            .find(|(place, _)| *place == self)
            .map(|(_, found)| *found)
    }

    /// Replaces what is remembered.
    pub(crate) fn remember(self, found: Found) {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|(place, _)| *place != self);
        if servers.len() == CAPACITY {
            servers.remove(0);
        }
        servers.push((self, found));
    }

    /// Drops what turned out to hold no more.
    pub(crate) fn forget(self) {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|(place, _)| *place != self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_remembered_replaced_and_forgotten_and_its_query_does_not_count() {
        let place = |text: &str| Place::of_url(&Url::parse(text).unwrap());
        let one = place("http://memory.test/mcp?key=1");
        assert_eq!(one.recall(), None);
        one.remember(Found::Legacy);
        assert_eq!(
            place("http://memory.test/mcp?key=2").recall(),
            Some(Found::Legacy)
        );
        assert_eq!(place("http://memory.test/other").recall(), None);
        one.remember(Found::Modern);
        assert_eq!(one.recall(), Some(Found::Modern));
        one.forget();
        assert_eq!(one.recall(), None);
    }
}
