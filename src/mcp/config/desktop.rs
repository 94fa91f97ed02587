//! Servers in the form that desktop clients use: `mcpServers` (Claude Desktop, Cursor and most
//! others) or `servers` (VS Code).

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::server::{Endurance, HttpKind, ServerConfig, Target};
use super::{Loaded, StdioServerParameters};
use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::{Result, nearest};
use crate::mcp::HttpSettings;

/// The keys that servers stand under.
const SECTIONS: [&str; 3] = ["mcpServers", "servers", "mcp_servers"];
/// Keys of clients that mean nothing here: what their windows show, and what they ask their user.
const IGNORED: &[&str] = &[
    "alwaysAllow",
    "autoApprove",
    "dev",
    "gallery",
    "icon",
    "iconPath",
    "id",
    "metadata",
    "name",
    "source",
    "title",
    "trust",
    "version",
];

/// Reads the servers of an object; `place` is that of the object.
pub(super) fn servers(
    node: &Node,
    place: &Place,
    variables: Lookup<'_>,
    spelling: Spelling,
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
        let fields = Fields::new(node, place, variables, spelling)?;
        server(name, fields, &mut loaded)?;
    }
    Ok(loaded)
}

fn server(name: &str, mut fields: Fields<'_>, loaded: &mut Loaded) -> Result<()> {
    let is_disabled = fields.boolean(&["disabled"])?.unwrap_or(false);
    let is_enabled = fields.boolean(&["enabled"])?.unwrap_or(true);
    if is_disabled || !is_enabled {
        // Whatever else it says: its variables may not even be set.
        loaded.disabled.push(name.to_owned());
        return Ok(());
    }
    let transport = transport(&mut fields)?;
    let command = fields.text(&["command"])?;
    let url = fields.text(&["url", "serverUrl", "httpUrl"])?;
    let is_stdio = match (&command, &url, transport) {
        (Some(_), None, Some(Transport::Http(_))) => {
            return Err(fields
                .place
                .error("has a command, but its type is that of a URL"));
        }
        (None, Some(_), Some(Transport::Stdio)) => {
            return Err(fields.place.error("has a url, but its type is stdio"));
        }
        (Some(_), None, _) => true,
        (None, Some(_), _) => false,
        (Some(_), Some(_), _) => {
            return Err(fields
                .place
                .error("has both a command and a url; it takes one of them"));
        }
        (None, None, _) => {
            // A slip of the pen in the key itself is the likeliest reason.
            let place = fields.place.clone();
            fields.finish(IGNORED)?;
            let hint = nearest(name, SECTIONS).map_or_else(String::new, |section| {
                format!("; the key that servers stand under is {section:?}, not {name:?}")
            });
            return Err(place.error(&format!(
                "has neither a command (stdio) nor a url (HTTP){hint}"
            )));
        }
    };
    let limit = maximum_message_bytes(&mut fields)?;
    let mut server = if is_stdio {
        let mut env = env_file(&mut fields)?;
        env.append(&mut fields.map(&["env"])?);
        let parameters = StdioServerParameters {
            command: command.unwrap_or_default(),
            args: fields.texts(&["args"])?.unwrap_or_default(),
            env,
            cwd: fields.text(&["cwd"])?.map(PathBuf::from),
            maximum_message_bytes: limit,
        };
        ServerConfig::new(name, Target::Stdio(parameters))
    } else {
        let mut settings = HttpSettings::new(url.unwrap_or_default());
        settings.headers = fields.map(&["headers"])?.into_iter().collect();
        if let Some(token) = fields.text(&["auth", "authentication_token"])? {
            settings
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
            settings
                .headers
                .push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        settings.maximum_message_bytes = limit;
        let kind = match transport {
            Some(Transport::Http(kind)) => kind,
            _ => None,
        };
        ServerConfig::new(name, Target::Http { settings, kind })
    };
    common(&mut fields, &mut server)?;
    if let Some(hidden) = fields.texts(&["disabledTools", "excludeTools"])? {
        server.disallowed_tools.extend(hidden);
    }
    if let Some(shown) = fields.texts(&["enabledTools", "includeTools"])? {
        server.allowed_tools.get_or_insert_default().extend(shown);
    }
    loaded.notices.append(&mut fields.finish(IGNORED)?);
    loaded.servers.push(server);
    Ok(())
}

#[derive(Clone, Copy)]
enum Transport {
    Stdio,
    Http(Option<HttpKind>),
}

fn transport(fields: &mut Fields<'_>) -> Result<Option<Transport>> {
    let Some((place, node)) = fields.find(&["type", "transport"]) else {
        return Ok(None);
    };
    let text = match &node.data {
        Data::Text(text) => text.to_ascii_lowercase().replace('_', "-"),
        _ => String::new(),
    };
    match text.as_str() {
        "stdio" | "local" => Ok(Some(Transport::Stdio)),
        "http" | "streamable-http" | "streamablehttp" => {
            Ok(Some(Transport::Http(Some(HttpKind::Streamable))))
        }
        "sse" => Ok(Some(Transport::Http(Some(HttpKind::Sse)))),
        "remote" | "auto" => Ok(Some(Transport::Http(None))),
        _ => Err(place.error(&format!(
            "is {}; it takes \"stdio\", \"http\" (or \"streamable-http\") or \"sse\"",
            if text.is_empty() {
                node.kind().to_owned()
            } else {
                format!("{text:?}")
            }
        ))),
    }
}

/// The variables of an `envFile`, as `NAME=value` lines.
fn env_file(fields: &mut Fields<'_>) -> Result<BTreeMap<String, String>> {
    let Some(path) = fields.text(&["envFile"])? else {
        return Ok(BTreeMap::new());
    };
    let place = &fields.place;
    let path = place
        .folder()
        .map_or_else(|| PathBuf::from(&path), |folder| folder.join(&path));
    let text = std::fs::read_to_string(&path).map_err(|cause| {
        place
            .error(&format!(
                "has an envFile that cannot be read ({}): {cause}",
                path.display()
            ))
            .with_source(cause)
    })?;
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='))
        .map(|(name, value)| {
            let value = value.trim();
            let quoted = |mark: char| value.strip_prefix(mark)?.strip_suffix(mark);
            let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
            (name.trim().to_owned(), value.to_owned())
        })
        .collect())
}

pub(super) fn maximum_message_bytes(fields: &mut Fields<'_>) -> Result<usize> {
    let limit = fields.count(&["maximum_message_bytes"])?;
    Ok(limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(StdioServerParameters::DEFAULT_MAXIMUM_MESSAGE_BYTES))
}

/// What no server can be named, started or reached with; a sentence part.
fn wrong(server: &ServerConfig) -> Option<String> {
    if server.name.trim().is_empty() {
        return Some("has an empty name; its tools are told apart by it".to_owned());
    }
    match &server.target {
        Target::Stdio(parameters) => parameters.wrong(),
        Target::Http { settings, .. } => match Url::parse(&settings.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https" | "http+unix") => None,
            _ => Some(
                "has a url that is no absolute http or https URL; give one such as \
                 https://example.com/mcp"
                    .to_owned(),
            ),
        },
    }
}

/// What both forms of configuration take beside what they have from others.
pub(super) fn common(fields: &mut Fields<'_>, server: &mut ServerConfig) -> Result<()> {
    if let Some(wrong) = wrong(server) {
        return Err(fields.place.error(&wrong));
    }
    server.alias = fields.text(&["alias"])?;
    server.description = fields.text(&["description"])?;
    server.mode = fields.text(&["mode", "protocol_version", "protocolVersion"])?;
    server.allowed_tools = fields.texts(&["allowed_tools", "allowedTools"])?;
    server.disallowed_tools = fields
        .texts(&["disallowed_tools", "disallowedTools"])?
        .unwrap_or_default();
    let default = server.endurance.clone();
    server.endurance = Endurance {
        connect_timeout: fields
            .seconds(&["connect_timeout", "connectTimeout", "startup_timeout_sec"])?
            .unwrap_or(default.connect_timeout),
        request_timeout: fields.seconds(&["timeout", "tool_timeout_sec"])?,
        keep_alive: fields.seconds_or_never(&["keep_alive", "keepAlive"], default.keep_alive)?,
        idle_close: fields.seconds(&["idle_close", "idleClose"])?,
        restart: fields.boolean(&["restart"])?.unwrap_or(default.restart),
        attempts: fields
            .count(&["attempts"])?
            .map_or(default.attempts, |count| {
                u32::try_from(count).unwrap_or(u32::MAX)
            }),
        ..default
    };
    Ok(())
}
