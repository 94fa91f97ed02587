//! What servers there are and how each is reached, from whatever describes them: the `mcpServers`
//! of a desktop client, the `mcp_servers` of a gateway, one by one. Uses `tools`, `json`, `error`.

mod authorization;
mod desktop;
mod gateway;
mod server;
mod stdio;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::document::fields::{Fields, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::Result;

pub use crate::document::Document;
pub use crate::document::fields::Lookup;
pub use authorization::OAuthConfig;
pub use gateway::header;
pub use server::{Endurance, HttpKind, Policy, ServerConfig, Target};
pub use stdio::{INHERITED_VARIABLES, StdioServerParameters};

/// What a configuration says.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The servers, in the order in which they stand there.
    pub servers: Vec<ServerConfig>,
    /// Servers that are switched off.
    pub disabled: Vec<String>,
    /// Keys that were ignored, one sentence each.
    pub notices: Vec<String>,
}

impl Loaded {
    /// Reads an object of the caller: `{"mcpServers": …}`, `{"servers": …}`, `{"mcp_servers": …}`, or
    /// servers by their names.
    ///
    /// # Errors
    /// It cannot be used; the error names the key, what was found and what is accepted.
    pub fn from_value(value: Value, variables: Lookup<'_>) -> Result<Self> {
        Self::from_document(&Document::from_value(value), variables)
    }

    /// Reads an object of the caller whose texts mean nothing but themselves.
    ///
    /// # Errors
    /// As [`Loaded::from_value`].
    pub fn literally(value: Value) -> Result<Self> {
        let document = Document::from_value(value);
        desktop::servers(&document.root, &document.place, &|_| None, Spelling::None)
    }

    /// Reads a file, JSON or YAML; blocking.
    ///
    /// # Errors
    /// As [`Loaded::from_value`]; the error names the file and the line too.
    pub fn from_file(path: &Path, variables: Lookup<'_>) -> Result<Self> {
        Self::from_document(&Document::read(path)?, variables)
    }

    /// The servers of a gateway's file, whose keys the gateway itself checks.
    pub(crate) fn servers_of_gateway(
        document: &Document,
        variables: Lookup<'_>,
    ) -> Result<Vec<ServerConfig>> {
        let Document { root, place } = document;
        let Some(section) = root.get("mcp_servers") else {
            return Ok(Vec::new());
        };
        let frame = frame(root, place, variables)?;
        let place = place.key("mcp_servers", section);
        let loaded = gateway::servers(section, &place, &frame, variables, Strangers::Checked)?;
        Ok(loaded.servers)
    }

    /// Reads what was parsed before.
    ///
    /// # Errors
    /// As [`Loaded::from_value`].
    pub fn from_document(document: &Document, variables: Lookup<'_>) -> Result<Self> {
        let Document { root, place } = document;
        for key in ["mcpServers", "servers"] {
            if let Some(section) = section(root, key) {
                return desktop::servers(
                    section,
                    &place.key(key, section),
                    variables,
                    Spelling::Braces,
                );
            }
        }
        if let Some(section) = section(root, "mcp_servers") {
            let frame = frame(root, place, variables)?;
            let place = place.key("mcp_servers", section);
            return gateway::servers(section, &place, &frame, variables, Strangers::Refused);
        }
        // Cursor and VS Code settings keep the section one level down.
        if let Some(section) = root.get("mcp").and_then(|mcp| section(mcp, "servers")) {
            return desktop::servers(
                section,
                &place.key("mcp.servers", section),
                variables,
                Spelling::Braces,
            );
        }
        match &root.data {
            Data::Object(members)
                if !members.is_empty()
                    && members.iter().all(|(_, node)| matches!(node.data, Data::Object(_))) =>
            {
                desktop::servers(root, place, variables, Spelling::Braces)
            }
            _ => Err(place.error(
                "names no servers; it takes {\"mcpServers\": {name: {\"command\": …} or {\"url\": …}}}, \
                 or mcp_servers as in the config.yaml of a gateway",
            )),
        }
    }
}

/// What becomes of a key that is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    /// It is refused or reported.
    Refused,
    /// Somebody else looks at them.
    Checked,
}

/// What the rest of a gateway's file says about its servers.
struct Frame {
    /// From an alias to the name of a server.
    aliases: Vec<(String, String)>,
    /// Where tokens are kept.
    token_file: Option<PathBuf>,
}

fn frame(root: &Node, place: &Place, variables: Lookup<'_>) -> Result<Frame> {
    let token_file = match root.get("general_settings") {
        Some(node) if matches!(node.data, Data::Object(_)) => {
            let place = place.key("general_settings", node);
            let mut fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
            fields.text(&["token_file"])?.map(PathBuf::from)
        }
        _ => None,
    };
    Ok(Frame {
        aliases: aliases(root, place)?,
        token_file: token_file.or_else(|| authorization::default_token_file(variables)),
    })
}

/// A section by its key; a server may have any name, so one that looks like a server is none.
fn section<'a>(root: &'a Node, key: &str) -> Option<&'a Node> {
    let section = root.get(key)?;
    let is_server = ["command", "url"]
        .iter()
        .any(|key| matches!(section.get(key), Some(node) if matches!(node.data, Data::Text(_))));
    (!is_server).then_some(section)
}

/// `litellm_settings.mcp_aliases`: from an alias to the name of a server.
fn aliases(root: &Node, place: &Place) -> Result<Vec<(String, String)>> {
    let Some(settings) = root.get("litellm_settings") else {
        return Ok(Vec::new());
    };
    let Some(node) = settings.get("mcp_aliases") else {
        return Ok(Vec::new());
    };
    let place = place
        .key("litellm_settings", settings)
        .key("mcp_aliases", node);
    let Data::Object(members) = &node.data else {
        return Err(place.error(&format!("is {}; it takes an object of texts", node.kind())));
    };
    let mut aliases = Vec::new();
    for (alias, node) in members {
        let Data::Text(name) = &node.data else {
            return Err(place.key(alias, node).error("takes the name of a server"));
        };
        aliases.push((alias.clone(), name.clone()));
    }
    Ok(aliases)
}
