//! Servers in the form of a gateway's `config.yaml`: the section `mcp_servers`, with the keys of
//! LiteLLM.

use std::path::PathBuf;

use super::desktop::{common, maximum_message_bytes};
use super::server::{HttpKind, ServerConfig, Target};
use super::{Loaded, StdioServerParameters};
use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::Result;
use crate::mcp::HttpSettings;

/// Keys that say who may use a server and what the gateway tells about it: nothing that a client
/// obeys or needs.
const OF_THE_GATEWAY: &[&str] = &[
    "access_groups",
    "allow_all_keys",
    "allow_elicitation",
    "allow_sampling",
    "allowed_params",
    "available_on_public_internet",
    "env_vars",
    "extra_headers",
    "instructions",
    "max_concurrent_requests",
    "mcp_info",
    "pinned_tools",
    "rpm",
    "server_id",
];

const AUTH_TYPES: &str = "none, api_key, bearer_token, basic, authorization, token";

/// Reads the servers of the section; `aliases` are those of `litellm_settings`.
pub(super) fn servers(
    node: &Node,
    place: &Place,
    aliases: &[(String, String)],
    variables: Lookup<'_>,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    let Data::Object(members) = &node.data else {
        return Err(place.error(&format!(
            "is {}; it takes an object of servers by their names",
            node.kind()
        )));
    };
    for (name, node) in members {
        let place = place.key(name, node);
        let fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
        let mut server = server(name, fields, &mut loaded)?;
        if server.alias.is_none() {
            let alias = aliases.iter().find(|(_, target)| target == name);
            server.alias = alias.map(|(alias, _)| alias.clone());
        }
        loaded.servers.push(server);
    }
    Ok(loaded)
}

fn server(name: &str, mut fields: Fields<'_>, loaded: &mut Loaded) -> Result<ServerConfig> {
    let transport = fields.text(&["transport"])?;
    let command = fields.text(&["command"])?;
    let url = fields.text(&["url"])?;
    if let Some((place, _)) = fields.find(&["spec_path"]) {
        return Err(place.error(
            "describes a server by OpenAPI, which is not supported; give a url or a command",
        ));
    }
    let kind = match transport.as_deref() {
        None if command.is_some() && url.is_none() => None,
        Some("stdio") => None,
        None => Some(None),
        Some("http" | "streamable_http" | "streamable-http") => Some(Some(HttpKind::Streamable)),
        Some("sse") => Some(Some(HttpKind::Sse)),
        Some(other) => {
            let place = &fields.place;
            return Err(place.error(&format!(
                "has the transport {other:?}; it takes \"http\", \"sse\" or \"stdio\""
            )));
        }
    };
    let limit = maximum_message_bytes(&mut fields)?;
    let mut server = if let Some(kind) = kind {
        let Some(url) = url else {
            let place = fields.place.clone();
            fields.finish(OF_THE_GATEWAY)?;
            return Err(place.error("has no url; give one, or a command with transport: stdio"));
        };
        let mut settings = HttpSettings::new(url);
        settings.headers = headers(&mut fields)?;
        settings.maximum_message_bytes = limit;
        ServerConfig::new(name, Target::Http { settings, kind })
    } else {
        let Some(command) = command else {
            let place = fields.place.clone();
            fields.finish(OF_THE_GATEWAY)?;
            return Err(place.error("has no command, which the transport stdio needs"));
        };
        let parameters = StdioServerParameters {
            command,
            args: fields.texts(&["args"])?.unwrap_or_default(),
            env: fields.map(&["env"])?,
            cwd: fields.text(&["cwd"])?.map(PathBuf::from),
            maximum_message_bytes: limit,
        };
        ServerConfig::new(name, Target::Stdio(parameters))
    };
    common(&mut fields, &mut server)?;
    loaded.notices.append(&mut fields.finish(OF_THE_GATEWAY)?);
    Ok(server)
}

/// The headers that `auth_type`, its value and `static_headers` stand for.
fn headers(fields: &mut Fields<'_>) -> Result<Vec<(String, String)>> {
    let mut headers: Vec<(String, String)> = fields
        .map(&["static_headers", "headers"])?
        .into_iter()
        .collect();
    let value = fields.text(&["auth_value", "authentication_token"])?;
    let Some((place, node)) = fields.find(&["auth_type"]) else {
        return Ok(headers);
    };
    let Data::Text(auth_type) = &node.data else {
        return Err(place.error(&format!("is {}; it takes {AUTH_TYPES}", node.kind())));
    };
    let auth_type = fields.expanded(&place, auth_type)?;
    if auth_type == "none" {
        return Ok(headers);
    }
    let needed = || place.error(&format!("is {auth_type}, which needs an auth_value"));
    let value = match auth_type.as_str() {
        "api_key" | "bearer_token" | "basic" | "authorization" | "token" => {
            value.ok_or_else(needed)?
        }
        other => {
            return Err(place.error(&format!(
                "is {other:?}, which a configuration cannot give alone; it takes {AUTH_TYPES}"
            )));
        }
    };
    let (name, value) = header(&auth_type, &value);
    // What is written out as a header wins.
    if !headers
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        headers.push((name.to_owned(), value));
    }
    Ok(headers)
}

/// The header of a kind of credentials; a scheme that stands in the value already is not doubled.
pub fn header(auth_type: &str, value: &str) -> (&'static str, String) {
    let value = value.trim();
    let bare = |scheme: &str| match value.split_once(' ') {
        Some((found, rest)) if found.eq_ignore_ascii_case(scheme) => rest.trim().to_owned(),
        _ => value.to_owned(),
    };
    match auth_type {
        "api_key" => ("X-API-Key", value.to_owned()),
        "authorization" => ("Authorization", value.to_owned()),
        "token" => ("Authorization", format!("token {}", bare("token"))),
        "basic" => {
            let credentials = bare("basic");
            let text = if credentials.contains(':') {
                base64(credentials.as_bytes())
            } else {
                credentials
            };
            ("Authorization", format!("Basic {text}"))
        }
        _ => ("Authorization", format!("Bearer {}", bare("bearer"))),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let all = group
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let six = (all >> (18 - 6 * place)) & 63;
            text.push(if place <= group.len() {
                char::from(ALPHABET[six as usize])
            } else {
                '='
            });
        }
    }
    text
}
