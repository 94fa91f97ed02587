//! Tokens that an authorization server gives for a while: asked for once, kept for the process, asked
//! for anew before they end. Owns the cache; who asks for what is the provider's.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Authorized, Authorizer, Outgoing};
use crate::error::{Error, ErrorKind};
use crate::llm::failure::{Redactor, snippet};
use crate::llm::trust::Trust;

/// How many tokens a process keeps; the oldest go.
const MAX_TOKENS: usize = 256;
/// How long an authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long a token is taken to last where nobody says.
const DEFAULT_LIFE: Duration = Duration::from_mins(5);
/// A token is asked for anew so long before it ends, or at half its life.
const MARGIN: Duration = Duration::from_mins(5);

/// What is asked of an authorization server.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where.
    pub url: Url,
    /// The form that is sent.
    pub form: Vec<(&'static str, String)>,
    /// Name and password of `Authorization: Basic`.
    pub basic: Option<(String, String)>,
}

impl Grant {
    /// OAuth's client credentials, sent in the form.
    pub fn client_credentials(url: Url, id: String, secret: String, scope: String) -> Self {
        Self {
            url,
            form: vec![
                ("grant_type", "client_credentials".to_owned()),
                ("client_id", id),
                ("client_secret", secret),
                ("scope", scope),
            ],
            basic: None,
        }
    }

    /// The values that no text may show.
    pub fn secrets(&self) -> Vec<String> {
        const HIDDEN: [&str; 3] = ["client_secret", "password", "apikey"];
        let form = self.form.iter().filter(|(name, _)| HIDDEN.contains(name));
        let passwords = self.basic.iter().map(|(_, password)| password.clone());
        form.map(|(_, value)| value.clone())
            .chain(passwords)
            .collect()
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Grant({})", self.origin())
    }
}

/// Sends a token of a grant as `Authorization: Bearer`.
#[derive(Debug)]
pub struct Bearer {
    grant: Grant,
}

impl Bearer {
    /// With tokens of that grant.
    pub fn new(grant: Grant) -> Self {
        Self { grant }
    }
}

impl Authorizer for Bearer {
    fn authorize<'a>(&'a self, request: Outgoing<'a>) -> Authorized<'a> {
        Box::pin(async move {
            // Who says by a header who they are needs no token.
            if request.headers.contains_key(header::AUTHORIZATION) {
                return Ok(());
            }
            let token = token(&self.grant, request.trust).await?;
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                let origin = self.grant.origin();
                Error::new(
                    ErrorKind::Authentication,
                    format!("the token that {origin} gave cannot be sent as a header"),
                )
            })?;
            value.set_sensitive(true);
            request.headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }
}

struct Token {
    text: String,
    /// When another is asked for.
    until: Instant,
}

/// The token of one grant; whoever holds it asks for it, the others wait.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

struct Kept {
    /// A child process that was forked while its parent asked must not wait for the parent.
    process: u32,
    grant: Grant,
    slot: Slot,
}

fn slot(grant: &Grant) -> Slot {
    static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
    let process = std::process::id();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let found = kept
        .iter()
        .find(|one| one.process == process && one.grant == *grant);
    if let Some(found) = found {
        return Arc::clone(&found.slot);
    }
    if kept.len() >= MAX_TOKENS {
        kept.remove(0);
    }
    let slot = Slot::default();
    kept.push(Kept {
        process,
        grant: grant.clone(),
        slot: Arc::clone(&slot),
    });
    slot
}

/// A token that lasts for a while yet.
async fn token(grant: &Grant, trust: &Trust) -> Result<String, Error> {
    let slot = slot(grant);
    let mut kept = slot.lock().await;
    if let Some(token) = kept.as_ref().filter(|token| Instant::now() < token.until) {
        return Ok(token.text.clone());
    }
    let token = ask(grant, trust).await?;
    let text = token.text.clone();
    *kept = Some(token);
    Ok(text)
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Value>,
}

async fn ask(grant: &Grant, trust: &Trust) -> Result<Token, Error> {
    let origin = grant.origin();
    let unreachable = |cause: reqwest::Error| {
        let kind = if cause.is_timeout() {
            ErrorKind::Timeout
        } else {
            ErrorKind::Connection
        };
        let message = format!("no token could be asked for at {origin}: it is not reached");
        Error::new(kind, message).with_source(cause.without_url())
    };
    let builder = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    // No certificates are needed, and none are loaded, for http.
    let builder = match grant.url.scheme() {
        "http" => builder.tls_certs_only([]),
        _ => trust.for_others(builder)?,
    };
    let client = builder.build().map_err(unreachable)?;
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&grant.form)
        .finish();
    let mut request = client
        .post(grant.url.clone())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(form);
    if let Some((name, password)) = &grant.basic {
        request = request.basic_auth(name, Some(password));
    }
    let asked = Instant::now();
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    if !status.is_success() {
        let said = Redactor::new(grant.secrets())
            .redact(&refusal(&body))
            .into_owned();
        let kind = match status.as_u16() {
            429 => ErrorKind::RateLimit,
            500.. => ErrorKind::ServiceUnavailable,
            _ => ErrorKind::Authentication,
        };
        let message = format!("{origin} gave no token, it answered {status}: {said}");
        return Err(Error::new(kind, message));
    }
    let given: Given = serde_json::from_slice(&body).map_err(|_| {
        let message = format!("{origin} answered {status} without an access_token");
        Error::new(ErrorKind::Authentication, message)
    })?;
    let life = given.expires_in.as_ref().and_then(seconds);
    let life = life.map_or(DEFAULT_LIFE, Duration::from_secs);
    let fresh = life.saturating_sub(MARGIN).max(life / 2);
    // A life beyond what a clock counts is the longest that it does.
    let until = asked.checked_add(fresh).unwrap_or(asked + DEFAULT_LIFE);
    Ok(Token {
        text: given.access_token,
        until,
    })
}

/// Some servers write the number as text.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// What a refusal says: OAuth's members, or those of IBM.
fn refusal(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok().and_then(|body| {
        let names = ["error_description", "errorMessage", "message", "error"];
        let mut found = names.iter().filter_map(|name| body.get(*name)?.as_str());
        found.next().map(str::to_owned)
    });
    said.unwrap_or_else(|| snippet(body))
}
