//! Whose tools are called. Owns [`Toolbox`], and [`GroupTools`], a group of MCP servers as one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::Group;
use crate::mcp::session::{CallOptions, Params, ProgressListener};
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

/// The tools of a group of MCP servers.
pub struct GroupTools {
    group: Arc<Group>,
    listed: Mutex<Option<(u64, Arc<Vec<Tool>>)>>,
    index: Mutex<Option<(u64, Arc<Index>)>>,
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
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            name: String,
        }
        let merged = self.group.tools().await;
        let known = {
            let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed.clone()
        };
        if let Some((version, tools)) = known
            && version == merged.version
        {
            return Ok((version, tools));
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
        let listed = (merged.version, Arc::new(tools));
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed.clone());
        Ok(listed)
    }

    async fn carry_out(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> Result<RawJson> {
        let (member, tool) = match self.group.find_known(&name) {
            Some(found) => found?,
            None => self.group.find(&name).await?,
        };
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
