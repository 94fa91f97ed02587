//! Where Google's credentials come from, and the tokens that they give. Google's own crate knows how
//! each kind of credentials makes them, and renews them while they are in use; here is which
//! credentials are meant, and that a process asks once for all its calls.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{
    AccessTokenCredentials, CacheableResource, CredentialsProvider as _, external_account,
    external_account_authorized_user, impersonated, mds, service_account, user_account,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap};
use serde_json::Value;
use tokio::runtime::{Handle, Id};

use crate::error::{Error, ErrorKind};
use crate::llm::failure::Redactor;
use crate::llm::provider::authorize::{Authorized, Authorizer, Outgoing};
use crate::llm::provider::service::Asked;

/// What the tokens are for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Credentials beyond this number are forgotten, the oldest first.
const MAX_KEPT: usize = 64;

/// Whose credentials are meant.
pub(super) const OPTIONS: [&str; 2] = ["vertex_credentials", "vertex_ai_credentials"];
const VARIABLE: &str = "VERTEXAI_CREDENTIALS";
/// Where Google's libraries look for a path.
const DEFAULT_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Where the metadata server is, for machines that are not Google's.
const METADATA_VARIABLE: &str = "GCE_METADATA_HOST";
const METADATA_HOST: &str = "metadata.google.internal";

/// Types of credentials that this file makes tokens of.
const TYPES: &str = "service_account, authorized_user, external_account, \
                     external_account_authorized_user, impersonated_service_account";

/// Whose tokens are sent.
#[derive(Clone, PartialEq)]
pub(super) enum Source {
    /// A document with credentials, and where it was found.
    Document { content: Value, place: String },
    /// The account of the machine.
    Machine {
        metadata_host: Option<String>,
        /// What is not there.
        searched: String,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self {
            Self::Document { place, .. } => place,
            Self::Machine { .. } => "the metadata server",
        };
        write!(formatter, "Source({place})")
    }
}

impl Source {
    /// What the caller gives; otherwise the place that is meant for Vertex AI, then those where all of
    /// Google's libraries look.
    pub(super) fn find(asked: &Asked<'_>) -> Result<Self, Error> {
        if let Some(given) = Self::given(asked)? {
            return Ok(given);
        }
        if let Some(path) = asked.variable(DEFAULT_VARIABLE) {
            return Self::read(asked, Path::new(&path), DEFAULT_VARIABLE);
        }
        let known = well_known(asked);
        if let Some(path) = known.as_deref().filter(|path| path.is_file()) {
            return Self::read(asked, path, "the login of gcloud");
        }
        let mut searched = format!(
            "no {} argument, no variable {VARIABLE} or {DEFAULT_VARIABLE}",
            OPTIONS[0]
        );
        if let Some(path) = known {
            let _ = write!(searched, ", no file {}", path.display());
        }
        Ok(Self::Machine {
            metadata_host: asked.variable(METADATA_VARIABLE),
            searched,
        })
    }

    /// What is given for Vertex AI alone: a document, or the path of one.
    pub(super) fn given(asked: &Asked<'_>) -> Result<Option<Self>, Error> {
        let argument = OPTIONS
            .iter()
            .find_map(|name| Some((*name, asked.option(name)?)));
        let given = argument.or_else(|| asked.first_variable(&[VARIABLE]));
        let Some((place, text)) = given else {
            return Ok(None);
        };
        if text.trim_start().starts_with('{') {
            return Self::parse(asked, &text, place.to_owned()).map(Some);
        }
        Self::read(asked, Path::new(&text), place).map(Some)
    }

    fn read(asked: &Asked<'_>, path: &Path, place: &str) -> Result<Self, Error> {
        let shown = path.display();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(asked, &text, format!("{shown} ({place})")),
            Err(cause) => {
                let kind = ErrorKind::Authentication;
                let message = format!(
                    "the Google credentials of {place} cannot be read: {shown}: {cause}; give a JSON \
                     document, or the path of a file with one"
                );
                // What is no path may be a key: it is not shown.
                let message = if path.to_string_lossy().contains("PRIVATE KEY") {
                    format!(
                        "{place} is neither a JSON document with credentials nor the path of one"
                    )
                } else {
                    message
                };
                Err(asked.refusal(kind, message).with_source(cause))
            }
        }
    }

    fn parse(asked: &Asked<'_>, text: &str, place: String) -> Result<Self, Error> {
        let refused = |what: String| {
            let message = format!(
                "the Google credentials of {place} {what}; a JSON document with a \"type\" of {TYPES} \
                 is accepted"
            );
            asked.refusal(ErrorKind::Authentication, message)
        };
        let content: Value = serde_json::from_str(text).map_err(|cause| {
            let (line, column) = (cause.line(), cause.column());
            refused(format!("are not JSON (line {line}, column {column})"))
        })?;
        match content.get("type") {
            Some(Value::String(_)) => Ok(Self::Document { content, place }),
            _ => Err(refused("have no \"type\"".to_owned())),
        }
    }

    /// The project that a document names.
    pub(super) fn project(&self) -> Option<&str> {
        let Self::Document { content, .. } = self else {
            return None;
        };
        ["project_id", "quota_project_id"]
            .iter()
            .find_map(|name| content.get(name)?.as_str())
            .filter(|project| !project.is_empty())
    }

    /// What must not be shown.
    fn secrets(&self) -> Vec<String> {
        let Self::Document { content, .. } = self else {
            return Vec::new();
        };
        let mut secrets = Vec::new();
        for document in [Some(content), content.get("source_credentials")] {
            let members = ["private_key", "refresh_token", "client_secret"].iter();
            let values = members.filter_map(|name| document?.get(name)?.as_str());
            secrets.extend(values.map(str::to_owned));
        }
        secrets
    }

    /// What sends these tokens, and its secrets.
    pub(super) fn authorizer(self, provider: &'static str) -> (Arc<dyn Authorizer>, Vec<String>) {
        let secrets = self.secrets();
        let tokens = Tokens {
            source: self,
            provider,
            redactor: Redactor::new(secrets.clone()),
        };
        (Arc::new(tokens), secrets)
    }

    fn make(&self) -> Result<AccessTokenCredentials, String> {
        let scopes = [SCOPE];
        let (content, place) = match self {
            Self::Machine { metadata_host, .. } => {
                let mut builder = mds::Builder::default().with_scopes(scopes);
                if let Some(host) = metadata_host {
                    builder = builder.with_endpoint(format!("http://{host}"));
                }
                let made = builder.build_access_token_credentials();
                return made.map_err(|cause| cause.to_string());
            }
            Self::Document { content, place } => (content, place),
        };
        let document = content.clone();
        let made = match content["type"].as_str().unwrap_or_default() {
            "service_account" => {
                let scopes = service_account::AccessSpecifier::from_scopes(scopes);
                service_account::Builder::new(document)
                    .with_access_specifier(scopes)
                    .build_access_token_credentials()
            }
            "authorized_user" => user_account::Builder::new(document)
                .with_scopes(scopes)
                .build_access_token_credentials(),
            "external_account" => external_account::Builder::new(document)
                .with_scopes(scopes)
                .build_access_token_credentials(),
            "external_account_authorized_user" => {
                external_account_authorized_user::Builder::new(document)
                    .build_access_token_credentials()
            }
            "impersonated_service_account" => impersonated::Builder::new(document)
                .with_scopes(scopes)
                .build_access_token_credentials(),
            other => {
                return Err(format!(
                    "the Google credentials of {place} have the type {other:?}; accepted are {TYPES}"
                ));
            }
        };
        made.map_err(|cause| {
            // What the document lacks, not what it has.
            let cause = std::error::Error::source(&cause)
                .map_or_else(|| cause.to_string(), ToString::to_string);
            format!("the Google credentials of {place} cannot be used: {cause}")
        })
    }

    /// Why there is no token.
    fn refused(&self, provider: &str, kind: ErrorKind, reason: &str) -> Error {
        match self {
            Self::Document { place, .. } => {
                let message = format!("the Google credentials of {place} give no token: {reason}");
                Error::new(kind, message)
            }
            Self::Machine {
                metadata_host,
                searched,
            } => {
                let host = metadata_host.as_deref().unwrap_or(METADATA_HOST);
                let message = format!(
                    "no Google credentials for {provider}: {searched}, and the metadata server at {host} \
                     gives no token ({reason}). Give vertex_credentials (a service account's JSON, or the \
                     path of one), log in with `gcloud auth application-default login`, or give an access \
                     token as api_key"
                );
                Error::new(ErrorKind::Authentication, message)
            }
        }
    }
}

/// Where gcloud keeps the login for applications.
fn well_known(asked: &Asked<'_>) -> Option<PathBuf> {
    let folder = match asked.variable("CLOUDSDK_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(windows) => Path::new(&asked.variable("APPDATA")?).join("gcloud"),
        None => Path::new(&asked.variable("HOME")?).join(".config/gcloud"),
    };
    Some(folder.join("application_default_credentials.json"))
}

/// What is wrong at the bottom: each layer of the crate says again what the next one says better.
fn reason(error: &CredentialsError) -> String {
    let mut deepest: &(dyn std::error::Error + 'static) = error;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.is::<CredentialsError>() {
            deepest = cause;
        }
        next = cause.source();
    }
    let text = deepest.to_string();
    let text = text
        .trim_end_matches(" and future attempts will not succeed")
        .trim_end_matches(" but future attempts may succeed");
    match deepest.source() {
        Some(cause) => format!("{text}: {cause}"),
        None => text.to_owned(),
    }
}

/// Puts tokens on requests.
#[derive(Debug)]
struct Tokens {
    source: Source,
    provider: &'static str,
    redactor: Redactor,
}

impl Authorizer for Tokens {
    fn authorize<'a>(&'a self, request: Outgoing<'a>) -> Authorized<'a> {
        Box::pin(async move {
            for (name, value) in &self.headers().await? {
                request.headers.entry(name).or_insert_with(|| value.clone());
            }
            Ok(())
        })
    }
}

impl Tokens {
    /// The token as a header, and the project that pays where the credentials name one.
    async fn headers(&self) -> Result<HeaderMap, Error> {
        let credentials = kept(&self.source).map_err(|message| {
            let message = self.redactor.redact(&message);
            Error::new(ErrorKind::Authentication, message)
        })?;
        let asked = credentials.headers(Extensions::new());
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(CacheableResource::New { data, .. })) => Ok(data),
            Ok(Ok(CacheableResource::NotModified)) => Ok(HeaderMap::new()),
            Ok(Err(cause)) => {
                let kind = if cause.is_transient() {
                    ErrorKind::Connection
                } else {
                    ErrorKind::Authentication
                };
                Err(self.refused(kind, &reason(&cause)))
            }
            Err(_) => {
                let reason = format!("nothing came within {} s", PATIENCE.as_secs());
                Err(self.refused(ErrorKind::Connection, &reason))
            }
        }
    }

    /// The next call begins anew: what was wrong may have been put right. The cause itself is not kept,
    /// what a server says about a login may have the login in it.
    fn refused(&self, kind: ErrorKind, reason: &str) -> Error {
        forget(&self.source);
        let reason = self.redactor.redact(reason);
        self.source.refused(self.provider, kind, &reason)
    }
}

/// Credentials of this process: what renews them runs in the runtime that made them.
struct Kept {
    runtime: Id,
    source: Source,
    credentials: AccessTokenCredentials,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

fn kept(source: &Source) -> Result<AccessTokenCredentials, String> {
    let runtime = Handle::current().id();
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = all.iter();
    if let Some(one) = found.find(|one| one.runtime == runtime && one.source == *source) {
        return Ok(one.credentials.clone());
    }
    let credentials = source.make()?;
    if all.len() >= MAX_KEPT {
        all.remove(0);
    }
    all.push(Kept {
        runtime,
        source: source.clone(),
        credentials: credentials.clone(),
    });
    Ok(credentials)
}

fn forget(source: &Source) {
    let runtime = Handle::current().id();
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|one| one.runtime != runtime || one.source != *source);
}
