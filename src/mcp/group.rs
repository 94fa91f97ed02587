//! Many servers at once: reached in parallel, each on its own, their tools in one list under safe
//! names. Owns [`Group`] and [`Member`]; uses `lasting`, `config` and `tools`.

mod listing;
mod member;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result, nearest};
use crate::json::RawJson;
use crate::mcp::config::ServerConfig;
use crate::mcp::connect::Opening;
use crate::mcp::lasting::{Jitter, Reach};
use crate::tools::names::Owned;
use crate::tools::{Separator, ToolNames};
use listing::Listing;

pub use member::Member;

/// How many absent servers an error about an unknown tool names.
const MOST_EXPLAINED: usize = 3;

/// What became different at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Its status, or the connection under it.
    Status,
    /// Its tools.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its resources.
    Resources,
}

impl Change {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }
}

/// Called with the name of a server and what became different there; must not wait.
pub type ChangeListener = Arc<dyn Fn(&str, Change) + Send + Sync>;

/// The tools of all servers, under the names that they are called by.
#[derive(Debug)]
pub struct Merged {
    /// The list, a JSON array; each tool as its server sent it, but for its name.
    pub text: RawJson,
    /// Counts the lists: one with the same number is the same list.
    pub version: u64,
    names: ToolNames,
    lists: Vec<Option<Arc<Listing>>>,
}

/// Many servers. Dropping it closes the connections.
pub struct Group {
    separator: Separator,
    members: Mutex<Vec<Arc<Member>>>,
    /// The list that was last given out.
    merged: Mutex<Option<Arc<Merged>>>,
    /// What names were last looked up in.
    routes: Mutex<Option<Arc<Merged>>>,
    on_change: ChangeListener,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(
                self.members()
                    .iter()
                    .map(|member| (member.name(), member.lasting().status())),
            )
            .finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Group {
    fn drop(&mut self) {
        for member in self.members() {
            member.lasting().begin_close();
        }
    }
}

impl Group {
    /// Without any server yet.
    pub fn new(separator: Separator, on_change: ChangeListener) -> Self {
        Self {
            separator,
            members: Mutex::default(),
            merged: Mutex::default(),
            routes: Mutex::default(),
            on_change,
        }
    }

    /// The servers, in the order in which they were added.
    pub fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.members).clone()
    }

    /// A server by its name or alias.
    ///
    /// # Errors
    /// There is none.
    pub fn member(&self, name: &str) -> Result<Arc<Member>> {
        let members = self.members();
        let found = members.iter().find(|member| member.name() == name);
        let found = found.or_else(|| members.iter().find(|member| member.label() == name));
        found.cloned().ok_or_else(|| {
            let known: Vec<_> = members.iter().map(|member| member.name()).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!(
                    "there are {}",
                    if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    }
                ),
            };
            Error::new(
                ErrorKind::Configuration,
                format!("there is no server {name:?}; {hint}"),
            )
        })
    }

    /// Adds a server and begins to connect to it. Must be called inside the runtime.
    ///
    /// # Errors
    /// There is one of that name or alias already, or its mode is none.
    pub fn add(&self, config: ServerConfig, opening: Opening) -> Result<Arc<Member>> {
        self.insert(config, |config, on_change| {
            Member::start(config, opening, on_change)
        })
    }

    /// As [`Group::add`], over connections of the caller's making.
    ///
    /// # Errors
    /// As [`Group::add`].
    pub fn add_reached_by(
        &self,
        config: ServerConfig,
        reach: Arc<dyn Reach>,
        jitter: Jitter,
    ) -> Result<Arc<Member>> {
        self.insert(config, |config, on_change| {
            Ok(Member::reached_by(
                config,
                reach,
                jitter,
                on_change,
                Arc::default(),
            ))
        })
    }

    fn insert(
        &self,
        config: ServerConfig,
        start: impl FnOnce(ServerConfig, ChangeListener) -> Result<Arc<Member>>,
    ) -> Result<Arc<Member>> {
        let mut members = lock(&self.members);
        free(&members, &config)?;
        let member = start(config, Arc::clone(&self.on_change))?;
        members.push(Arc::clone(&member));
        Ok(member)
    }

    /// Makes these the servers, in this order. Those that are described as before stay as they are,
    /// with their connections, and those that were given up are tried again; one that is not named any more, or is described otherwise, is closed as
    /// soon as nothing that is in flight needs it. Must be called inside the runtime.
    ///
    /// # Errors
    /// Two of them have one name or alias, or the mode of one is none; nothing is changed then.
    pub fn replace(
        &self,
        configs: Vec<ServerConfig>,
        opening: impl Fn(&ServerConfig) -> Opening,
    ) -> Result<()> {
        let mut members = lock(&self.members);
        let mut next: Vec<Arc<Member>> = Vec::with_capacity(configs.len());
        for mut config in configs {
            free(&next, &config)?;
            if let Some(before) = members.iter().find(|member| member.name() == config.name) {
                config.keep_authorizer(before.config());
            }
            let kept = members.iter().find(|member| *member.config() == config);
            next.push(if let Some(member) = kept {
                member.lasting().try_again();
                Arc::clone(member)
            } else {
                let opening = opening(&config);
                Member::start(config, opening, Arc::clone(&self.on_change))?
            });
        }
        *members = next;
        Ok(())
    }

    /// Takes a server away and closes its connection.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let member = self.member(name)?;
        lock(&self.members).retain(|other| !Arc::ptr_eq(other, &member));
        member.close().await;
        Ok(())
    }

    /// Waits until every server is ready with its tools, or has failed its first attempt; for each no
    /// longer than it may take to connect.
    pub async fn settled(&self) {
        let members = self.members();
        join_all(members.iter().map(|member| member.settled())).await;
    }

    /// The tools of all servers that are reached, in the order of the servers. Lists that are known
    /// and did not change are not asked for again.
    pub async fn tools(&self) -> Arc<Merged> {
        let members = self.members();
        let lists = join_all(members.iter().map(|member| async {
            // Why there is none stands in the status of the server.
            member.listing().await.ok()
        }))
        .await;
        Self::merge(&self.separator, &self.merged, &members, lists)
    }

    /// The server and the tool that a name stands for. Asks servers for their lists only where the
    /// known ones do not tell.
    ///
    /// # Errors
    /// No server has such a tool, several have, or it is not allowed.
    pub async fn find(&self, name: &str) -> Result<(Arc<Member>, String)> {
        if let Some(found) = self.find_known(name) {
            return found;
        }
        let known = self.known();
        if let Ok(owned) = known.names.find(name)
            && let Ok(member) = self.member(owned.server)
        {
            // Its list may know the name; the lists of the others are not waited for.
            let listed = member.listing().await.is_ok();
            let known = self.known();
            let owned = known
                .names
                .find(name)
                .map_err(|none| self.explained(none))?;
            if listed || owned.server == member.label() {
                return self.allowed(owned.server, owned.tool);
            }
        }
        self.tools().await;
        let known = self.known();
        let owned = known
            .names
            .find(name)
            .map_err(|none| self.explained(none))?;
        self.allowed(owned.server, owned.tool)
    }

    /// Says with a name that was not found which servers could not be asked for it.
    fn explained(&self, none: Error) -> Error {
        let absent: Vec<String> = self
            .members()
            .iter()
            .filter_map(|member| {
                let error = member.lasting().last_error()?;
                let status = member.lasting().status().name();
                Some(format!(
                    "; {:?} is {status}: {}",
                    member.name(),
                    error.message()
                ))
            })
            .take(MOST_EXPLAINED)
            .collect();
        if absent.is_empty() {
            return none;
        }
        let message = format!("{}{}", none.message(), absent.concat());
        Error::new(none.kind(), message).with_context(none.context().clone())
    }

    /// The same without asking anybody; none if the known lists do not tell.
    pub fn find_known(&self, name: &str) -> Option<Result<(Arc<Member>, String)>> {
        let known = self.known();
        let owned = known.names.find(name).ok()?;
        let member = self.member(owned.server).ok()?;
        let is_listed = member.remembered()?.has(owned.tool);
        is_listed.then(|| self.allowed(owned.server, owned.tool))
    }

    fn allowed(&self, server: &str, tool: &str) -> Result<(Arc<Member>, String)> {
        let member = self.member(server)?;
        if member.config().allows(tool) {
            return Ok((member, tool.to_owned()));
        }
        let message = format!(
            "the tool {tool:?} of the MCP server {:?} is not allowed by its configuration \
             (allowed_tools, disallowed_tools)",
            member.name()
        );
        Err(Error::new(ErrorKind::Configuration, message))
    }

    /// What names stand for as far as that is known, of servers that are not reached too.
    fn known(&self) -> Arc<Merged> {
        let members = self.members();
        let lists = members.iter().map(|member| member.remembered()).collect();
        Self::merge(&self.separator, &self.routes, &members, lists)
    }

    fn merge(
        separator: &Separator,
        slot: &Mutex<Option<Arc<Merged>>>,
        members: &[Arc<Member>],
        lists: Vec<Option<Arc<Listing>>>,
    ) -> Arc<Merged> {
        let mut merged = lock(slot);
        if let Some(merged) = &*merged
            && merged.is_of(members, &lists)
        {
            return Arc::clone(merged);
        }
        let catalogue = members.iter().zip(&lists).map(|(member, list)| {
            let tools = list.iter().flat_map(|list| list.names());
            let tools = tools.filter(|tool| member.config().allows(tool) || list.is_none());
            (member.label(), tools.collect())
        });
        let names = ToolNames::new(separator.clone(), catalogue);
        let mut text = Vec::from(*b"[");
        for (member, list) in members.iter().zip(&lists) {
            let Some(list) = list else { continue };
            for (tool, name) in names.of_server(member.label()) {
                if text.len() > 1 {
                    text.push(b',');
                }
                list.write(tool, name, &mut text);
            }
        }
        text.push(b']');
        let version = merged.as_ref().map_or(0, |merged| merged.version) + 1;
        let new = Arc::new(Merged {
            text: RawJson::trusted(text),
            version,
            names,
            lists,
        });
        *merged = Some(Arc::clone(&new));
        new
    }

    /// Closes every connection and waits until nothing of them is left.
    pub async fn close(&self) {
        let members = self.members();
        join_all(members.iter().map(|member| member.close())).await;
    }
}

impl Merged {
    /// Whose the tool of a name is, and what it is called there.
    pub fn owner_of<'a>(&'a self, name: &'a str) -> Option<Owned<'a>> {
        self.names.find(name).ok()
    }

    /// Whether it has tools of this server.
    pub fn lists(&self, server: &str) -> bool {
        self.names.of_server(server).next().is_some()
    }

    fn is_of(&self, members: &[Arc<Member>], lists: &[Option<Arc<Listing>>]) -> bool {
        let is_same =
            |(one, other): (&Option<Arc<Listing>>, &Option<Arc<Listing>>)| match (one, other) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
        self.lists.len() == lists.len()
            && self.lists.iter().zip(lists).all(is_same)
            && self
                .names
                .servers()
                .eq(members.iter().map(|member| member.label()))
    }
}

/// Whether the names of a server are still free.
fn free(members: &[Arc<Member>], config: &ServerConfig) -> Result<()> {
    let label = config.alias.as_ref().unwrap_or(&config.name);
    let is_taken = members
        .iter()
        .any(|member| member.name() == config.name || member.label() == label);
    if !is_taken {
        return Ok(());
    }
    let message =
        format!("there is a server {label:?} already; names and aliases stand for one server each");
    Err(Error::new(ErrorKind::Configuration, message))
}

/// A tool under another name; everything else of it stays.
fn renamed(tool: &RawJson, name: &str) -> Option<Vec<u8>> {
    let mut value = tool.to_value().ok()?;
    value
        .as_object_mut()?
        .insert("name".to_owned(), Value::from(name));
    serde_json::to_vec(&value).ok()
}
