//! The configuration file of a gateway: LiteLLM's `config.yaml`. Owns [`Config`]; uses `document`,
//! `mcp::config` and `llm`.
//!
//! | module | owns |
//! |---|---|
//! | [`keys`] | the table of every key that a file may hold |
//! | `notice` | what is said about a configuration that can be used |
//! | `models`, `servers`, `routing`, `access`, `limits` | the sections |
//! | `traces` | whom spans are sent to |

mod access;
pub mod keys;
mod limits;
mod models;
mod notice;
mod routing;
mod servers;
mod traces;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Document, Node, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::llm::router::{Deployment, RouterSettings};
use crate::mcp::ServerConfig;
use access::Entry;
use keys::Section;
use notice::{Notices, members};
use routing::Routing;

pub use access::{AccessConfig, KeyConfig};
pub use limits::Limits;
pub use notice::{Notice, NoticeKind};
pub(super) use servers::RESERVED;
pub use traces::Traces;

/// Everything that a configuration file says.
#[derive(Debug, Default)]
pub struct Config {
    /// The deployments of the models, in the order of the file.
    pub models: Vec<Deployment>,
    /// How one of several deployments is chosen.
    pub router: RouterSettings,
    /// The MCP servers, in the order of the file.
    pub servers: Vec<ServerConfig>,
    /// Who may call.
    pub access: AccessConfig,
    /// How much is taken.
    pub limits: Limits,
    /// Whether the metrics need no key.
    pub has_open_metrics: bool,
    /// Whether traces end at the gateway: providers of models hear nothing of them.
    pub keeps_traces: bool,
    /// How long a stream may be silent before a comment fills it, zero for as long as it likes; None where
    /// nothing is said.
    pub keep_alive: Option<Duration>,
    /// Whether logs are JSON.
    pub has_json_logs: bool,
    /// Whom spans are sent to.
    pub traces: Option<Traces>,
    /// What was ignored or is not known.
    pub notices: Vec<Notice>,
}

impl Config {
    /// Reads a file; blocking.
    ///
    /// # Errors
    /// It cannot be used; the error names file, line and key, what was found and what is accepted.
    pub fn read(path: &Path, variables: Lookup<'_>) -> Result<Self> {
        Self::from_document(&Document::read(path)?, variables)
    }

    /// Reads what was parsed before.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn from_document(document: &Document, variables: Lookup<'_>) -> Result<Self> {
        let Document { root, place } = document;
        let root = checked(root, place)?;
        let own = own_variables(root, place, variables)?;
        let variables = |name: &str| own.get(name).cloned().or_else(|| variables(name));
        let variables: Lookup<'_> = &variables;
        let mut notices = Notices::default();
        notices.check(Section::File, members(root), place);
        let section = |key: &str| {
            let node = root.get(key)?;
            (!matches!(node.data, Data::Null)).then(|| (place.key(key, node), node))
        };
        let mut config = Self::default();
        if let Some((place, node)) = section("model_list") {
            config.models = models::models(node, &place, variables, &mut notices)?;
        }
        if let Some((place, node)) = section("mcp_servers") {
            config.servers = servers::servers(document, node, &place, variables, &mut notices)?;
        }
        let mut routing = Routing::new();
        if let Some((place, node)) = section("litellm_settings") {
            routing.litellm(node, place.clone(), variables, &mut notices)?;
            config.check_aliases(node, &place, &mut notices);
        }
        if let Some((place, node)) = section("router_settings") {
            routing.router(node, place, variables, &mut notices)?;
        }
        config.has_json_logs = routing.has_json_logs;
        config.has_open_metrics = routing.has_open_metrics;
        config.keeps_traces = routing.keeps_traces;
        config.keep_alive = routing.keep_alive;
        config.router = std::mem::take(&mut routing.settings);
        config.check_models(&routing, &mut notices);
        config.access.master_key = access::master_key_of(variables);
        if let Some((place, node)) = section("general_settings") {
            let mut fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
            let access = &mut config.access;
            access.master_key = access::master_key(&mut fields, variables)?;
            access.allowed_hosts = fields.texts(&["allowed_hosts"])?.unwrap_or_default();
            access.allowed_origins = fields.texts(&["allowed_origins"])?.unwrap_or_default();
            config.limits = limits::limits(&mut fields)?;
            // Read with the servers.
            fields.find(&["token_file"]);
            notices.finish(Section::General, &fields);
        }
        if let Some((place, node)) = section("keys") {
            let entries = access::keys(node, &place, variables, &mut notices)?;
            if config.access.master_key.is_none() && !entries.is_empty() {
                return Err(place.error(
                    "are given, and no master key: without one everybody may do everything. Set \
                     general_settings.master_key",
                ));
            }
            config.check_keys(&entries, &mut notices);
            config.access.keys = entries.into_iter().map(|entry| entry.key).collect();
        }
        let otel = routing.otel;
        config.traces = Traces::read(variables, otel.is_some())?;
        if let Some(place) = otel.filter(|_| config.traces.is_none()) {
            let sentence = "switches traces on, but nobody takes them: name a collector with \
                            OTEL_EXPORTER_OTLP_ENDPOINT, as in http://localhost:4318";
            notices.push(NoticeKind::Advice, &place, sentence);
        }
        config.notices = notices.into_inner();
        Ok(config)
    }

    /// Refuses a configuration of which something is ignored.
    ///
    /// # Errors
    /// Something is; the error has a line for each.
    pub fn strict(&self) -> Result<()> {
        let lines: Vec<String> = self
            .notices
            .iter()
            .filter(|notice| notice.is_strict())
            .map(ToString::to_string)
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Configuration, lines.join("\n")))
    }

    /// The names that models are asked for by.
    fn model_names(&self) -> impl Iterator<Item = &str> + Clone {
        let models = self.models.iter().map(|model| model.name.as_str());
        models.chain(self.router.aliases.iter().map(|alias| alias.name.as_str()))
    }

    fn check_models(&self, routing: &Routing, notices: &mut Notices) {
        for named in &routing.named {
            notices.name(&named.place, "model", &named.model, self.model_names());
        }
    }

    fn check_aliases(&self, settings: &Node, place: &Place, notices: &mut Notices) {
        let Some(node) = settings.get("mcp_aliases") else {
            return;
        };
        let place = place.key("mcp_aliases", node);
        let servers = self.servers.iter().map(|server| server.name.as_str());
        for (alias, node) in members(node) {
            if let Data::Text(name) = &node.data {
                notices.name(&place.key(alias, node), "MCP server", name, servers.clone());
            }
        }
    }

    fn check_keys(&self, entries: &[Entry], notices: &mut Notices) {
        let servers = self.servers.iter();
        let servers = servers.flat_map(|server| {
            [Some(&server.name), server.alias.as_ref()]
                .into_iter()
                .flatten()
                .map(String::as_str)
        });
        let groups = self.servers.iter();
        let groups = groups.flat_map(|server| server.policy.access_groups.iter());
        let groups = groups.map(String::as_str);
        for Entry { place, key } in entries {
            for name in key.servers.iter().flatten() {
                notices.name(place, "MCP server", name, servers.clone());
            }
            for name in key.access_groups.iter().flatten() {
                notices.name(place, "access group", name, groups.clone());
            }
            for name in key.models.iter().flatten() {
                notices.name(place, "model", name, self.model_names());
            }
        }
    }
}

/// The file as an object; an empty one is none.
fn checked<'a>(root: &'a Node, place: &Place) -> Result<&'a Node> {
    match &root.data {
        Data::Object(_) => Ok(root),
        Data::Null => Err(place.error("is empty; it takes model_list, mcp_servers or both")),
        _ => Err(place.error(&format!(
            "is {}; it takes an object with model_list, mcp_servers or both",
            root.kind()
        ))),
    }
}

/// `environment_variables`; their values may name variables of the process.
fn own_variables(
    root: &Node,
    place: &Place,
    variables: Lookup<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut fields = Fields::new(root, place.clone(), variables, Spelling::OsEnviron)?;
    fields.map(&["environment_variables"])
}
