//! The revisions of MCP in their two eras, and what a request of the later one carries: its `_meta`
//! fields and its HTTP headers. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::Profile;
use super::fields::members;
use super::headers::standard;
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::Params;

/// The revisions that begin with a handshake, `initialize`; the oldest first.
pub const LEGACY_VERSIONS: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The revisions whose every request stands alone; the oldest first.
pub const MODERN_VERSIONS: &[&str] = &["2026-07-28"];

/// The one that is offered first.
pub(super) const LATEST_LEGACY: &str = "2025-11-25";
pub(super) const LATEST_MODERN: &str = "2026-07-28";

const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const METHOD_NOT_FOUND: i64 = -32_601;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The two ways in which client and server agree on a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// A handshake at the beginning: 2025-11-25 and earlier.
    Legacy,
    /// Each request names its revision: 2026-07-28 and later.
    Modern,
}

/// Which revision a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The latest that the server speaks.
    Auto,
    /// The handshake, without a look at the server.
    Legacy,
    /// One of [`MODERN_VERSIONS`], without a look at the server.
    Pinned(String),
    /// The latest without a handshake that the server speaks.
    Discover,
    /// That of what the server said of itself earlier, an `InitializeResult` or a `DiscoverResult`.
    Known(RawJson),
}

impl Mode {
    /// Reads `auto`, `legacy` or one of [`MODERN_VERSIONS`].
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "legacy" => Ok(Self::Legacy),
            version if MODERN_VERSIONS.contains(&version) => Ok(Self::Pinned(version.to_owned())),
            other => {
                let hint = if LEGACY_VERSIONS.contains(&other) {
                    ": that revision begins with a handshake, which is mode \"legacy\""
                } else {
                    ""
                };
                let accepted = MODERN_VERSIONS.join("\", \"");
                Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "mode is {other:?}; it takes \"auto\", \"legacy\", \"{accepted}\"{hint}"
                    ),
                ))
            }
        }
    }
}

/// What client and server agreed on.
#[derive(Debug, Clone)]
pub struct Agreed {
    /// The revision.
    pub version: String,
    /// What the server said of itself: an `InitializeResult` or a `DiscoverResult`.
    pub described: RawJson,
    /// What each request carries; none in the era of the handshake.
    pub(super) stamp: Option<Stamp>,
}

impl Agreed {
    /// The era of the revision.
    pub fn era(&self) -> Era {
        match self.stamp {
            Some(_) => Era::Modern,
            None => Era::Legacy,
        }
    }
}

/// Whether a notification of the client exists no more in the modern era.
pub(super) fn is_removed_notification(method: &str) -> bool {
    matches!(
        method,
        "notifications/initialized" | "notifications/roots/list_changed" | "notifications/progress"
    )
}

/// What becomes of a request that exists no more in the modern era; none if it exists.
pub(super) fn removed_request(method: &str) -> Option<Result<RawJson>> {
    let instead = match method {
        "initialize" => "the revision is agreed on already",
        "resources/subscribe" | "resources/unsubscribe" => "use listen(resource_subscriptions=…)",
        _ => return None,
    };
    let message = format!("{method} does not exist in the revision that was agreed on; {instead}");
    let refusal = Error::new(ErrorKind::Mcp, message);
    Some(Err(refusal.map_context(|context| {
        context.rpc_code = Some(METHOD_NOT_FOUND);
    })))
}

/// What every request of one modern connection carries.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    version: HeaderValue,
    /// The fields of `_meta` and their values, as JSON text.
    fields: Vec<(&'static str, String)>,
    /// The same as one object.
    meta: RawJson,
}

impl Stamp {
    /// `extensions` are those that the client knows by itself.
    pub(super) fn new(version: &str, profile: &Profile, extensions: &[&str]) -> Result<Self> {
        let header = HeaderValue::try_from(version).map_err(|cause| {
            Error::new(ErrorKind::Internal, "the revision is no header value").with_source(cause)
        })?;
        let mut fields = vec![
            (
                "io.modelcontextprotocol/protocolVersion",
                serde_json::Value::from(version).to_string(),
            ),
            (
                "io.modelcontextprotocol/clientInfo",
                text(&profile.client_info),
            ),
            (
                "io.modelcontextprotocol/clientCapabilities",
                modern_capabilities(&profile.capabilities, extensions)?,
            ),
        ];
        if let Some(level) = &profile.log_level {
            fields.push((
                LOG_LEVEL,
                serde_json::Value::from(level.as_str()).to_string(),
            ));
        }
        let meta = object(&fields, "");
        Ok(Self {
            version: header,
            fields,
            meta,
        })
    }

    /// The same with another level of the log lines that are wanted.
    pub(super) fn with_log_level(&self, level: &str) -> Self {
        let mut fields = self.fields.clone();
        fields.retain(|(name, _)| *name != LOG_LEVEL);
        fields.push((LOG_LEVEL, serde_json::Value::from(level).to_string()));
        Self {
            version: self.version.clone(),
            meta: object(&fields, ""),
            fields,
        }
    }

    /// The parameters of a request with the fields in its `_meta`; adds the headers of its POST. A
    /// field that the caller gave stays the caller's.
    pub(super) fn apply(
        &self,
        method: &str,
        params: Params,
        headers: &mut HeaderMap,
    ) -> Result<Params> {
        self.head(method, params.object.as_ref(), headers);
        let meta = match params.meta {
            None => self.meta.clone(),
            Some(own) => self.beside(&own)?,
        };
        Ok(Params {
            object: params.object,
            meta: Some(meta),
        })
    }

    /// Adds the headers of the POST of a request whose `_meta` has the fields already.
    pub(super) fn head(&self, method: &str, params: Option<&RawJson>, headers: &mut HeaderMap) {
        headers.insert(PROTOCOL_VERSION, self.version.clone());
        headers.extend(standard(method, params));
    }

    fn beside(&self, own: &RawJson) -> Result<RawJson> {
        let given = members(own)?;
        let missing: Vec<_> = self
            .fields
            .iter()
            .filter(|(name, _)| given.iter().all(|(own, _)| own != name))
            .cloned()
            .collect();
        let text: Vec<_> = given
            .iter()
            .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(&**name)))
            .collect();
        Ok(object(&missing, &text.join(",")))
    }
}

/// An object of the members that are given as text, and of fields.
fn object(fields: &[(&'static str, String)], members: &str) -> RawJson {
    let mut text = format!("{{{members}");
    for (name, value) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        text.extend(["\"", name, "\":", value]);
    }
    text.push('}');
    RawJson::trusted(text)
}

fn text(raw: &RawJson) -> String {
    String::from_utf8_lossy(raw.as_bytes()).into_owned()
}

/// Clients no longer tell that their roots have changed. What they say of an extension themselves
/// stays.
fn modern_capabilities(capabilities: &RawJson, extensions: &[&str]) -> Result<String> {
    let mut value = capabilities.to_value()?;
    if let Some(roots) = value
        .get_mut("roots")
        .and_then(|roots| roots.as_object_mut())
    {
        roots.remove("listChanged");
    }
    if let Some(known) = value.as_object_mut().filter(|_| !extensions.is_empty()) {
        let known = known.entry("extensions").or_insert_with(|| json!({}));
        for extension in extensions {
            if let Some(known) = known.as_object_mut() {
                known.entry(*extension).or_insert_with(|| json!({}));
            }
        }
    }
    Ok(value.to_string())
}
