//! The tools of one server, every page of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::renamed;
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::lasting::Lasting;
use crate::mcp::session::{CallOptions, Params};

/// How many pages a catalogue may have, and how many tools.
const MAXIMUM_PAGES: usize = 1000;
const MAXIMUM_TOOLS: usize = 100_000;

/// A list of tools as it was at one moment.
#[derive(Debug)]
pub(super) struct Listing {
    tools: Vec<(String, RawJson)>,
    places: HashMap<String, usize>,
    /// For how long the server allows the list to be kept; none if it did not say.
    pub(super) lifetime: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    ttl_ms: Option<f64>,
}

impl Listing {
    pub(super) async fn fetch(lasting: &Lasting, limit: Duration) -> Result<Self> {
        match tokio::time::timeout(limit, Self::pages(lasting)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::new(
                ErrorKind::McpTimeout,
                format!(
                    "the MCP server `{}` did not list its tools within {} s",
                    lasting.name(),
                    limit.as_secs_f64()
                ),
            )),
        }
    }

    async fn pages(lasting: &Lasting) -> Result<Self> {
        let mut listing = Self {
            tools: Vec::new(),
            places: HashMap::new(),
            lifetime: None,
        };
        let mut seen = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAXIMUM_PAGES {
            let object = cursor.as_ref().map(|cursor| {
                RawJson::trusted(serde_json::json!({ "cursor": cursor }).to_string())
            });
            let params = Params { object, meta: None };
            let answer = lasting
                .request("tools/list", params, CallOptions::default())
                .await?;
            cursor = listing.add(lasting.name(), &answer)?;
            match &cursor {
                None => return Ok(listing),
                // A catalogue that goes in circles is cut where it begins again.
                Some(next) if !seen.insert(next.clone()) => return Ok(listing),
                Some(_) if listing.tools.len() > MAXIMUM_TOOLS => break,
                Some(_) => {}
            }
        }
        tracing::warn!(
            target: "toolbridge::mcp", server = lasting.name(),
            "the list of tools has no end; {} of them are used", listing.tools.len()
        );
        Ok(listing)
    }

    /// Adds a page; gives the cursor of the next one.
    fn add(&mut self, server: &str, answer: &RawJson) -> Result<Option<String>> {
        let page: Page<'_> = serde_json::from_slice(answer.as_bytes()).map_err(|cause| {
            let message = format!(
                "the answer of the MCP server `{server}` to tools/list is no list of tools"
            );
            Error::new(ErrorKind::Mcp, message).with_source(cause)
        })?;
        for tool in page.tools {
            #[derive(Deserialize)]
            struct Named {
                name: String,
            }
            let Ok(Named { name }) = serde_json::from_str(tool.get()) else {
                continue;
            };
            if !self.places.contains_key(&name) {
                self.places.insert(name.clone(), self.tools.len());
                self.tools
                    .push((name, RawJson::trusted(tool.get().to_owned())));
            }
        }
        if let Some(lifetime) = page.ttl_ms {
            let lifetime = Duration::try_from_secs_f64(lifetime / 1000.0).unwrap_or_default();
            self.lifetime = Some(self.lifetime.map_or(lifetime, |known| known.min(lifetime)));
        }
        Ok(page.next_cursor.filter(|cursor| !cursor.is_empty()))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn has(&self, tool: &str) -> bool {
        self.places.contains_key(tool)
    }

    /// The tools as the server sent them, a JSON array; those that are not allowed are left out.
    pub(super) fn text(&self, allows: impl Fn(&str) -> bool) -> RawJson {
        let mut text = Vec::from(*b"[");
        for (_, tool) in self.tools.iter().filter(|(name, _)| allows(name)) {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(tool.as_bytes());
        }
        text.push(b']');
        RawJson::trusted(text)
    }

    pub(super) fn write(&self, tool: &str, name: &str, text: &mut Vec<u8>) {
        let known = self.places.get(tool).map(|place| &self.tools[*place].1);
        if let Some(renamed) = known.and_then(|known| renamed(known, name)) {
            text.extend_from_slice(&renamed);
        } else {
            text.extend_from_slice(b"{}");
        }
    }
}
