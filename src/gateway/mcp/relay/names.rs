//! The names of what several servers have: `server-tool` for tools and prompts, URIs as they are.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::join_all;

use super::splice::{member, replaced};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::mcp::upstream::{Kind, List, Upstream};
use crate::json::RawJson;
use crate::tools::{Separator, ToolNames};

/// How many merged lists are kept: one for each set of servers that clients come for.
const MAXIMUM_MERGED: usize = 16;

/// Merged lists, the last ones that were used.
#[derive(Debug, Default)]
pub(super) struct Names {
    separator: Separator,
    merged: Mutex<Vec<Arc<Merged>>>,
}

/// The lists of some servers as one.
#[derive(Debug)]
pub(super) struct Merged {
    kind: Kind,
    /// The entries, a JSON array.
    pub(super) text: RawJson,
    /// For how long it may be kept, in milliseconds.
    pub(super) lifetime: u64,
    names: ToolNames,
    /// A list must not keep a server that was taken away.
    servers: Vec<Weak<Upstream>>,
    lists: Vec<Option<Arc<List>>>,
}

fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl Names {
    pub(super) fn new(separator: Separator) -> Self {
        Self {
            separator,
            merged: Mutex::default(),
        }
    }

    /// The lists of all these servers, each as it is now.
    pub(super) async fn listed(&self, kind: Kind, servers: &[Arc<Upstream>]) -> Arc<Merged> {
        let lists = join_all(servers.iter().map(|server| server.list(kind))).await;
        self.merge(kind, servers, lists)
    }

    /// The same as far as it is known, without asking anybody.
    fn known(&self, kind: Kind, servers: &[Arc<Upstream>]) -> Arc<Merged> {
        let lists = servers
            .iter()
            .map(|server| server.shared.lists.remembered(kind));
        self.merge(kind, servers, lists.collect())
    }

    fn merge(
        &self,
        kind: Kind,
        servers: &[Arc<Upstream>],
        lists: Vec<Option<Arc<List>>>,
    ) -> Arc<Merged> {
        let mut kept = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |merged: &Arc<Merged>| {
            let pairs = || merged.servers.iter().zip(servers);
            let lists = || merged.lists.iter().zip(&lists);
            merged.kind == kind
                && merged.servers.len() == servers.len()
                && pairs().all(|(one, other)| std::ptr::eq(one.as_ptr(), Arc::as_ptr(other)))
                && lists().all(|(one, other)| is_same(one.as_ref(), other.as_ref()))
        };
        if let Some(place) = kept.iter().position(is_it) {
            let found = kept.remove(place);
            kept.push(Arc::clone(&found));
            return found;
        }
        let merged = Arc::new(Merged::new(&self.separator, kind, servers, lists));
        if kept.len() == MAXIMUM_MERGED {
            kept.remove(0);
        }
        kept.push(Arc::clone(&merged));
        merged
    }

    /// The server and its own name for what a name stands for. Asks servers for their lists only where
    /// the known ones do not tell.
    pub(super) async fn find(
        &self,
        kind: Kind,
        servers: &[Arc<Upstream>],
        name: &str,
    ) -> Result<(Arc<Upstream>, String)> {
        let known = self.known(kind, servers);
        if let Some(found) = known.find(name).ok().filter(|found| found.is_listed) {
            return Ok((found.server, found.own));
        }
        if let Ok(found) = known.find(name) {
            // Its list may know the name; the lists of the others are not waited for.
            let list = found.server.list(kind).await;
            if list.is_none_or(|list| list.has(&found.own)) {
                return Ok((found.server, found.own));
            }
        }
        let found = self.listed(kind, servers).await.find(name)?;
        Ok((found.server, found.own))
    }

    /// The same among what is usable: a name that several have stands for the one of them that is.
    pub(super) async fn find_among(
        &self,
        kind: Kind,
        servers: &[Arc<Upstream>],
        name: &str,
        is_usable: impl Fn(&Upstream, &str) -> bool,
    ) -> Option<(Arc<Upstream>, String)> {
        if let Ok((server, own)) = self.find(kind, servers, name).await
            && is_usable(&server, &own)
        {
            return Some((server, own));
        }
        let merged = self.listed(kind, servers).await;
        let lists = servers.iter().zip(&merged.lists);
        let mut owners = lists.filter(|(server, list)| {
            list.as_ref().is_some_and(|list| list.has(name)) && is_usable(server, name)
        });
        match (owners.next(), owners.next()) {
            (Some((server, _)), None) => Some((Arc::clone(server), name.to_owned())),
            _ => None,
        }
    }

    /// The server that has a resource; none if no list and no template tells.
    pub(super) async fn owner(
        &self,
        servers: &[Arc<Upstream>],
        uri: &str,
    ) -> Option<Arc<Upstream>> {
        let holds = |kind: Kind, key: &str| {
            let server = servers.iter().find(|server| {
                let list = server.shared.lists.remembered(kind);
                list.is_some_and(|list| match kind {
                    Kind::Templates => list.entries().iter().any(|(one, _)| fits(one, key)),
                    _ => list.has(key),
                })
            });
            server.cloned()
        };
        for kind in [Kind::Resources, Kind::Templates] {
            if let Some(found) = holds(kind, uri) {
                return Some(found);
            }
        }
        for kind in [Kind::Resources, Kind::Templates] {
            self.listed(kind, servers).await;
            if let Some(found) = holds(kind, uri) {
                return Some(found);
            }
        }
        None
    }
}

/// Whether a URI is one of a template, as far as its beginning tells; the template itself is.
fn fits(template: &str, uri: &str) -> bool {
    let literal = template.split('{').next().unwrap_or_default();
    template == uri
        || (!literal.is_empty() && literal.len() < template.len() && uri.starts_with(literal))
}

/// What a name stands for.
struct Found {
    server: Arc<Upstream>,
    own: String,
    is_listed: bool,
}

/// Entries of lists under the names that they are known by, a JSON array.
fn written(
    kind: Kind,
    names: &ToolNames,
    servers: &[Arc<Upstream>],
    lists: &[Option<Arc<List>>],
    is_chosen: impl Fn(&Upstream, &str) -> bool,
) -> RawJson {
    let is_named = matches!(kind, Kind::Tools | Kind::Prompts);
    let mut text = b"[".to_vec();
    let mut seen = HashSet::new();
    for (server, list) in servers.iter().zip(lists) {
        let renamed: std::collections::HashMap<&str, &str> =
            names.of_server(server.member.label()).collect();
        for (key, entry) in list.iter().flat_map(|list| list.entries()) {
            let entry = if is_named {
                let Some(name) = renamed.get(key.as_str()) else {
                    continue;
                };
                if !is_chosen(server, key) {
                    continue;
                }
                let Some(own) = member(entry.as_bytes(), "name") else {
                    continue;
                };
                let name = serde_json::Value::from(*name).to_string();
                replaced(entry, own, name.as_bytes())
            } else if seen.insert(key.clone()) {
                entry.clone()
            } else {
                continue;
            };
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(entry.as_bytes());
        }
    }
    text.push(b']');
    RawJson::trusted(text)
}

impl Merged {
    fn new(
        separator: &Separator,
        kind: Kind,
        servers: &[Arc<Upstream>],
        lists: Vec<Option<Arc<List>>>,
    ) -> Self {
        let is_offered =
            |server: &Upstream, key: &str| kind != Kind::Tools || server.config().allows(key);
        let is_named = matches!(kind, Kind::Tools | Kind::Prompts);
        let catalogue = servers.iter().zip(&lists).map(|(server, list)| {
            let keys = list.iter().flat_map(|list| list.entries());
            let keys = keys.map(|(key, _)| key.as_str());
            let keys = keys.filter(|key| is_named && is_offered(server, key));
            (server.member.label(), keys.collect())
        });
        let names = ToolNames::new(separator.clone(), catalogue);
        let text = written(kind, &names, servers, &lists, |_, _| true);
        let lifetimes = lists
            .iter()
            .flatten()
            .map(|list| list.lifetime.unwrap_or(0));
        Self {
            kind,
            text,
            lifetime: lifetimes.min().unwrap_or(0),
            names,
            servers: servers.iter().map(Arc::downgrade).collect(),
            lists,
        }
    }

    /// The entries that are chosen, by their servers and their own names; `servers` are those of the
    /// list.
    pub(super) fn selected(
        &self,
        servers: &[Arc<Upstream>],
        is_chosen: impl Fn(&Upstream, &str) -> bool,
    ) -> RawJson {
        written(self.kind, &self.names, servers, &self.lists, is_chosen)
    }

    fn find(&self, name: &str) -> Result<Found> {
        let unknown = |failure: Error| match self.kind {
            Kind::Tools => failure,
            _ => Error::new(
                ErrorKind::Configuration,
                failure.message().replace("a tool", "a prompt"),
            ),
        };
        let owned = self.names.find(name).map_err(unknown)?;
        let servers = self.servers.iter().zip(&self.lists);
        let found = servers
            .filter_map(|(server, list)| Some((server.upgrade()?, list)))
            .find(|(server, _)| server.member.label() == owned.server);
        let Some((server, list)) = found else {
            let message = format!("no server has {name:?}");
            return Err(Error::new(ErrorKind::Configuration, message));
        };
        let list = list.as_ref();
        Ok(Found {
            server,
            own: owned.tool.to_owned(),
            is_listed: list.is_some_and(|list| list.has(owned.tool)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_recognized_by_what_stands_before_its_first_variable() {
        assert!(fits("file:///{path}", "file:///a/b"));
        assert!(fits("file:///{path}", "file:///{path}"));
        assert!(!fits("file:///{path}", "http://a"));
        assert!(!fits("{anything}", "http://a"));
        assert!(!fits("test://one", "test://one/more"));
    }
}
