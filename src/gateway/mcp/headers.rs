//! The HTTP headers of clients: which revision a message is of, what its sender takes as an answer,
//! and whether they say the same as the body. Pure. Follows "Request Metadata" of Streamable HTTP,
//! 2026-07-28.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::message::{INVALID_PARAMS, Request, RpcError};
use crate::json::RawJson;
use crate::mcp::client::headers::name_of;
use crate::mcp::client::{LEGACY_VERSIONS, MODERN_VERSIONS};

pub(super) const SESSION_ID: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
const HEADER_MISMATCH: i64 = -32_020;
const UNSUPPORTED_VERSION: i64 = -32_022;

/// What a client takes as an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepts {
    pub(super) json: bool,
    pub(super) stream: bool,
}

impl Accepts {
    /// A client that does not say takes JSON.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut accepts = Self {
            json: false,
            stream: false,
        };
        let values = headers.get_all(http::header::ACCEPT);
        let mut is_given = false;
        for kind in values.iter().filter_map(|value| value.to_str().ok()) {
            is_given = true;
            for kind in kind.split(',') {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                let is = |names: &[&str]| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
                accepts.json |= is(&["application/json", "application/*", "*/*"]);
                accepts.stream |= is(&["text/event-stream", "text/*"]);
            }
        }
        accepts.json |= !is_given;
        accepts
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header that may be given once, and whose value whoever stands between reads as well.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(mismatch(&format!("{name} is given more than once")));
    }
    let text = value
        .to_str()
        .map_err(|_| mismatch(&format!("{name} has characters that no such header has")))?;
    Ok(Some(text))
}

/// Which revision a message that is no request of its own says it is of, if it says so.
pub(super) fn version(headers: &HeaderMap) -> Result<Option<&str>, RpcError> {
    match single(headers, VERSION)? {
        Some(known) if LEGACY_VERSIONS.contains(&known) || is_modern(known) => Ok(Some(known)),
        Some(other) => Err(unsupported(other)),
        None => Ok(None),
    }
}

/// Whether every request of that revision stands alone.
pub(super) fn is_modern(version: &str) -> bool {
    MODERN_VERSIONS.contains(&version)
}

/// What a request of the later era says of its sender in its `_meta`.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) version: String,
    pub(super) capabilities: RawJson,
    pub(super) info: Option<RawJson>,
}

/// Which era a request is of.
#[derive(Debug)]
pub(super) enum Revision {
    /// With a handshake; the revision of the header, if there is one.
    Legacy(Option<String>),
    /// Every request stands alone.
    Modern(Stamp),
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
    info: Option<&'a RawValue>,
}

/// Finds out which revision a request is of, and checks that its headers say what its body says.
pub(super) fn revision(headers: &HeaderMap, request: &Request) -> Result<Revision, RpcError> {
    let header = single(headers, VERSION)?;
    let params = request.params.as_ref();
    let params = params.map(|raw| serde_json::from_slice::<Params<'_>>(raw.as_bytes()));
    let meta = match params {
        Some(Err(failure)) if header.is_some_and(is_modern) => {
            let message = format!("params is not what every request carries: {failure}");
            return Err(RpcError::new(INVALID_PARAMS, message));
        }
        Some(Ok(params)) => params.meta,
        _ => None,
    };
    let told: Option<Cow<'_, str>> = meta
        .as_ref()
        .and_then(|meta| meta.version)
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    if request.method == "initialize" && told.is_none() {
        // What its header says is not agreed on yet.
        return Ok(Revision::Legacy(None));
    }
    match (header, &told) {
        (header, None) if header.is_none_or(|header| LEGACY_VERSIONS.contains(&header)) => {
            return Ok(Revision::Legacy(header.map(str::to_owned)));
        }
        (Some(header), Some(told)) if header != told => {
            return Err(mismatch(&format!(
                "MCP-Protocol-Version is {header:?}, and the request says {told:?}"
            )));
        }
        (None, Some(_)) => return Err(mismatch("MCP-Protocol-Version is missing")),
        (Some(header), _) if !is_modern(header) => {
            return Err(unsupported(header));
        }
        _ => {}
    }
    let Some((meta, version)) = meta.zip(told) else {
        return Err(RpcError::new(
            INVALID_PARAMS,
            "_meta has no io.modelcontextprotocol/protocolVersion, which every request carries",
        ));
    };
    let capabilities = meta.capabilities.filter(|raw| raw.get().starts_with('{'));
    let Some(capabilities) = capabilities else {
        return Err(RpcError::new(
            INVALID_PARAMS,
            "_meta has no io.modelcontextprotocol/clientCapabilities, which every request carries",
        ));
    };
    mirrored(headers, request)?;
    let own = |raw: &RawValue| RawJson::trusted(raw.get().to_owned());
    Ok(Revision::Modern(Stamp {
        version: version.into_owned(),
        capabilities: own(capabilities),
        info: meta.info.map(own),
    }))
}

/// Checks the headers that repeat the method and the name.
fn mirrored(headers: &HeaderMap, request: &Request) -> Result<(), RpcError> {
    match single(headers, "mcp-method")? {
        None => return Err(mismatch("Mcp-Method is missing")),
        Some(method) if method != request.method => {
            return Err(mismatch(&format!(
                "Mcp-Method is {method:?}, and the method is {:?}",
                request.method
            )));
        }
        Some(_) => {}
    }
    let params = request.params.as_ref();
    let named = params.map(|params| name_of(&request.method, params));
    let named = named.transpose().map_err(|failure| {
        RpcError::new(INVALID_PARAMS, format!("params names nothing: {failure}"))
    })?;
    // A request without a name is refused by whoever serves it.
    let Some(name) = named.flatten() else {
        return Ok(());
    };
    let Some(header) = single(headers, "mcp-name")? else {
        return Err(mismatch("Mcp-Name is missing"));
    };
    let Some(decoded) = decoded(header) else {
        return Err(mismatch("Mcp-Name is not the base64 that it says it is"));
    };
    if decoded != name {
        return Err(mismatch(&format!(
            "Mcp-Name is {decoded:?}, and the request names {name:?}"
        )));
    }
    Ok(())
}

/// The value of a mirrored header; none if it says that it is base64, and is not.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let Some(encoded) = encoded else {
        return Some(value.into());
    };
    let bytes = STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok().map(Cow::from)
}

fn mismatch(what: &str) -> RpcError {
    RpcError::new(HEADER_MISMATCH, format!("Header mismatch: {what}"))
}

/// The refusal of a revision that nobody here speaks. It names those that a request can say it is
/// of; the earlier ones begin with a handshake.
pub(super) fn unsupported(asked: &str) -> RpcError {
    RpcError::with_data(
        UNSUPPORTED_VERSION,
        "Unsupported protocol version",
        &json!({"supported": MODERN_VERSIONS, "requested": asked}),
    )
}

/// The HTTP status of an answer of the later era.
pub(super) fn status_of(error: &RpcError) -> http::StatusCode {
    match error.code() {
        Some(super::message::METHOD_NOT_FOUND) => http::StatusCode::NOT_FOUND,
        Some(HEADER_MISMATCH | -32_021 | UNSUPPORTED_VERSION) => http::StatusCode::BAD_REQUEST,
        _ => http::StatusCode::OK,
    }
}
