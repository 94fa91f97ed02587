//! Servers in the form of a gateway's `config.yaml`: the section `mcp_servers`, with the keys of
//! LiteLLM.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::authorization::oauth;
use super::desktop::{common, maximum_message_bytes};
use super::server::{HttpKind, Policy, ServerConfig, Target};
use super::{Frame, Loaded, StdioServerParameters, Strangers};
use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::Result;
use crate::mcp::client::{LEGACY_VERSIONS, Mode};
use crate::mcp::{HttpSettings, OAuthConfig};

/// Keys that nobody here obeys, and that mean nothing to a client.
const OF_THE_GATEWAY: &[&str] = &["env_vars", "pinned_tools", "rpm"];

const AUTH_TYPES: &str = "none, api_key, bearer_token, basic, authorization, token, oauth2";

/// Reads the servers of the section.
pub(super) fn servers(
    node: &Node,
    place: &Place,
    frame: &Frame,
    variables: Lookup<'_>,
    strangers: Strangers,
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
        let mut fields = Fields::new(node, place.clone(), variables, Spelling::OsEnviron)?;
        let mut server = server(name, &mut fields, frame)?;
        if server.alias.is_none() {
            let alias = frame.aliases.iter().find(|(_, target)| target == name);
            server.alias = alias.map(|(alias, _)| alias.clone());
        }
        if strangers == Strangers::Refused {
            loaded.notices.append(&mut fields.finish(OF_THE_GATEWAY)?);
        }
        check_names(&server, &loaded.servers, &place)?;
        loaded.servers.push(server);
    }
    Ok(loaded)
}

/// Names and aliases stand for one server each.
fn check_names(server: &ServerConfig, others: &[ServerConfig], place: &Place) -> Result<()> {
    let names = |server: &ServerConfig| [Some(server.name.clone()), server.alias.clone()];
    for name in names(server).into_iter().flatten() {
        let twin = others
            .iter()
            .find(|other| names(other).contains(&Some(name.clone())));
        if let Some(twin) = twin {
            return Err(place.error(&format!(
                "has the name or alias {name:?}, which the server {:?} has too",
                twin.name
            )));
        }
    }
    Ok(())
}

fn server(name: &str, fields: &mut Fields<'_>, frame: &Frame) -> Result<ServerConfig> {
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
    let limit = maximum_message_bytes(fields)?;
    let mut server = if let Some(kind) = kind {
        let Some(url) = url else {
            fields.slip(OF_THE_GATEWAY)?;
            let sentence = "has no url; give one, or a command with transport: stdio";
            return Err(fields.place.error(sentence));
        };
        let mut settings = HttpSettings::new(url.clone());
        check_url(&url, fields)?;
        settings.headers = static_headers(fields)?;
        settings.maximum_message_bytes = limit;
        let oauth = credentials(name, &url, fields, frame, &mut settings)?;
        ServerConfig {
            oauth,
            ..ServerConfig::new(name, Target::Http { settings, kind })
        }
    } else {
        let Some(command) = command else {
            fields.slip(OF_THE_GATEWAY)?;
            let sentence = "has no command, which the transport stdio needs";
            return Err(fields.place.error(sentence));
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
    common(fields, &mut server)?;
    if let Some(mode) = &mut server.mode
        && LEGACY_VERSIONS.contains(&mode.as_str())
    {
        // Which of them is agreed on in the handshake.
        "legacy".clone_into(mode);
    }
    if let Some(mode) = &server.mode
        && let Err(failure) = Mode::parse(mode)
    {
        let place = fields.find(&["mode", "protocol_version", "protocolVersion"]);
        let place = place.map_or_else(|| fields.place.clone(), |found| found.0);
        return Err(place.error(&format!("cannot be used: {failure}")));
    }
    server.policy = policy(fields)?;
    Ok(server)
}

/// What a gateway lets its clients do with the server.
fn policy(fields: &mut Fields<'_>) -> Result<Policy> {
    let mut policy = Policy {
        server_id: fields.text(&["server_id"])?,
        access_groups: fields.texts(&["access_groups"])?.unwrap_or_default(),
        allow_all_keys: fields.boolean(&["allow_all_keys"])?.unwrap_or(false),
        internal_only: fields.boolean(&["available_on_public_internet"])? == Some(false),
        forwarded_headers: fields.texts(&["extra_headers"])?.unwrap_or_default(),
        max_concurrent_requests: fields
            .count(&["max_concurrent_requests"])?
            .and_then(|count| usize::try_from(count).ok()),
        allow_sampling: fields.boolean(&["allow_sampling"])?,
        allow_elicitation: fields.boolean(&["allow_elicitation"])?,
        instructions: fields.text(&["instructions"])?,
        info: fields.object(&["mcp_info"])?,
        ..Policy::default()
    };
    if let Some((place, node)) = fields.find(&["allowed_params"]) {
        let wrong = "takes an object of lists of names, by tool";
        for (tool, value) in fields.object(&["allowed_params"])? {
            let names = serde_json::from_value(value).map_err(|_| {
                let own = node.get(&tool).unwrap_or(node);
                place.key(&tool, own).error(wrong)
            })?;
            policy.allowed_params.insert(tool, names);
        }
    }
    for name in &policy.forwarded_headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            let place = fields.find(&["extra_headers"]).map(|found| found.0);
            let place = place.unwrap_or_else(|| fields.place.clone());
            return Err(place.error(&format!("names {name:?}, which is no name of a header")));
        }
    }
    Ok(policy)
}

fn check_url(url: &str, fields: &mut Fields<'_>) -> Result<()> {
    let is_usable = url::Url::parse(url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "http+unix") && url.has_host());
    if is_usable {
        return Ok(());
    }
    let place = fields.find(&["url"]).map(|found| found.0);
    let place = place.unwrap_or_else(|| fields.place.clone());
    // It may hold a key.
    Err(place.error("is no absolute http or https URL; give one such as https://example.com/mcp"))
}

fn static_headers(fields: &mut Fields<'_>) -> Result<Vec<(String, String)>> {
    let headers = fields.map(&["static_headers", "headers"])?;
    for (name, value) in &headers {
        let can_be_sent =
            HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
        if !can_be_sent {
            return Err(fields.place.error(&format!(
                "has the header {name:?}, which cannot be sent: names are letters, digits and dashes, \
                 values are one line of visible ASCII text"
            )));
        }
    }
    Ok(headers.into_iter().collect())
}

/// Puts in what `auth_type` and the keys beside it stand for.
fn credentials(
    name: &str,
    url: &str,
    fields: &mut Fields<'_>,
    frame: &Frame,
    settings: &mut HttpSettings,
) -> Result<Option<OAuthConfig>> {
    let value = fields.text(&["auth_value", "authentication_token"])?;
    let Some((place, node)) = fields.find(&["auth_type"]) else {
        return Ok(None);
    };
    let Data::Text(auth_type) = &node.data else {
        return Err(place.error(&format!("is {}; it takes {AUTH_TYPES}", node.kind())));
    };
    let auth_type = fields.expanded(&place, auth_type)?;
    if auth_type == "none" {
        return Ok(None);
    }
    if auth_type == "oauth2" {
        let config = oauth(name, url, &place, fields, frame.token_file.as_ref())?;
        let authorizer = config.unattended().map_err(|failure| {
            let sentence = format!("is oauth2, which cannot be used: {failure}");
            place.error(&sentence)
        })?;
        settings.authorizer = Some(Arc::new(authorizer));
        return Ok(Some(config));
    }
    let needed = || place.error(&format!("is {auth_type}, which needs an auth_value"));
    let value = match auth_type.as_str() {
        "api_key" | "bearer_token" | "basic" | "authorization" | "token" => {
            value.ok_or_else(needed)?
        }
        other => {
            return Err(place.error(&format!(
                "is {other:?}, which is not implemented; it takes {AUTH_TYPES}"
            )));
        }
    };
    let (name, value) = header(&auth_type, &value);
    // What is written out as a header wins.
    let headers = &mut settings.headers;
    if !headers
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        headers.push((name.to_owned(), value));
    }
    Ok(None)
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
