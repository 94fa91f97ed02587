//! What a server says on the stream of one request: it goes to the stream of the client's request.

use std::sync::Arc;

use super::{Level, level_of};
use crate::gateway::mcp::client::Outlet;
use crate::gateway::mcp::message::unasked;
use crate::json::RawJson;
use crate::mcp::{Events, PeerAnswer};

/// Who asks the client of a request for something.
pub(in crate::gateway::mcp) type Asks =
    Arc<dyn Fn(&str, Option<RawJson>) -> PeerAnswer + Send + Sync>;

/// What belongs to one request of a client.
pub(in crate::gateway::mcp) struct Related {
    pub(in crate::gateway::mcp) outlet: Arc<dyn Outlet>,
    /// The least important log lines that the client wants; none wants what comes.
    pub(in crate::gateway::mcp) level: Option<Level>,
    /// Who answers the requests of the server; none refuses them, as the connection does.
    pub(in crate::gateway::mcp) asks: Option<Asks>,
    /// Who hears what is for everybody.
    pub(in crate::gateway::mcp) everybody: Arc<dyn Events>,
}

/// Whether a notification is for everybody who uses the connection, on whatever stream it comes.
pub(super) fn is_for_everybody(method: &str) -> bool {
    matches!(
        method,
        "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed"
            | "notifications/resources/updated"
    )
}

/// Whether a log line is as important as is wanted.
pub(super) fn is_wanted(wanted: Option<Level>, params: Option<&RawJson>) -> bool {
    let level = params.and_then(level_of);
    wanted
        .zip(level)
        .is_none_or(|(wanted, level)| level >= wanted)
}

impl Events for Related {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        if is_for_everybody(method) {
            self.everybody.notification(method, params);
        } else if method != "notifications/message" || is_wanted(self.level, params.as_ref()) {
            self.outlet.send(unasked(None, method, params.as_ref()));
        }
    }

    fn garbage(&self, preview: &str, reason: &str) {
        self.everybody.garbage(preview, reason);
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        match &self.asks {
            Some(asks) => asks(method, params),
            None => self.everybody.request(method, params),
        }
    }
}
