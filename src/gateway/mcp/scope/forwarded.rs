//! Headers of a client that are passed on to servers: those that the configuration names, and
//! `x-mcp-{server}-{header}`. Pure.

use std::fmt;

use http::{HeaderMap, HeaderName};

use crate::gateway::access::Caller;
use crate::mcp::ServerConfig;

/// What the header of a server begins with.
const FOR_A_SERVER: &str = "x-mcp-";
/// How many headers of one client are passed on.
const MAXIMUM_HEADERS: usize = 64;
/// The headers that carry the key of the gateway itself.
const KEYS: [&str; 2] = ["x-litellm-api-key", "api-key"];
/// What belongs to the connection of the client, or to the protocol; a trace goes on with each
/// request, and needs no connection of its own.
const OF_THE_CONNECTION: [&str; 16] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers and their values, for servers alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::gateway::mcp) struct Forwarded(Vec<(String, String)>);

impl fmt::Debug for Forwarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Forwarded({} headers)", self.0.len())
    }
}

impl Forwarded {
    /// What may be for some server. `named` are the headers that the configuration names; the key of
    /// the gateway is never one of them.
    pub(in crate::gateway::mcp) fn read(
        headers: &HeaderMap,
        named: &[HeaderName],
        caller: &Caller,
    ) -> Self {
        // With another header for the key, this one is not the gateway's.
        let is_free = caller.is_anybody() || KEYS.iter().any(|key| headers.contains_key(*key));
        let found = headers.iter().filter(|(name, _)| {
            let is_for_a_server = name.as_str().starts_with(FOR_A_SERVER)
                && !matches!(name.as_str(), "x-mcp-servers" | "x-mcp-access-groups");
            let is_authorization = **name == http::header::AUTHORIZATION;
            is_for_a_server || (named.contains(name) && (is_free || !is_authorization))
        });
        let found = found.filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        Self(found.take(MAXIMUM_HEADERS).collect())
    }

    pub(in crate::gateway::mcp) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that one of the servers gets.
    pub(in crate::gateway::mcp) fn of(
        &self,
        server: &ServerConfig,
        all: &[&ServerConfig],
    ) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: &str| {
            found.retain(|(known, _)| known != name);
            if is_passed_on(name) {
                found.push((name.to_owned(), value.to_owned()));
            }
        };
        for (name, value) in &self.0 {
            let forwarded = &server.policy.forwarded_headers;
            if forwarded.iter().any(|one| one.eq_ignore_ascii_case(name)) {
                add(name, value);
            }
        }
        for (name, value) in &self.0 {
            let Some(rest) = name.strip_prefix(FOR_A_SERVER) else {
                continue;
            };
            let Some(own) = after_name(server, rest) else {
                continue;
            };
            // `x-mcp-a-b-key` is for the server `a-b` where there is one, and not for `a`.
            let is_of_another = all
                .iter()
                .filter_map(|other| after_name(other, rest))
                .any(|other| other.len() < own.len());
            if !is_of_another {
                add(own, value);
            }
        }
        found.sort_unstable();
        found
    }
}

/// What is left of a header behind the longest name of a server that it begins with.
fn after_name<'a>(server: &ServerConfig, rest: &'a str) -> Option<&'a str> {
    let names = [Some(&server.name), server.alias.as_ref()];
    let names = names
        .into_iter()
        .flatten()
        .chain(&server.policy.access_groups);
    let left = names.filter_map(|name| {
        let (head, left) = rest.split_at_checked(name.len())?;
        let left = left.strip_prefix('-').filter(|left| !left.is_empty())?;
        head.eq_ignore_ascii_case(name).then_some(left)
    });
    left.min_by_key(|left| left.len())
}

fn is_passed_on(name: &str) -> bool {
    !name.starts_with("mcp-")
        && !name.starts_with("proxy-")
        && !KEYS.contains(&name)
        && !OF_THE_CONNECTION.contains(&name)
}
