//! How a client and its server agree on a revision: the handshake, `server/discover`, and the rules
//! by which one is tried after the other (MCP 2026-07-28, Versioning and Compatibility).

use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::era::{LATEST_LEGACY, LATEST_MODERN, Stamp};
use super::rounds::shortened;
use super::{Agreed, Client, Era, Found, LEGACY_VERSIONS, MODERN_VERSIONS, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params};
use crate::mcp::wire::Stateless;

const INTERNAL_ERROR: i64 = -32_603;
const HEADER_MISMATCH: i64 = -32_020;
const MISSING_CAPABILITY: i64 = -32_021;
const UNSUPPORTED_VERSION: i64 = -32_022;

/// What a failed `server/discover` says of the server.
enum Verdict {
    /// It speaks a revision without a handshake, and none that this client does.
    Modern,
    /// It does not know the method, so it wants the handshake.
    Legacy,
    /// Nothing: it could not be asked.
    Unknown,
}

impl Client {
    /// Runs the lifecycle that the mode asks for; what the server said of itself.
    pub async fn connect(&self, mode: &Mode) -> Result<RawJson> {
        match mode {
            Mode::Legacy => self.initialize().await,
            Mode::Discover => self.discover().await,
            Mode::Known(described) => self.adopt(described.clone()),
            Mode::Pinned(version) => {
                let described = serde_json::json!({
                    "resultType": "complete",
                    "supportedVersions": [version],
                    "capabilities": {},
                });
                self.adopt(RawJson::trusted(described.to_string()))
            }
            Mode::Auto => {
                let _running = self.lifecycle.lock().await;
                if let Some(agreed) = self.agreed() {
                    return Ok(agreed.described.clone());
                }
                self.negotiate().await
            }
        }
    }

    /// The handshake. A second call gives the first answer again.
    pub async fn initialize(&self) -> Result<RawJson> {
        let _running = self.lifecycle.lock().await;
        if let Some(agreed) = self.agreed()
            && agreed.era() == Era::Legacy
        {
            return Ok(agreed.described.clone());
        }
        self.shake_hands().await
    }

    /// `server/discover`, and what it says is adopted. A second call gives the first answer again.
    pub async fn discover(&self) -> Result<RawJson> {
        let _running = self.lifecycle.lock().await;
        if let Some(agreed) = self.agreed()
            && agreed.era() == Era::Modern
        {
            return Ok(agreed.described.clone());
        }
        let described = self.probe(self.setup.timeout).await?;
        self.adopt(described)
    }

    /// Goes on with what a server said of itself earlier; nothing is sent. Takes an
    /// `InitializeResult` or a `DiscoverResult`.
    pub fn adopt(&self, described: RawJson) -> Result<RawJson> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Described {
            #[serde(default)]
            protocol_version: Option<String>,
            #[serde(default)]
            supported_versions: Option<Vec<String>>,
        }
        let found: Described = serde_json::from_slice(described.as_bytes())
            .map_err(|cause| unusable("what the server said of itself").with_source(cause))?;
        let (version, stamp) = match (found.supported_versions, found.protocol_version) {
            (Some(supported), _) => {
                let version = mutual(&supported).ok_or_else(|| no_common_version(&supported))?;
                let stamp = Stamp::new(version, &self.setup.profile, self.extensions())?;
                (version.to_owned(), Some(stamp))
            }
            (None, Some(version)) if LEGACY_VERSIONS.contains(&version.as_str()) => (version, None),
            (None, Some(version)) => return Err(unknown_version(&version)),
            (None, None) => return Err(unusable("what the server said of itself")),
        };
        Ok(self.agree(Agreed {
            version,
            described,
            stamp,
        }))
    }

    async fn shake_hands(&self) -> Result<RawJson> {
        let profile = &self.setup.profile;
        let mut object = Vec::new();
        for piece in [
            br#"{"protocolVersion":""#,
            LATEST_LEGACY.as_bytes(),
            br#"","capabilities":"#,
            profile.capabilities.as_bytes(),
            br#","clientInfo":"#,
            profile.client_info.as_bytes(),
            b"}",
        ] {
            object.extend_from_slice(piece);
        }
        let params = Params {
            object: Some(RawJson::trusted(object)),
            meta: None,
        };
        let options = CallOptions {
            timeout: self.setup.timeout,
            ..CallOptions::default()
        };
        let described = self.session.request("initialize", params, options).await?;
        let version = initialized_version(&described)?;
        if !LEGACY_VERSIONS.contains(&version.as_str()) {
            return Err(unknown_version(&version));
        }
        self.session
            .notify("notifications/initialized", None)
            .await?;
        Ok(self.agree(Agreed {
            version,
            described,
            stamp: None,
        }))
    }

    /// Asks once, and once more if the server names a revision in common.
    async fn probe(&self, limit: Option<Duration>) -> Result<RawJson> {
        let refusal = match self.ask(LATEST_MODERN, limit).await {
            Err(refusal) if refusal.context().rpc_code == Some(UNSUPPORTED_VERSION) => refusal,
            outcome => return outcome,
        };
        match supported_versions(&refusal).as_deref().and_then(mutual) {
            Some(version) => self.ask(version, limit).await,
            None => Err(refusal),
        }
    }

    async fn ask(&self, version: &str, limit: Option<Duration>) -> Result<RawJson> {
        let stamp = Stamp::new(version, &self.setup.profile, self.extensions())?;
        let mut headers = HeaderMap::new();
        let method = "server/discover";
        let params = stamp.apply(method, Params::default(), &mut headers)?;
        let options = CallOptions {
            timeout: limit,
            headers,
            ..CallOptions::default()
        };
        let stateless = Stateless { subscriber: None };
        self.session
            .send(method, params, options, Some(stateless))
            .await
    }

    /// The latest revision that both speak, by the rules of the specification.
    async fn negotiate(&self) -> Result<RawJson> {
        if self.place.is_none() {
            return self.shake_hands().await;
        }
        let remembered = self.place.and_then(super::Place::recall);
        if remembered == Some(Found::Legacy) {
            match self.shake_hands().await {
                Err(refusal) if !is_outage(&refusal) => self.learn(None),
                outcome => return outcome,
            }
        }
        let refusal = match self.probe(self.patience()).await {
            Ok(described) => match discovered_versions(&described) {
                Some(versions) if mutual(&versions).is_some() => {
                    self.learn(Some(Found::Modern));
                    return self.adopt(described);
                }
                _ => unusable("server/discover"),
            },
            Err(refusal) => match self.judge(&refusal) {
                Verdict::Legacy => refusal,
                Verdict::Modern | Verdict::Unknown => return Err(refusal),
            },
        };
        match self.shake_hands().await {
            Ok(described) => {
                self.learn(Some(Found::Legacy));
                Ok(described)
            }
            // The server took the question after all, only later than it was waited for.
            Err(late) if late.context().rpc_code == Some(UNSUPPORTED_VERSION) => {
                let described = self.probe(self.setup.timeout).await?;
                let described = self.adopt(described)?;
                self.learn(Some(Found::Modern));
                Ok(described)
            }
            Err(failure) if failure.context().status.is_some() => Err(failure),
            Err(failure) => Err(failure.with_source(refusal)),
        }
    }

    fn learn(&self, found: Option<Found>) {
        match (self.place, found) {
            (Some(place), Some(found)) => place.remember(found),
            (Some(place), None) => place.forget(),
            (None, _) => {}
        }
    }

    /// How long the answer to `server/discover` is waited for.
    fn patience(&self) -> Option<Duration> {
        if self.is_http {
            return self.setup.timeout;
        }
        let limit = self.setup.timeout.unwrap_or(Duration::MAX);
        Some(limit.min(self.setup.patience))
    }

    fn judge(&self, refusal: &Error) -> Verdict {
        match (refusal.kind(), refusal.context().rpc_code) {
            (ErrorKind::Mcp, Some(HEADER_MISMATCH | MISSING_CAPABILITY)) => Verdict::Modern,
            (ErrorKind::Mcp, Some(UNSUPPORTED_VERSION)) => match supported_versions(refusal) {
                Some(versions) if versions.iter().all(|version| !is_legacy(version)) => {
                    Verdict::Modern
                }
                _ => Verdict::Legacy,
            },
            (ErrorKind::Mcp, _) => Verdict::Legacy,
            (ErrorKind::McpTimeout, _) if !self.is_http => Verdict::Legacy,
            (ErrorKind::Transport, _) if !is_outage(refusal) => Verdict::Legacy,
            _ => Verdict::Unknown,
        }
    }
}

/// Whether a failure says nothing about what the server speaks: it was not reached, it did not
/// answer, it wants credentials, it is overloaded.
pub(crate) fn is_outage(failure: &Error) -> bool {
    match failure.kind() {
        ErrorKind::Mcp => false,
        ErrorKind::Transport => !matches!(
            failure.context().status,
            Some(400 | 402 | 404..=407 | 409..=428 | 430..=501)
        ),
        _ => true,
    }
}

fn is_legacy(version: &str) -> bool {
    LEGACY_VERSIONS.contains(&version)
}

/// The latest revision of the modern era that is among these.
fn mutual(versions: &[String]) -> Option<&'static str> {
    MODERN_VERSIONS
        .iter()
        .rev()
        .find(|known| versions.iter().any(|version| version == *known))
        .copied()
}

/// The revisions that a refusal of ours names.
fn supported_versions(refusal: &Error) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Data {
        supported: Vec<String>,
    }
    let data = refusal.context().rpc_data.as_deref()?;
    let data: Data = serde_json::from_str(data).ok()?;
    Some(data.supported)
}

fn discovered_versions(described: &RawJson) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Discovered {
        supported_versions: Vec<String>,
    }
    let discovered: Discovered = serde_json::from_slice(described.as_bytes()).ok()?;
    Some(discovered.supported_versions)
}

fn initialized_version(described: &RawJson) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized<'a> {
        protocol_version: String,
        #[serde(borrow, default)]
        capabilities: Option<&'a RawValue>,
        #[serde(borrow, default)]
        server_info: Option<&'a RawValue>,
    }
    let initialized: Initialized<'_> = serde_json::from_slice(described.as_bytes())
        .map_err(|cause| unusable("initialize").with_source(cause))?;
    for (name, told) in [
        ("capabilities", initialized.capabilities),
        ("serverInfo", initialized.server_info),
    ] {
        if let Some(told) = told.filter(|told| !told.get().starts_with('{')) {
            return Err(refusal(format!(
                "the server's answer to initialize is not one: its {name} is {}, not an object",
                shortened(told.get())
            )));
        }
    }
    Ok(initialized.protocol_version)
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::Mcp, message)
        .map_context(|context| context.rpc_code = Some(INTERNAL_ERROR))
}

fn unusable(what: &str) -> Error {
    refusal(format!(
        "the server's answer to {what} is not one: it names no revision of MCP"
    ))
}

fn unknown_version(version: &str) -> Error {
    let accepted = LEGACY_VERSIONS.join(", ");
    refusal(format!(
        "the server speaks revision {:?} of MCP; this session accepts {accepted}",
        shortened(version)
    ))
}

fn no_common_version(supported: &[String]) -> Error {
    refusal(format!(
        "the server speaks revisions {} of MCP; without a handshake this client speaks {}",
        shortened(&supported.join(", ")),
        MODERN_VERSIONS.join(", ")
    ))
}
