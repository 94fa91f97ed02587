//! What the user says about authorization with one server, and what is asked of the user meanwhile.

use serde::Deserialize;

use super::Pending;
use super::discovery::refused;
use super::document::Document;

/// How tokens are obtained.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A person agrees in a browser (authorization code with PKCE).
    AuthorizationCode,
    /// The client is its own owner.
    ClientCredentials,
    /// An assertion is exchanged for a token (RFC 7523): that of a workload, or an ID-JAG.
    JwtBearer,
    /// The identity provider of an enterprise gives the assertion (RFC 8693, ID-JAG).
    EnterpriseManaged(IdentityProvider),
}

/// The identity provider of an enterprise.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct IdentityProvider {
    /// Where tokens are exchanged; found by the issuer if it is left out.
    pub token_endpoint: Option<String>,
    /// The issuer, whose metadata names the token endpoint.
    pub issuer: Option<String>,
    /// The client that the identity provider knows.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<String>,
    /// What the subject token is.
    pub subject_token_type: String,
}

impl std::fmt::Debug for IdentityProvider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IdentityProvider")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What the user says.
#[derive(Clone, PartialEq, Deserialize)]
pub struct OAuthSettings {
    /// The endpoint of the MCP server; credentials go to its origin alone.
    pub server_url: String,
    /// How tokens are obtained.
    pub grant: Grant,
    /// What the client says about itself when it registers.
    #[serde(default)]
    pub client_metadata: Document,
    /// The URL of that, for servers that read it there.
    pub client_metadata_url: Option<String>,
    /// The client, if it is registered already.
    pub client: Option<Document>,
    /// The scope to ask for, beside what the server names.
    pub scope: Option<String>,
    /// The only authorization server that gets to see the credentials.
    pub issuer: Option<String>,
    /// The MCP server is not asked for its authorization server: `issuer` is it.
    #[serde(default)]
    pub is_issuer_fixed: bool,
    /// What the metadata of the authorization server would say; nothing is asked for it then.
    #[serde(default)]
    pub endpoints: Option<Document>,
    /// How long all of it may take, the person included.
    pub timeout_seconds: f64,
    /// Whether tokens are bound to a key; by default, where the server asks for it.
    pub dpop: Option<bool>,
    /// The key, in PEM; by default a new one.
    pub dpop_key: Option<String>,
    /// Takes an authorization server whose metadata does not mention PKCE.
    #[serde(default)]
    pub allows_undeclared_pkce: bool,
    /// The user checks the resource, instead of this crate.
    #[serde(default)]
    pub checks_resource: bool,
}

impl std::fmt::Debug for OAuthSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OAuthSettings")
            .field("issuer", &self.issuer)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

fn missing<'a, T>(what: &str) -> Pending<'a, T> {
    let failure = refused(format!("authorization needs {what}, and there is none"));
    Box::pin(async { Err(failure) })
}

/// What is asked of the user.
pub trait Callbacks: Send + Sync {
    /// Told before anything is done that a person must agree to; an error says why nobody can.
    fn begin(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Takes the person to the authorization server.
    fn redirect(&self, _url: String) -> Pending<'_, ()> {
        missing("a redirect handler")
    }

    /// Waits until the person comes back: `code`, `state` and `iss`, or `error`.
    fn callback(&self) -> Pending<'_, Document> {
        missing("a callback handler")
    }

    /// A signed JWT for an authorization server and a resource.
    fn assertion(&self, _audience: String, _resource: String) -> Pending<'_, String> {
        missing("an assertion provider")
    }

    /// The token that the identity provider gave the person.
    fn subject_token(&self) -> Pending<'_, String> {
        missing("an id token")
    }

    /// Refuses a resource that is not the server's, with an error.
    fn check_resource(&self, _server: String, _resource: Option<String>) -> Pending<'_, ()> {
        missing("a check of the resource")
    }
}
