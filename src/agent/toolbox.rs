//! Whose tools are called. Owns [`Toolbox`], and [`GroupTools`], a group of MCP servers as one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params, ProgressListener};
use crate::mcp::{Group, Member, Merged, Status};
use crate::tools::search::Index;

/// A tool as it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name that it is called by: at most 64 characters of `[A-Za-z0-9_-]`.
    pub name: String,
    /// Whose it is, if that has a name.
    pub server: Option<String>,
    /// What it is called there, if that is known.
    pub own_name: Option<String>,
    /// The tool as its server describes it (MCP, `Tool`), under that name.
    pub described: RawJson,
}

/// How one call is made.
#[derive(Clone, Default)]
pub struct CallTerms {
    /// Who hears of its progress; must not wait.
    pub progress: Option<ProgressListener>,
}

impl fmt::Debug for CallTerms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CallTerms").finish_non_exhaustive()
    }
}

/// What has tools.
pub trait Toolbox: Send + Sync + fmt::Debug {
    /// The tools, with the number of the list: one with the same number is the same list.
    fn tools(&self) -> BoxFuture<'_, Result<(u64, Arc<Vec<Tool>>)>>;

    /// Calls a tool by its name; the result is MCP's `CallToolResult`. Dropping the future tells the
    /// server that the result is no longer wanted.
    fn call(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> BoxFuture<'_, Result<RawJson>>;
}

/// The tools of a group of MCP servers. Those of a server whose connection was lost stay while it is
/// made anew.
pub struct GroupTools {
    group: Arc<Group>,
    listed: Mutex<Option<Listed>>,
    index: Mutex<Option<(u64, Arc<Index>)>>,
}

/// What was listed last.
#[derive(Clone)]
struct Listed {
    version: u64,
    /// The number of the merged list that it is of.
    merged: u64,
    /// The servers that are not in that one.
    away: Vec<String>,
    tools: Arc<Vec<Tool>>,
}

impl fmt::Debug for GroupTools {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.fmt(formatter)
    }
}

impl GroupTools {
    /// Those of this group.
    pub fn new(group: Arc<Group>) -> Self {
        Self {
            group,
            listed: Mutex::default(),
            index: Mutex::default(),
        }
    }

    /// The tools that fit a query, the best first, with their scores.
    ///
    /// # Errors
    /// The list cannot be read.
    pub async fn search(&self, query: &str, limit: usize) -> Result<Vec<(Tool, f64)>> {
        let (version, tools) = self.list().await?;
        let known = {
            let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            index.clone().filter(|(known, _)| *known == version)
        };
        let index = if let Some((_, index)) = known {
            index
        } else {
            let described = tools.iter().map(|tool| tool.described.to_value());
            let made = Arc::new(Index::new(&described.collect::<Result<Vec<_>>>()?));
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            *index = Some((version, Arc::clone(&made)));
            made
        };
        let found = index.search(query, limit).into_iter();
        Ok(found
            .map(|(place, score)| (tools[place].clone(), score))
            .collect())
    }

    async fn list(&self) -> Result<(u64, Arc<Vec<Tool>>)> {
        let mut merged = self.group.tools().await;
        let known = self.known();
        let mut away = self.away(known.as_ref(), &merged);
        if away.iter().any(|(_, is_ready)| *is_ready) {
            // It came back between the two looks.
            merged = self.group.tools().await;
            away = self.away(known.as_ref(), &merged);
        }
        // What is ready and lists nothing has no tools any more.
        away.retain(|(_, is_ready)| !is_ready);
        let away: Vec<String> = away.into_iter().map(|(server, _)| server).collect();
        if let Some(known) = &known
            && known.merged == merged.version
            && known.away == away
        {
            return Ok((known.version, Arc::clone(&known.tools)));
        }
        let mut tools = listed(&merged)?;
        let of_away = known.iter().flat_map(|known| known.tools.iter());
        let of_away =
            of_away.filter(|tool| tool.server.as_ref().is_some_and(|of| away.contains(of)));
        tools.extend(of_away.cloned());
        let version = known.map_or(1, |known| known.version + 1);
        let tools = Arc::new(tools);
        let listed = Listed {
            version,
            merged: merged.version,
            away,
            tools: Arc::clone(&tools),
        };
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed);
        Ok((version, tools))
    }

    fn known(&self) -> Option<Listed> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.clone()
    }

    /// The servers whose tools are known and are not in the merged list, as long as they are being
    /// reached again: their calls wait, so that their tools stay. Says of each whether it is there by now.
    fn away(&self, known: Option<&Listed>, merged: &Merged) -> Vec<(String, bool)> {
        let mut away: Vec<(String, bool)> = Vec::new();
        for tool in known.into_iter().flat_map(|known| known.tools.iter()) {
            let Some(server) = &tool.server else { continue };
            if away.iter().any(|(known, _)| known == server) || merged.lists(server) {
                continue;
            }
            let status = self
                .group
                .member(server)
                .map(|member| member.lasting().status());
            match status {
                Ok(Status::Reconnecting) => away.push((server.clone(), false)),
                Ok(Status::Ready) => away.push((server.clone(), true)),
                _ => {}
            }
        }
        away
    }

    /// The server and the tool that a name stands for.
    async fn find(&self, name: &str) -> Result<(Arc<Member>, String)> {
        if let Some(found) = self.group.find_known(name) {
            return found;
        }
        if let Some(known) = self.known()
            && let Some(tool) = known.tools.iter().find(|tool| tool.name == name)
            && let (Some(server), Some(own)) = (&tool.server, &tool.own_name)
            && known.away.contains(server)
        {
            return Ok((self.group.member(server)?, own.clone()));
        }
        self.group.find(name).await
    }

    async fn carry_out(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> Result<RawJson> {
        let (member, tool) = self.find(&name).await?;
        let mut object = Vec::with_capacity(arguments.as_bytes().len() + tool.len() + 32);
        object.extend_from_slice(b"{\"name\":");
        object.extend_from_slice(RawJson::from_serialize(&tool)?.as_bytes());
        object.extend_from_slice(b",\"arguments\":");
        object.extend_from_slice(arguments.as_bytes());
        object.push(b'}');
        let params = Params {
            object: Some(RawJson::trusted(object)),
            meta: None,
        };
        let options = CallOptions {
            progress: terms.progress,
            ..CallOptions::default()
        };
        member
            .lasting()
            .request("tools/call", params, options)
            .await
    }
}

/// The tools of a merged list.
fn listed(merged: &Merged) -> Result<Vec<Tool>> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        name: String,
    }
    let unreadable = |cause| {
        Error::new(
            ErrorKind::Internal,
            "the merged list of tools cannot be read",
        )
        .with_source(cause)
    };
    let list: Vec<&RawValue> =
        serde_json::from_slice(merged.text.as_bytes()).map_err(unreadable)?;
    let mut tools = Vec::with_capacity(list.len());
    for described in list {
        let named: Named = serde_json::from_str(described.get()).map_err(unreadable)?;
        let owner = merged.owner_of(&named.name);
        tools.push(Tool {
            server: owner.map(|owner| owner.server.to_owned()),
            own_name: owner.map(|owner| owner.tool.to_owned()),
            name: named.name,
            described: RawJson::trusted(described.get().to_owned()),
        });
    }
    Ok(tools)
}

impl Toolbox for GroupTools {
    fn tools(&self) -> BoxFuture<'_, Result<(u64, Arc<Vec<Tool>>)>> {
        self.list().boxed()
    }

    fn call(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> BoxFuture<'_, Result<RawJson>> {
        self.carry_out(name, arguments, terms).boxed()
    }
}
