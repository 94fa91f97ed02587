//! OAuth as a gateway's file describes it: the keys beside `auth_type: oauth2`. Owns
//! [`OAuthConfig`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::document::fields::{Fields, Lookup};
use crate::document::{Data, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::auth::{
    Callbacks, Document, FileStorage, Grant, MemoryStorage, OAuth, OAuthSettings, Pending,
    TokenStorage,
};

/// How long a token may take to be had without a person.
const PATIENCE_SECONDS: f64 = 60.0;
/// What the gateway calls itself to authorization servers.
const CLIENT_NAME: &str = "toolbridge";
const FLOWS: &str = "client_credentials or authorization_code";

/// How the tokens of one server are had.
#[derive(Clone, PartialEq)]
pub struct OAuthConfig {
    /// The name that the server stands under.
    pub server: String,
    /// What is told to the flow.
    pub settings: OAuthSettings,
    /// Where tokens are kept for the next start; None keeps them for as long as the process lives.
    pub token_file: Option<PathBuf>,
}

impl fmt::Debug for OAuthConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OAuthConfig")
            .field("server", &self.server)
            .field("token_file", &self.token_file)
            .finish_non_exhaustive()
    }
}

/// Nobody is there to be asked.
struct Unattended {
    server: String,
}

impl Callbacks for Unattended {
    fn begin(&self) -> Pending<'_, ()> {
        let server = &self.server;
        let message = format!(
            "the MCP server {server:?} wants a person to agree: run `toolbridge authorize FILE \
             {server}` once, with the file of this configuration"
        );
        Box::pin(async { Err(Error::new(ErrorKind::OAuthFlow, message)) })
    }
}

impl OAuthConfig {
    /// Where its tokens are kept.
    pub fn storage(&self) -> Arc<dyn TokenStorage> {
        match &self.token_file {
            Some(path) => Arc::new(FileStorage::new(path, &self.settings.server_url)),
            None => Arc::new(MemoryStorage::default()),
        }
    }

    /// An authorizer that asks no person.
    ///
    /// # Errors
    /// The URL of the server is none.
    pub fn unattended(&self) -> Result<OAuth> {
        let server = self.server.clone();
        let callbacks = Arc::new(Unattended { server });
        OAuth::new(self.settings.clone(), callbacks, self.storage())
    }
}

/// Reads the keys of OAuth.
pub(super) fn oauth(
    server: &str,
    url: &str,
    place: &Place,
    fields: &mut Fields<'_>,
    token_file: Option<&PathBuf>,
) -> Result<OAuthConfig> {
    let flow = fields.text(&["oauth2_flow"])?;
    let client = client(fields)?;
    let scope = scope(fields)?;
    let issuer = fields.text(&["issuer"])?;
    let endpoints = endpoints(fields, issuer.as_deref())?;
    let has_secret = client
        .as_ref()
        .is_some_and(|client| client.has("client_secret"));
    let asks_person = endpoints
        .as_ref()
        .is_some_and(|endpoints| endpoints.has("authorization_endpoint"));
    let grant = match flow.as_deref() {
        Some("client_credentials") => Grant::ClientCredentials,
        Some("authorization_code") => Grant::AuthorizationCode,
        Some(other) => {
            let place = fields.find(&["oauth2_flow"]).map(|found| found.0);
            let place = place.unwrap_or_else(|| fields.place.clone());
            return Err(place.error(&format!("is {other:?}; it takes {FLOWS}")));
        }
        None if has_secret && !asks_person => Grant::ClientCredentials,
        None => Grant::AuthorizationCode,
    };
    if matches!(grant, Grant::ClientCredentials) && !has_secret {
        return Err(place.error(
            "is oauth2 with the flow client_credentials, which needs a client_id and a client_secret",
        ));
    }
    if let Some(endpoints) = &endpoints
        && matches!(grant, Grant::AuthorizationCode)
        && !endpoints.has("authorization_endpoint")
    {
        return Err(place.error(
            "is oauth2 with a token_url and without an authorization_url: give both, or none of them \
             to have them found out",
        ));
    }
    let mut client_metadata = Document::default();
    client_metadata.set("client_name", CLIENT_NAME);
    // Where nobody is asked nobody comes back; `authorize` puts its own address there.
    client_metadata.set("redirect_uris", vec!["http://127.0.0.1/callback"]);
    if let Some(method) = fields.text(&["token_endpoint_auth_method"])? {
        client_metadata.set("token_endpoint_auth_method", method);
    } else if endpoints.is_some() && has_secret {
        // What servers that publish no metadata are used to.
        client_metadata.set("token_endpoint_auth_method", "client_secret_post");
    }
    let keeps_tokens = matches!(grant, Grant::AuthorizationCode);
    Ok(OAuthConfig {
        server: server.to_owned(),
        settings: OAuthSettings {
            server_url: url.to_owned(),
            grant,
            client_metadata,
            client_metadata_url: None,
            client,
            scope,
            is_issuer_fixed: false,
            issuer,
            endpoints,
            timeout_seconds: PATIENCE_SECONDS,
            dpop: None,
            dpop_key: None,
            allows_undeclared_pkce: false,
            checks_resource: false,
        },
        token_file: token_file.filter(|_| keeps_tokens).cloned(),
    })
}

fn client(fields: &mut Fields<'_>) -> Result<Option<Document>> {
    let id = fields.text(&["client_id"])?;
    let secret = fields.text(&["client_secret"])?;
    let Some(id) = id else {
        if secret.is_some() {
            return Err(fields.place.error("has a client_secret and no client_id"));
        }
        return Ok(None);
    };
    let mut client = Document::default();
    client.set("client_id", id);
    if let Some(secret) = secret {
        client.set("client_secret", secret);
    }
    Ok(Some(client))
}

/// Scopes as one text.
fn scope(fields: &mut Fields<'_>) -> Result<Option<String>> {
    let is_text = fields
        .find(&["scopes"])
        .is_some_and(|(_, node)| matches!(node.data, Data::Text(_)));
    if is_text {
        return fields.text(&["scopes"]);
    }
    let scopes = fields.texts(&["scopes"])?.unwrap_or_default();
    Ok((!scopes.is_empty()).then(|| scopes.join(" ")))
}

/// What the file says of the authorization server, instead of its own metadata.
fn endpoints(fields: &mut Fields<'_>, issuer: Option<&str>) -> Result<Option<Document>> {
    let mut endpoints = Document::default();
    let keys = [
        ("token_url", "token_endpoint"),
        ("authorization_url", "authorization_endpoint"),
        ("registration_url", "registration_endpoint"),
    ];
    for (key, name) in keys {
        let Some(text) = fields.text(&[key])? else {
            continue;
        };
        let url = url::Url::parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            let place = fields.find(&[key]).map(|found| found.0);
            let place = place.unwrap_or_else(|| fields.place.clone());
            return Err(place.error("is no absolute http or https URL"));
        };
        if key == "token_url" {
            let origin = url.origin().ascii_serialization();
            endpoints.set("issuer", issuer.unwrap_or(&origin));
        }
        endpoints.set(name, text);
    }
    if endpoints.has("token_endpoint") {
        return Ok(Some(endpoints));
    }
    if endpoints.has("authorization_endpoint") || endpoints.has("registration_endpoint") {
        return Err(fields.place.error(
            "has an authorization_url or a registration_url and no token_url: give it too, or none of \
             them to have them found out",
        ));
    }
    Ok(None)
}

/// Where tokens are kept unless the file says otherwise.
pub(super) fn default_token_file(variables: Lookup<'_>) -> Option<PathBuf> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let state = set("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        let home = set("HOME").or_else(|| set("USERPROFILE"))?;
        Some(PathBuf::from(home).join(".local").join("state"))
    })?;
    Some(state.join("toolbridge").join("tokens.json"))
}
