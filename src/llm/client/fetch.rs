//! Pictures, files and sound that a request names by URL, fetched for protocols that carry them as
//! bytes alone. A caller of the gateway writes those URLs, so nothing but public addresses is asked:
//! names are resolved here, what they resolve to is checked, and the connection goes to what was
//! checked. Uses `reach` for what is public.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;
use http::{HeaderMap, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use url::Url;

use super::media;
use super::reach::{NotAllowed, Reach};
use super::{content_type, root_cause};
use crate::llm::conversion::Conversion;
use crate::llm::trust::Trust;
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

/// The longest picture, file or sound.
pub const MAX_BYTES: usize = 20 * 1024 * 1024;
/// How many one request may name.
pub const MAX_FETCHES: usize = 16;
/// How long all of them may take together, where the call may take longer.
const MAX_TIME: Duration = Duration::from_mins(1);
const MAX_REDIRECTS: usize = 5;
/// Clients beyond this number are closed, the oldest first.
const MAX_CLIENTS: usize = 8;

/// What to do instead, at the end of every error.
const INSTEAD: &str = "give it as a data: URL (data:<media type>;base64,…) instead";

/// How connections are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connecting {
    /// Whom the caller trusts.
    pub trust: Trust,
    /// How long a connection may take to be made.
    pub limit: Duration,
}

impl Default for Connecting {
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            limit: super::DEFAULT_CONNECT_TIMEOUT,
        }
    }
}

/// Fetches what requests name.
#[derive(Debug, Default)]
pub struct Fetcher {
    reach: Reach,
    /// Made at the first fetch, by whom they trust and how long they take to connect: most processes
    /// fetch nothing.
    clients: Mutex<Vec<(Connecting, reqwest::Client)>>,
}

impl Fetcher {
    /// One that reaches other addresses than the public ones.
    pub fn new(reach: Reach) -> Self {
        Self {
            reach,
            clients: Mutex::default(),
        }
    }

    /// Puts bytes in the place of the URLs whose bytes the protocol needs.
    pub async fn fill(
        &self,
        request: &mut ChatRequest,
        conversion: &dyn Conversion,
        connecting: Connecting,
        limit: Option<Duration>,
    ) -> Result<(), Unusable> {
        let parts = request
            .messages
            .iter_mut()
            .flat_map(|message| &mut message.content)
            .filter(|part| url_of(part).is_some() && conversion.needs_bytes(part));
        let parts: Vec<&mut Part> = parts.collect();
        let Some(first) = parts.get(MAX_FETCHES).or(parts.first()) else {
            return Ok(());
        };
        if parts.len() > MAX_FETCHES {
            return Err(Unusable::new(
                &first.place,
                format!(
                    "is one of {} URLs that would have to be fetched, and a request may have \
                     {MAX_FETCHES}: {INSTEAD}",
                    parts.len()
                ),
            ));
        }
        let place = first.place.clone();
        let client = self
            .client(connecting)
            .map_err(|cause| Unusable::new(&place, format!("cannot be fetched ({cause})")))?;
        let limit = limit.map_or(MAX_TIME, |limit| limit.min(MAX_TIME));
        let all = try_join_all(parts.into_iter().map(|part| self.fetch(&client, part)));
        match tokio::time::timeout(limit, all).await {
            Ok(done) => done.map(|_| ()),
            Err(_) => Err(Unusable::new(
                place,
                format!(
                    "could not be fetched, with all other URLs of the request, within {} s: {INSTEAD}",
                    limit.as_secs_f64()
                ),
            )),
        }
    }

    async fn fetch(&self, client: &reqwest::Client, part: &mut Part) -> Result<(), Unusable> {
        let Some(text) = url_of(part) else {
            return Ok(());
        };
        let Ok(url) = Url::parse(text) else {
            let problem = format!("has a URL that cannot be read: {INSTEAD}");
            return Err(Unusable::new(&part.place, problem));
        };
        let origin = url.origin().ascii_serialization();
        let path = url.path().to_owned();
        let fetched = self.get(client, url).await;
        let (headers, bytes) = fetched.map_err(|why| {
            let problem = format!("cannot be fetched from {origin}: {why}; {INSTEAD}");
            Unusable::new(&part.place, problem)
        })?;
        let said = content_type(&headers).to_ascii_lowercase();
        let media_type = media::media_type(&said, &bytes, &path);
        let (slot, wanted, given) = match &mut part.kind {
            PartKind::Image { source, .. } => (source, Some("image/"), None),
            PartKind::Audio { source, .. } => (source, Some("audio/"), None),
            PartKind::File { source, format, .. } => (source, None, format.clone()),
            _ => return Ok(()),
        };
        let Some(media_type) = given.or(media_type) else {
            let problem = format!(
                "was fetched from {origin}, which does not say what it is (its Content-Type is \
                 {said:?}): {INSTEAD}"
            );
            return Err(Unusable::new(&part.place, problem));
        };
        if let Some(wanted) = wanted
            && !media_type.starts_with(wanted)
        {
            let problem = format!(
                "was fetched from {origin} and is {media_type}, not {wanted}…: give the URL of the \
                 {} itself, or {INSTEAD}",
                if wanted == "image/" {
                    "picture"
                } else {
                    "sound"
                }
            );
            return Err(Unusable::new(&part.place, problem));
        }
        *slot = Source::Data {
            media_type,
            base64: STANDARD.encode(&bytes),
        };
        Ok(())
    }

    async fn get(
        &self,
        client: &reqwest::Client,
        url: Url,
    ) -> Result<(HeaderMap, Vec<u8>), Failure> {
        // An address that is written out is never resolved.
        self.reach.check_url(&url)?;
        let mut response = client.get(url).send().await.map_err(Failure::of)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure::Status(status));
        }
        let headers = std::mem::take(response.headers_mut());
        let said = response.content_length().unwrap_or_default();
        if usize::try_from(said).map_or(true, |said| said > MAX_BYTES) {
            return Err(Failure::TooLong);
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(Failure::of)? {
            if bytes.len() + piece.len() > MAX_BYTES {
                return Err(Failure::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        if bytes.is_empty() {
            return Err(Failure::Empty);
        }
        Ok((headers, bytes))
    }

    fn client(&self, connecting: Connecting) -> Result<reqwest::Client, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == connecting) {
            return Ok(client.clone());
        }
        let builder = connecting.trust.for_others(self.builder());
        let builder = builder.map_err(|cause| cause.to_string())?;
        let builder = builder.connect_timeout(connecting.limit);
        let made = builder.build().map_err(|cause| {
            let cause = root_cause(&cause);
            format!("the HTTP client cannot be set up: {cause}")
        })?;
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((connecting, made.clone()));
        Ok(made)
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let reach = self.reach.clone();
        reqwest::Client::builder()
            .dns_resolver(Arc::new(CheckedNames(self.reach.clone())))
            // A proxy would resolve names itself, and reach what may not be reached.
            .no_proxy()
            .referer(false)
            .user_agent(concat!("toolbridge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::custom(move |attempt| {
                if attempt.previous().len() > MAX_REDIRECTS {
                    return attempt.error(Failure::Redirects);
                }
                match reach.check_url(attempt.url()) {
                    Ok(()) => attempt.follow(),
                    Err(refused) => attempt.error(refused),
                }
            }))
    }
}

/// The http(s) URL of a part.
fn url_of(part: &Part) -> Option<&str> {
    let (PartKind::Image { source, .. }
    | PartKind::Audio { source, .. }
    | PartKind::File { source, .. }) = &part.kind
    else {
        return None;
    };
    let Source::Url(url) = source else {
        return None;
    };
    let (scheme, _) = url.trim_start().split_once(':')?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web.then_some(url.as_str())
}

/// Why something could not be fetched. Says nothing of paths, queries and addresses: a caller of the
/// gateway must not learn the network that it stands in.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    #[error("more than {MAX_REDIRECTS} redirects")]
    Redirects,
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("it is larger than {} MB", MAX_BYTES / 1024 / 1024)]
    TooLong,
    #[error("the answer is empty")]
    Empty,
    #[error("{0}")]
    Http(String),
}

impl Failure {
    fn of(cause: reqwest::Error) -> Self {
        let mut deeper: Option<&(dyn StdError + 'static)> = Some(&cause);
        while let Some(error) = deeper {
            if let Some(refused) = error.downcast_ref::<NotAllowed>() {
                return Self::NotAllowed(*refused);
            }
            if let Some(Self::Redirects) = error.downcast_ref::<Self>() {
                return Self::Redirects;
            }
            deeper = error.source();
        }
        Self::Http(root_cause(&cause.without_url()))
    }
}

/// Resolves names, and gives the addresses that may be reached alone.
#[derive(Debug)]
struct CheckedNames(Reach);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            for address in found {
                if reach.allows(address.ip()) {
                    allowed.push(address);
                }
            }
            if allowed.is_empty() {
                return Err(NotAllowed::Address.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
