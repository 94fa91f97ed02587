//! How much the gateway takes: `general_settings`. Owns [`Limits`].

use std::time::Duration;

use crate::document::fields::Fields;
use crate::error::Result;

/// How much the gateway takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more of them wait until one ends.
    pub connections: usize,
    /// The headers of a request, in bytes.
    pub header_bytes: usize,
    /// How long a client may take to send them.
    pub header_timeout: Duration,
    /// The body of a request, in bytes; None leaves it to the path.
    pub body_bytes: Option<u64>,
    /// How long a client may take to send it, from its first byte to its last.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    pub send_timeout: Duration,
    /// Sessions of MCP clients at once.
    pub sessions: usize,
    /// Requests of one session at once.
    pub requests_per_session: usize,
    /// How long what is in flight may take to end once the gateway stops.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(30),
            body_bytes: None,
            body_timeout: Duration::from_mins(2),
            send_timeout: Duration::from_mins(2),
            sessions: 10_000,
            requests_per_session: 1_000,
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// The smallest buffer for headers that hyper takes.
const LEAST_HEADER_BYTES: u64 = 8 << 10;

/// Reads the limits of `general_settings`.
pub(super) fn limits(fields: &mut Fields<'_>) -> Result<Limits> {
    let default = Limits::default();
    let megabytes = fields.count(&["max_request_size_mb"])?;
    Ok(Limits {
        connections: size(fields, "max_connections", 1, default.connections)?,
        header_bytes: size(
            fields,
            "max_header_bytes",
            LEAST_HEADER_BYTES,
            default.header_bytes,
        )?,
        header_timeout: time(fields, "header_timeout", default.header_timeout)?,
        body_bytes: megabytes.map(|megabytes| megabytes.saturating_mul(1 << 20)),
        body_timeout: time(fields, "body_timeout", default.body_timeout)?,
        send_timeout: time(fields, "send_timeout", default.send_timeout)?,
        sessions: size(fields, "max_sessions", 1, default.sessions)?,
        requests_per_session: size(
            fields,
            "max_requests_per_session",
            1,
            default.requests_per_session,
        )?,
        stop_timeout: time(fields, "shutdown_timeout", default.stop_timeout)?,
    })
}

fn size(fields: &mut Fields<'_>, key: &'static str, least: u64, default: usize) -> Result<usize> {
    let found = fields.count(&[key])?;
    if let Some(number) = found
        && number < least
        && let Some((place, _)) = fields.find(&[key])
    {
        return Err(place.error(&format!("is {number}; it takes a number from {least} on")));
    }
    Ok(found.map_or(default, |number| {
        usize::try_from(number).unwrap_or(usize::MAX)
    }))
}

fn time(fields: &mut Fields<'_>, key: &'static str, default: Duration) -> Result<Duration> {
    Ok(fields.seconds(&[key])?.unwrap_or(default))
}
