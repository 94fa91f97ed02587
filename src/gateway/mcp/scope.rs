//! Which servers a client came for: those that its path names, narrowed by its headers. Owns
//! [`Scope`]; pure.

mod forwarded;

use http::HeaderMap;

use super::headers::text;
use crate::mcp::ServerConfig;

pub(super) use forwarded::Forwarded;

/// How many names one list may have.
const MAXIMUM_NAMES: usize = 64;

/// Which servers a client came for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Names, aliases and access groups of the path; none is that of all servers.
    path: Option<Vec<String>>,
    /// Those of `x-mcp-servers`.
    servers: Option<Vec<String>>,
    /// Those of `x-mcp-access-groups`.
    groups: Option<Vec<String>>,
    /// What the client gives its servers to see.
    pub(super) forwarded: Forwarded,
}

/// A path that leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// Servers that a scope covers.
#[derive(Debug)]
pub(super) enum Covered<T> {
    /// The one that the path names: with its own names and its own everything.
    One(T),
    /// Any number of them, under names that tell them apart.
    Many(Vec<T>),
}

impl Scope {
    /// `path` is the part of the path that names servers.
    pub(super) fn read(path: Option<&str>, headers: &HeaderMap) -> Self {
        let header = |name| text(headers, name).map(names);
        Self {
            path: path.map(names),
            servers: header("x-mcp-servers"),
            groups: header("x-mcp-access-groups"),
            forwarded: Forwarded::default(),
        }
    }

    /// Whether both are at one place.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.path == other.path
    }

    /// The servers that it covers, in their order.
    pub(super) fn covered<'a, T: Clone>(
        &self,
        servers: &'a [T],
        config: impl Fn(&'a T) -> &'a ServerConfig,
    ) -> Result<Covered<T>, Unknown> {
        if let Some([only]) = self.path.as_deref()
            && let Some(server) = servers
                .iter()
                .find(|server| is_called(config(server), only))
            && self.narrows_to(config(server))
        {
            return Ok(Covered::One(server.clone()));
        }
        let lists = [&self.path, &self.servers, &self.groups];
        for names in lists.into_iter().flatten() {
            let leads = |name: &String| servers.iter().any(|server| is_meant(config(server), name));
            if names.is_empty() || names.len() > MAXIMUM_NAMES || !names.iter().all(leads) {
                return Err(Unknown);
            }
        }
        let covered = servers.iter().filter(|server| self.covers(config(server)));
        Ok(Covered::Many(covered.cloned().collect()))
    }

    /// Whether a server is one of those that are covered.
    pub(super) fn covers(&self, server: &ServerConfig) -> bool {
        let path = self.path.as_ref();
        path.is_none_or(|names| names.iter().any(|name| is_meant(server, name)))
            && self.narrows_to(server)
    }

    /// Whether the headers leave a server in; what either names is in.
    fn narrows_to(&self, server: &ServerConfig) -> bool {
        let mut lists = [&self.servers, &self.groups]
            .into_iter()
            .flatten()
            .peekable();
        lists.peek().is_none() || lists.any(|names| names.iter().any(|name| is_meant(server, name)))
    }
}

fn names(list: &str) -> Vec<String> {
    let names = list.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is_called(server: &ServerConfig, name: &str) -> bool {
    server.name == name || server.alias.as_deref() == Some(name)
}

fn is_meant(server: &ServerConfig, name: &str) -> bool {
    is_called(server, name)
        || server
            .policy
            .access_groups
            .iter()
            .any(|group| group == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::{HttpSettings, Target};

    fn server(name: &str, alias: Option<&str>, groups: &[&str]) -> ServerConfig {
        let target = Target::Http {
            settings: HttpSettings::new("http://127.0.0.1/"),
            kind: None,
        };
        let mut config = ServerConfig::new(name, target);
        config.alias = alias.map(str::to_owned);
        config.policy.access_groups = groups.iter().map(|&group| group.to_owned()).collect();
        config
    }

    fn covered(path: Option<&str>, headers: &[(&'static str, &str)]) -> String {
        let servers = [
            server("time", Some("t"), &["basic"]),
            server("git", None, &["basic", "code"]),
            server("files", None, &["code"]),
        ];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        match Scope::read(path, &map).covered(&servers, |server| server) {
            Ok(Covered::One(server)) => format!("one {}", server.name),
            Ok(Covered::Many(servers)) => {
                let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
                names.join(" ")
            }
            Err(Unknown) => "unknown".to_owned(),
        }
    }

    #[test]
    fn a_path_covers_what_it_names_and_headers_narrow_it() {
        assert_eq!(covered(None, &[]), "time git files");
        assert_eq!(covered(Some("time"), &[]), "one time");
        assert_eq!(covered(Some("t"), &[]), "one time");
        assert_eq!(covered(Some("files,time"), &[]), "time files");
        assert_eq!(covered(Some("code"), &[]), "git files");
        assert_eq!(covered(None, &[("x-mcp-servers", "git, t")]), "time git");
        assert_eq!(
            covered(None, &[("x-mcp-access-groups", "code")]),
            "git files"
        );
        assert_eq!(
            covered(Some("basic"), &[("x-mcp-access-groups", "code")]),
            "git"
        );
        assert_eq!(
            covered(
                None,
                &[("x-mcp-servers", "time"), ("x-mcp-access-groups", "code")]
            ),
            "time git files"
        );
    }

    #[test]
    fn a_name_that_is_not_known_leads_nowhere() {
        for path in ["nobody", "time,nobody", "", ","] {
            assert_eq!(covered(Some(path), &[]), "unknown", "{path:?}");
        }
        assert_eq!(covered(None, &[("x-mcp-servers", "nobody")]), "unknown");
        assert_eq!(covered(Some("time"), &[("x-mcp-servers", "git")]), "");
    }
}
