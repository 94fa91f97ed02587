//! `mcp_servers`: what the gateway asks of them beyond what a client does.

use super::keys::Section;
use super::notice::{Notices, members};
use crate::document::fields::Lookup;
use crate::document::{Document, Node, Place};
use crate::error::Result;
use crate::mcp::{Loaded, ServerConfig};

/// Names that the paths of the gateway have for something else.
pub(in crate::gateway) const RESERVED: [&str; 6] = ["sse", "tools", "mcp", "health", "v1", "chat"];

/// Reads the section.
pub(super) fn servers(
    document: &Document,
    node: &Node,
    place: &Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<Vec<ServerConfig>> {
    let mut servers = Loaded::servers_of_gateway(document, variables)?;
    for server in &mut servers {
        let Some(node) = node.get(&server.name) else {
            continue;
        };
        let place = place.key(&server.name, node);
        // Whoever runs a gateway is not there to start a process again.
        server.endurance.restart |= node.get("restart").is_none();
        notices.check(Section::Server, members(node), &place);
        let names = [Some(&server.name), server.alias.as_ref()];
        let names = names.into_iter().flatten();
        for name in names.chain(&server.policy.access_groups) {
            if RESERVED.contains(&name.as_str()) {
                return Err(place.error(&format!(
                    "is called {name:?}, which is a path of the gateway itself ({})",
                    RESERVED.join(", ")
                )));
            }
            if name.is_empty() || name.contains(['/', ',']) {
                return Err(place.error(&format!(
                    "is called {name:?}; a name stands in a path and in lists, and holds no / and no \
                     comma"
                )));
            }
        }
    }
    Ok(servers)
}
