//! How important a log line is. Pure.

use std::borrow::Cow;

use serde::Deserialize;

use crate::json::RawJson;

const NAMES: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// The importance of log lines; what is more important is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::gateway::mcp) struct Level(usize);

impl Level {
    /// None for a word that is no level.
    pub(in crate::gateway::mcp) fn named(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(Self)
    }

    pub(in crate::gateway::mcp) fn name(self) -> &'static str {
        NAMES[self.0]
    }
}

/// The level that parameters name.
pub(in crate::gateway::mcp) fn level_of(params: &RawJson) -> Option<Level> {
    #[derive(Deserialize)]
    struct Levelled<'a> {
        #[serde(borrow)]
        level: Cow<'a, str>,
    }
    let found: Levelled<'_> = serde_json::from_slice(params.as_bytes()).ok()?;
    Level::named(&found.level)
}
