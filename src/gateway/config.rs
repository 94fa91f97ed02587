//! The configuration file of a gateway: LiteLLM's `config.yaml`. Owns [`Config`]; uses `document`,
//! `mcp::config` and `llm`.

use std::fmt;
use std::path::Path;

use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Document, Node, Place};
use crate::error::Result;
use crate::llm::model_id::ModelId;
use crate::llm::provider::{Endpoint, Settings};
use crate::llm::router::{Deployment, RouterSettings};
use crate::mcp::{Loaded, ServerConfig};

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
    /// What was ignored, one sentence each, with file and line.
    pub notices: Vec<String>,
}

/// Who may call.
#[derive(Default, Clone)]
pub struct AccessConfig {
    /// The key that may do everything; without one everybody may.
    pub master_key: Option<String>,
    /// Further keys, each with what it may use.
    pub keys: Vec<KeyConfig>,
    /// Names of the gateway besides those of loopback, without a port.
    pub allowed_hosts: Vec<String>,
    /// Pages of browsers that may use it, as in `https://app.example`; `*` is every page.
    pub allowed_origins: Vec<String>,
}

impl fmt::Debug for AccessConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessConfig")
            .field("master_key", &self.master_key.is_some())
            .field("keys", &self.keys)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .finish()
    }
}

/// A key beside the master key. What is None it may use without limit; an empty list lets it use
/// nothing.
#[derive(Clone)]
pub struct KeyConfig {
    /// What it is called in logs and metrics.
    pub name: String,
    /// The SHA-256 of the key.
    pub digest: [u8; 32],
    /// MCP servers, by name or alias.
    pub servers: Option<Vec<String>>,
    /// Access groups of MCP servers; what they name is usable beside `servers`.
    pub access_groups: Option<Vec<String>>,
    /// Tools, as `server-tool` or by their own name.
    pub tools: Option<Vec<String>>,
    /// Models, by the names of `model_list`.
    pub models: Option<Vec<String>>,
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
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
        let mut config = Self::default();
        if let Some(list) = root.get("model_list") {
            config.models = models(list, &place.key("model_list", list), variables)?;
        }
        if root.get("mcp_servers").is_some() {
            let loaded = Loaded::from_document(document, variables)?;
            config.servers = loaded.servers;
            config.notices.extend(loaded.notices);
        }
        let general = root.get("general_settings");
        if let Some(general) = general {
            let place = place.key("general_settings", general);
            let mut fields = Fields::new(general, place, variables, Spelling::OsEnviron)?;
            config.access.master_key = fields.text(&["master_key"])?;
            config.access.allowed_hosts = fields.texts(&["allowed_hosts"])?.unwrap_or_default();
            config.access.allowed_origins = fields.texts(&["allowed_origins"])?.unwrap_or_default();
            config.notices.extend(fields.finish(&[])?);
        }
        if config.access.master_key.is_none() {
            config.access.master_key = ["TOOLBRIDGE_MASTER_KEY", "LITELLM_MASTER_KEY"]
                .into_iter()
                .find_map(variables)
                .filter(|key| !key.is_empty());
        }
        Ok(config)
    }
}

fn models(list: &Node, place: &Place, variables: Lookup<'_>) -> Result<Vec<Deployment>> {
    let Data::List(entries) = &list.data else {
        return Err(place.error(&format!("is {}; it takes a list of models", list.kind())));
    };
    let entries = entries.iter().enumerate();
    entries
        .map(|(index, entry)| model(entry, place.element(index, entry), variables))
        .collect()
}

fn model(entry: &Node, place: Place, variables: Lookup<'_>) -> Result<Deployment> {
    let mut fields = Fields::new(entry, place, variables, Spelling::OsEnviron)?;
    let needs = |place: &Place, key: &str| place.error(&format!("has no {key}"));
    let name = fields.text(&["model_name"])?;
    let name = name.ok_or_else(|| needs(&fields.place, "model_name"))?;
    let (place, node) = fields
        .find(&["litellm_params"])
        .ok_or_else(|| needs(&fields.place, "litellm_params"))?;
    let mut params = Fields::new(node, place, variables, Spelling::OsEnviron)?;
    let given = params.text(&["model"])?;
    let given = given.ok_or_else(|| needs(&params.place, "model"))?;
    let settings = Settings {
        api_key: params.text(&["api_key"])?,
        api_base: params.text(&["api_base", "base_url"])?,
        ..Settings::default()
    };
    let model = ModelId::resolve(&given, None, settings.api_base.is_some())?;
    let endpoint = Endpoint::resolve(&model, &settings, variables)?;
    Ok(Deployment::new(name, model, endpoint))
}
