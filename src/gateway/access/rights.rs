//! What a key may use. Pure.

use crate::gateway::config::KeyConfig;
use crate::mcp::ServerConfig;
use crate::tools::Separator;

/// What a key may use; None is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    servers: Option<Vec<String>>,
    access_groups: Option<Vec<String>>,
    tools: Option<Vec<String>>,
    models: Option<Vec<String>>,
}

impl Rights {
    pub(super) fn new(key: &KeyConfig) -> Self {
        Self {
            servers: key.servers.clone(),
            access_groups: key.access_groups.clone(),
            tools: key.tools.clone(),
            models: key.models.clone(),
        }
    }

    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Either list lets a server in.
    pub(super) fn has_server(&self, server: &ServerConfig) -> bool {
        if server.policy.allow_all_keys {
            return true;
        }
        if self.servers.is_none() && self.access_groups.is_none() {
            return true;
        }
        let is_called = |name: &String| *name == server.name || Some(name) == server.alias.as_ref();
        let groups = &server.policy.access_groups;
        self.servers.iter().flatten().any(is_called)
            || self
                .access_groups
                .iter()
                .flatten()
                .any(|name| groups.contains(name))
    }

    pub(super) fn has_tool(&self, server: &ServerConfig, tool: &str) -> bool {
        let separator = Separator::default();
        let is_meant = |name: &String| {
            let labels = [Some(&server.name), server.alias.as_ref()];
            let mut labels = labels.into_iter().flatten();
            name == tool
                || labels.any(|label| {
                    let rest = name.strip_prefix(label.as_str());
                    rest.and_then(|rest| rest.strip_prefix(separator.as_str())) == Some(tool)
                })
        };
        self.tools
            .as_ref()
            .is_none_or(|names| names.iter().any(is_meant))
    }

    pub(super) fn has_model(&self, model: &str) -> bool {
        let names = self.models.as_ref();
        names.is_none_or(|names| names.iter().any(|name| name == model))
    }
}
