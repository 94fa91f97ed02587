//! OAuth as an [`Authorizer`]: tokens on requests, one flow for all who wait for it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::{OnceCell, watch};
use url::Url;

use super::challenge::Challenges;
use super::discovery::{origin, refused};
use super::document::Document;
use super::exchange::{Exchange, secret_value};
use super::keys::{DpopKey, now};
use super::near::Guard;
use super::settings::{Callbacks, Grant, OAuthSettings};
use super::storage::TokenStorage;
use super::{Authorizer, Pending, Refusal, Rounds, scope};
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::transport::http::HttpSettings;

/// A token that ends this soon is renewed before it is used.
const LEEWAY: u64 = 10;
/// How often one request is sent again because others renewed the token meanwhile, because of a
/// nonce, for authorization, and for a wider scope.
const MAXIMUM_RENEWED: u8 = 3;
const MAXIMUM_NONCES: u8 = 2;
const MAXIMUM_AUTHORIZATIONS: u8 = 2;
const MAXIMUM_STEP_UPS: u8 = 2;

pub(super) const NONCE: &str = "dpop-nonce";

/// Why a flow is under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Need {
    /// Where the refusal says that the metadata of the resource is.
    pub(super) metadata: Option<String>,
    /// Where the refused request went.
    pub(super) target: Option<Url>,
    /// The scope that the refusal names.
    pub(super) scope: Option<String>,
    /// The refusal asks for tokens that are bound to a key.
    pub(super) wants_dpop: bool,
    /// The revision of the session, once there is one.
    pub(super) revision: Option<String>,
    /// A refresh token will do.
    pub(super) may_refresh: bool,
    /// Nobody is bothered: without a refresh token there is nothing to be had.
    pub(super) is_silent: bool,
    /// More is needed than was granted before.
    pub(super) is_step_up: bool,
}

/// What a flow led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gained {
    Nothing,
    Refreshed,
    Authorized,
}

/// What discovery found.
#[derive(Debug)]
pub(super) struct Found {
    /// The metadata of the resource.
    pub(super) resource: Option<Document>,
    /// The metadata of the authorization server.
    pub(super) server: Document,
    /// Its issuer.
    pub(super) issuer: String,
    /// The resource indicator, where it is sent.
    pub(super) indicator: Option<String>,
}

/// What is known so far.
#[derive(Default)]
pub(super) struct State {
    pub(super) tokens: Option<Document>,
    pub(super) client: Option<Document>,
    /// Who has seen the client of the settings.
    pub(super) issuer: Option<String>,
    pub(super) found: Option<Arc<Found>>,
    pub(super) key: Option<Arc<DpopKey>>,
    /// The latest nonce of each origin: the server's and the authorization server's.
    pub(super) nonces: HashMap<String, String>,
    /// A scope that was asked for and not granted.
    pub(super) fruitless: Option<String>,
}

type Flow = Pin<Box<dyn Future<Output = Result<Gained, Arc<Error>>> + Send>>;

/// What the flows and the authorizer share.
pub(super) struct Inner {
    pub(super) settings: OAuthSettings,
    pub(super) server: Url,
    pub(super) callbacks: Arc<dyn Callbacks>,
    pub(super) storage: Arc<dyn TokenStorage>,
    pub(super) exchange: Exchange,
    /// Whether a person is being asked.
    pub(super) asks: watch::Sender<bool>,
    state: Mutex<State>,
    is_loaded: OnceCell<()>,
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of a sentence that names the server.
    pub(super) fn place(&self) -> String {
        format!("the MCP server at {}", origin(&self.server))
    }

    pub(super) fn nonce(&self, url: &Url) -> Option<String> {
        self.state().nonces.get(&origin(url)).cloned()
    }

    pub(super) fn remember_nonce(&self, url: &Url, headers: &HeaderMap) -> bool {
        let Some(nonce) = headers.get(NONCE).and_then(|nonce| nonce.to_str().ok()) else {
            return false;
        };
        self.state().nonces.insert(origin(url), nonce.to_owned());
        true
    }

    async fn load(&self) -> Result<()> {
        let loading = self.is_loaded.get_or_try_init(|| async {
            let tokens = self.storage.tokens().await?;
            let client = match &self.settings.client {
                Some(client) => Some(client.clone()),
                None => self.storage.client(None).await?,
            };
            let key = match &self.settings.dpop_key {
                Some(pem) => Some(DpopKey::from_pem(pem)?),
                None => match self.storage.key().await? {
                    Some(private) => Some(DpopKey::restore(&private)?),
                    None => None,
                },
            };
            let mut state = self.state();
            // Tokens that are bound to a key are nothing without it.
            state.tokens = tokens.filter(|tokens| key.is_some() || !is_bound(tokens));
            state.client = client;
            state.key = key.map(Arc::new);
            Ok(())
        });
        loading.await.map(|&()| ())
    }
}

/// Whether tokens are bound to a key.
pub(super) fn is_bound(tokens: &Document) -> bool {
    tokens
        .text("token_type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("dpop"))
}

/// Whether tokens have ended, or are about to.
pub(super) fn has_expired(tokens: &Document) -> bool {
    tokens
        .seconds("expires_at")
        .is_some_and(|end| end <= now() + LEEWAY)
}

/// Authorization with one MCP server by OAuth 2.1, shared by all connections to it.
pub struct OAuth {
    inner: Arc<Inner>,
    under_way: Mutex<Option<WeakShared<Flow>>>,
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OAuth")
            .field("server", &origin(&self.inner.server))
            .finish_non_exhaustive()
    }
}

impl OAuth {
    /// Nothing is asked or sent yet.
    pub fn new(
        settings: OAuthSettings,
        callbacks: Arc<dyn Callbacks>,
        storage: Arc<dyn TokenStorage>,
    ) -> Result<Self> {
        let configuration = |message: &str| Error::new(ErrorKind::Configuration, message);
        let server = Url::parse(&settings.server_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| configuration("server_url is not an absolute http or https URL"))?;
        if let Some(pem) = &settings.dpop_key {
            DpopKey::from_pem(pem)?;
        }
        if Duration::try_from_secs_f64(settings.timeout_seconds).is_err() {
            return Err(configuration("timeout takes a number of seconds"));
        }
        let provider = match &settings.grant {
            Grant::EnterpriseManaged(provider) => Some(provider),
            _ => None,
        };
        let guard = Guard::new(
            server.clone(),
            &[
                settings.issuer.as_deref(),
                provider.and_then(|provider| provider.issuer.as_deref()),
                provider.and_then(|provider| provider.token_endpoint.as_deref()),
            ],
        );
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                server,
                callbacks,
                storage,
                exchange: Exchange::new(guard),
                asks: watch::Sender::new(false),
                state: Mutex::default(),
                is_loaded: OnceCell::new(),
            }),
            under_way: Mutex::default(),
        })
    }

    /// Joins the flow that is under way, or begins one. It goes on for as long as somebody waits.
    async fn obtain(&self, need: Need) -> Result<Gained> {
        let flow = self.flow(need);
        flow.await.map_err(|failure| {
            let mut again = Error::new(failure.kind(), failure.message());
            let causes = failure.causes();
            if !causes.is_empty() {
                again = again.with_source(causes.join(": "));
            }
            again
        })
    }

    fn flow(&self, need: Need) -> Shared<Flow> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let running = under_way.as_ref().and_then(WeakShared::upgrade);
        if let Some(running) = running.filter(|flow| flow.peek().is_none()) {
            return running;
        }
        let inner = Arc::clone(&self.inner);
        let work: Flow = Box::pin(async move {
            // The settings are checked when the authorizer is made.
            let limit = Duration::try_from_secs_f64(inner.settings.timeout_seconds)
                .unwrap_or(Duration::MAX);
            let outcome = tokio::time::timeout(limit, inner.run(need)).await;
            outcome
                .unwrap_or_else(|_| {
                    Err(refused(format!(
                        "authorization with {} did not end within {} s; give it more time with \
                         timeout",
                        inner.place(),
                        limit.as_secs_f64()
                    )))
                })
                .map_err(Arc::new)
        });
        let flow = work.shared();
        *under_way = flow.downgrade();
        flow
    }

    fn check_origin(&self, url: &Url) -> Result<()> {
        if url.origin() == self.inner.server.origin() {
            return Ok(());
        }
        Err(refused(format!(
            "auth is for {}, and the connection leads to {}; make one for that server",
            self.inner.place(),
            origin(url)
        )))
    }

    async fn credentials(&self, method: &Method, url: &Url) -> Result<HeaderMap> {
        self.check_origin(url)?;
        self.inner.load().await?;
        let tokens = self.inner.state().tokens.clone();
        if tokens.is_some_and(|tokens| has_expired(&tokens) && tokens.has("refresh_token")) {
            let need = Need {
                may_refresh: true,
                is_silent: true,
                ..Need::default()
            };
            self.obtain(need).await?;
        }
        let (tokens, key) = {
            let state = self.inner.state();
            (state.tokens.clone(), state.key.clone())
        };
        let mut headers = HeaderMap::new();
        let Some(token) = tokens
            .as_ref()
            .and_then(|tokens| tokens.text("access_token"))
        else {
            return Ok(headers);
        };
        let scheme = match key.filter(|_| tokens.as_ref().is_some_and(is_bound)) {
            Some(key) => {
                let nonce = self.inner.nonce(url);
                let proof = key.proof(method.as_str(), url, Some(token), nonce.as_deref())?;
                headers.insert("dpop", secret_value(&proof)?);
                "DPoP"
            }
            None => "Bearer",
        };
        headers.insert(AUTHORIZATION, secret_value(&format!("{scheme} {token}"))?);
        Ok(headers)
    }

    /// Whether the request went out with other credentials than there are now.
    fn has_changed_since(&self, credentials: &HeaderMap) -> bool {
        let state = self.inner.state();
        let Some(token) = state
            .tokens
            .as_ref()
            .and_then(|one| one.text("access_token"))
        else {
            return false;
        };
        let sent = credentials.get(AUTHORIZATION);
        let sent = sent.and_then(|value| value.to_str().ok()?.split_once(' '));
        sent.is_none_or(|(_, sent)| sent != token)
    }

    async fn answer(&self, refusal: Refusal<'_>, rounds: &mut Rounds) -> Result<bool> {
        let challenges = Challenges::of(refusal.headers);
        let error = challenges.get("error");
        if error == Some("use_dpop_nonce") && refusal.headers.contains_key(NONCE) {
            rounds.nonces += 1;
            return Ok(rounds.nonces <= MAXIMUM_NONCES);
        }
        if refusal.method == Method::DELETE {
            // A farewell is worth no window in a browser.
            return Ok(false);
        }
        if self.has_changed_since(refusal.credentials) && rounds.renewed < MAXIMUM_RENEWED {
            rounds.renewed += 1;
            return Ok(true);
        }
        let revision = refusal.sent.get("mcp-protocol-version");
        let need = Need {
            metadata: challenges.get("resource_metadata").map(str::to_owned),
            target: Some(refusal.url.clone()),
            scope: challenges.get("scope").map(str::to_owned),
            wants_dpop: challenges.want_dpop(),
            revision: revision.and_then(|text| Some(text.to_str().ok()?.to_owned())),
            ..Need::default()
        };
        if refusal.status == StatusCode::UNAUTHORIZED {
            return self.authorize(need, rounds).await;
        }
        if error != Some("insufficient_scope") {
            return Ok(false);
        }
        self.step_up(need, rounds).await
    }

    async fn authorize(&self, need: Need, rounds: &mut Rounds) -> Result<bool> {
        rounds.authorizations += 1;
        if rounds.authorizations > MAXIMUM_AUTHORIZATIONS {
            return Err(refused(format!(
                "{} refuses the token that its authorization server has just given (status 401)",
                self.inner.place()
            )));
        }
        let need = Need {
            may_refresh: rounds.authorizations == 1,
            ..need
        };
        let gained = self.obtain(need).await?;
        if gained == Gained::Authorized {
            // A person is not asked twice for one request.
            rounds.authorizations = MAXIMUM_AUTHORIZATIONS;
        }
        Ok(true)
    }

    async fn step_up(&self, need: Need, rounds: &mut Rounds) -> Result<bool> {
        let wanted = need.scope.clone().unwrap_or_default();
        let (granted, is_fruitless) = {
            let state = self.inner.state();
            let granted = state.tokens.as_ref().and_then(|one| one.text("scope"));
            (
                granted.map(str::to_owned),
                state.fruitless.as_ref() == Some(&wanted),
            )
        };
        rounds.step_ups += 1;
        let place = self.inner.place();
        if wanted.is_empty() {
            return Err(refused(format!(
                "{place} wants a wider scope (status 403, insufficient_scope), and does not say \
                 which; name it with scope"
            )));
        }
        if scope::covers(granted.as_deref(), &wanted) {
            return Err(refused(format!(
                "{place} wants scope {wanted} (status 403), which the token has: asking for it \
                 again would change nothing"
            )));
        }
        if is_fruitless || rounds.step_ups > MAXIMUM_STEP_UPS {
            return Err(refused(format!(
                "{place} wants scope {wanted} (status 403), which its authorization server does not \
                 grant"
            )));
        }
        let need = Need {
            is_step_up: true,
            ..need
        };
        self.obtain(need).await?;
        let mut state = self.inner.state();
        let granted = state.tokens.as_ref().and_then(|one| one.text("scope"));
        let is_granted = scope::covers(granted, &wanted);
        state.fruitless = (!is_granted).then_some(wanted);
        Ok(true)
    }
}

impl Authorizer for OAuth {
    fn attach(&self, settings: &HttpSettings) {
        self.inner.exchange.attach(settings);
    }

    fn headers<'a>(&'a self, method: &'a Method, url: &'a Url) -> Pending<'a, HeaderMap> {
        Box::pin(self.credentials(method, url))
    }

    fn heard(&self, url: &Url, headers: &HeaderMap) {
        self.inner.remember_nonce(url, headers);
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>, rounds: &'a mut Rounds) -> Pending<'a, bool> {
        Box::pin(self.answer(refusal, rounds))
    }

    fn person(&self) -> Option<BoxFuture<'_, ()>> {
        let mut asks = self.inner.asks.subscribe();
        if !*asks.borrow() {
            return None;
        }
        Some(Box::pin(async move {
            // The sender lives as long as this does.
            let _ = asks.wait_for(|asks| !asks).await;
        }))
    }
}
