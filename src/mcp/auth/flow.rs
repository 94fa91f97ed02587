//! The way to a token: discovery, the client, a refresh or a grant, the storage.

use std::sync::Arc;

use url::Url;

use super::client;
use super::discovery::{
    check_issuer, check_resource, default_endpoints, endpoint, is_same_issuer, metadata_location,
    origin, refused, resource_locations, resource_of, server_locations,
};
use super::document::Document;
use super::exchange::Answer;
use super::keys::{DpopKey, now};
use super::provider::{Found, Gained, Inner, Need, has_expired, is_bound};
use super::scope::{self, Wishes};
use super::settings::Grant;
use crate::error::{Error, ErrorKind, Result};

/// The first revision whose clients say which resource a token is for, whatever they found.
const RESOURCE_REVISION: &str = "2025-06-18";
/// How many authorization servers of one resource are asked.
const MAXIMUM_ISSUERS: usize = 5;

impl Inner {
    /// Gets tokens; all of it is undone by dropping the future.
    pub(super) async fn run(&self, need: Need) -> Result<Gained> {
        let known = if need.is_step_up || need.is_silent {
            self.state().found.clone()
        } else {
            None
        };
        let found = match known {
            Some(found) => found,
            None => self.find(&need).await?,
        };
        let granted = {
            let state = self.state();
            let scope = state.tokens.as_ref().and_then(|one| one.text("scope"));
            scope.map(str::to_owned)
        };
        let client = self.known_client(&found).await?;
        if need.may_refresh && self.find_stored().await? {
            return Ok(Gained::Refreshed);
        }
        if need.may_refresh
            && let Some(client) = &client
            && self.refresh(&found, client).await?
        {
            return Ok(Gained::Refreshed);
        }
        if need.is_silent {
            self.state().tokens = None;
            return Ok(Gained::Nothing);
        }
        let is_personal = matches!(self.settings.grant, Grant::AuthorizationCode);
        let scope = scope::select(Wishes {
            challenged: need.scope.as_deref(),
            configured: self.settings.scope.as_deref(),
            granted: granted.as_deref().filter(|_| need.is_step_up),
            resource: found.resource.as_ref(),
            server: &found.server,
            wants_refresh: is_personal && self.uses_refresh(),
        });
        let key = self.key(&found, &need).await?;
        let tokens = self.grant(&found, client, scope.clone(), key).await?;
        self.keep(tokens, scope).await?;
        Ok(Gained::Authorized)
    }

    fn uses_refresh(&self) -> bool {
        let grants = self.settings.client_metadata.list("grant_types");
        grants.is_none_or(|grants| grants.contains(&"refresh_token"))
    }

    /// Discovers the authorization server.
    async fn find(&self, need: &Need) -> Result<Arc<Found>> {
        if let Some(server) = &self.settings.endpoints {
            let found = Arc::new(Found {
                resource: None,
                issuer: server.text("issuer").unwrap_or_default().to_owned(),
                server: server.clone(),
                // Servers without metadata know no resources.
                indicator: None,
            });
            self.state().found = Some(Arc::clone(&found));
            return Ok(found);
        }
        let resource = if self.settings.is_issuer_fixed {
            None
        } else {
            self.resource_metadata(need.metadata.as_deref()).await?
        };
        if !self.settings.is_issuer_fixed {
            self.check_resource(resource.as_ref(), need.target.as_ref())
                .await?;
        }
        let issuers = self.issuers(resource.as_ref())?;
        let mut server = None;
        for issuer in issuers.iter().take(MAXIMUM_ISSUERS) {
            if let Some(metadata) = self.server_metadata(issuer).await? {
                check_issuer(&metadata, issuer)?;
                server = Some(metadata);
                break;
            }
        }
        let is_old = resource.is_none() && self.settings.issuer.is_none();
        let server = match server {
            Some(server) => server,
            None if is_old => default_endpoints(&self.server),
            None => {
                return Err(refused(format!(
                    "{} is protected by the authorization server {}, which publishes no metadata \
                     (neither oauth-authorization-server nor openid-configuration)",
                    self.place(),
                    issuers.join(", ")
                )));
            }
        };
        let issuer = server.text("issuer").unwrap_or_default().to_owned();
        let is_told = |revision: &str| revision >= RESOURCE_REVISION;
        let is_sent = !is_old || need.revision.as_deref().is_some_and(is_told);
        let indicator = if let Some(metadata) = &resource {
            metadata.text("resource").map(str::to_owned)
        } else {
            is_sent.then(|| resource_of(&self.server))
        };
        let found = Arc::new(Found {
            resource,
            server,
            issuer,
            indicator,
        });
        self.state().found = Some(Arc::clone(&found));
        Ok(found)
    }

    async fn resource_metadata(&self, named: Option<&str>) -> Result<Option<Document>> {
        let mut failure = None;
        for location in resource_locations(&self.server, named) {
            if let Err(refusal) = metadata_location(&self.server, &location) {
                failure = Some(refusal);
                continue;
            }
            match self.exchange.get(&location).await {
                Ok(answer) if answer.status.is_success() => {
                    let metadata = answer.document().filter(|found| {
                        let servers = found.list("authorization_servers");
                        found.has("resource") && servers.is_some_and(|all| !all.is_empty())
                    });
                    if metadata.is_some() {
                        return Ok(metadata);
                    }
                }
                Ok(answer) if answer.is_server_failure() => {
                    failure = Some(refused(format!(
                        "the metadata of {} cannot be read: {}",
                        self.place(),
                        answer.complaint(&[])
                    )));
                }
                Ok(_) => {}
                Err(cause) => failure = Some(cause),
            }
        }
        // Only a server that answers tells that it has none.
        failure.map_or(Ok(None), Err)
    }

    async fn check_resource(
        &self,
        metadata: Option<&Document>,
        target: Option<&Url>,
    ) -> Result<()> {
        let resource = metadata.and_then(|metadata| metadata.text("resource"));
        if self.settings.checks_resource {
            let server = self.settings.server_url.clone();
            let resource = resource.map(str::to_owned);
            return self.callbacks.check_resource(server, resource).await;
        }
        let Some(resource) = resource else {
            return Ok(());
        };
        // Some give the server's origin alone as its URL.
        if target.is_some_and(|target| check_resource(target, resource).is_ok()) {
            return Ok(());
        }
        check_resource(&self.server, resource)
    }

    /// The authorization servers that may be asked.
    fn issuers(&self, resource: Option<&Document>) -> Result<Vec<String>> {
        let named = match resource {
            Some(metadata) => metadata.list("authorization_servers").unwrap_or_default(),
            None => Vec::new(),
        };
        let mut named: Vec<String> = named.into_iter().map(str::to_owned).collect();
        let Some(own) = &self.settings.issuer else {
            if named.is_empty() {
                named.push(origin(&self.server));
            }
            return Ok(named);
        };
        if named.is_empty() || named.iter().any(|one| is_same_issuer(one, own)) {
            return Ok(vec![own.clone()]);
        }
        Err(refused(format!(
            "{} is protected by the authorization server {}, and the credentials are for {own} \
             alone (issuer)",
            self.place(),
            named.join(", ")
        )))
    }

    async fn server_metadata(&self, issuer: &str) -> Result<Option<Document>> {
        let issuer = endpoint(&self.server, issuer, "authorization server")?;
        let mut failure = None;
        for location in server_locations(&issuer) {
            match self.exchange.get(&location).await {
                Ok(answer) if answer.status.is_success() => {
                    let metadata = answer
                        .document()
                        .filter(|found| found.has("token_endpoint"));
                    if metadata.is_some() {
                        return Ok(metadata);
                    }
                }
                Ok(answer) if answer.is_server_failure() => {
                    failure = Some(refused(format!(
                        "the metadata of the authorization server {} cannot be read: {}",
                        origin(&issuer),
                        answer.complaint(&[])
                    )));
                }
                Ok(_) => {}
                Err(cause) => return Err(cause),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Refuses to show the user's client to another issuer than before: it knows neither the client
    /// nor what to keep secret of it.
    fn bind(&self, client: &Document, issuer: &str) -> Result<()> {
        let mut state = self.state();
        let before = client.text("issuer").or(state.issuer.as_deref());
        if let Some(before) = before.filter(|before| !is_same_issuer(before, issuer)) {
            return Err(refused(format!(
                "{} is protected by the authorization server {issuer} now, and the client is one of \
                 {before}; register one there, and give it instead",
                self.place()
            )));
        }
        state.issuer = Some(issuer.to_owned());
        Ok(())
    }

    /// The client that the authorization server knows, and none that another one knows.
    async fn known_client(&self, found: &Found) -> Result<Option<Document>> {
        if let Some(client) = &self.settings.client {
            self.bind(client, &found.issuer)?;
            return Ok(Some(client.clone()));
        }
        let url = self.settings.client_metadata_url.as_deref();
        let fits = |client: &Document| client::belongs_to(client, &found.issuer, url);
        let held = self.state().client.clone();
        if let Some(client) = held.clone().filter(fits) {
            return Ok(Some(client));
        }
        let kept = self.storage.client(Some(&found.issuer)).await?.filter(fits);
        let mut state = self.state();
        if held.is_some() {
            // The tokens came from the other one.
            state.tokens = None;
        }
        state.client.clone_from(&kept);
        Ok(kept)
    }

    /// Uses the refresh token, if there is one; false leaves it to the grant.
    async fn refresh(&self, found: &Found, client: &Document) -> Result<bool> {
        let Some(tokens) = self.state().tokens.clone() else {
            return Ok(false);
        };
        if self.adopt(&tokens).await? {
            return Ok(true);
        }
        let Some(refresh_token) = tokens.text("refresh_token") else {
            return Ok(false);
        };
        let key = self.state().key.clone().filter(|_| is_bound(&tokens));
        let form = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh_token.to_owned()),
        ];
        let (answer, secrets) = self
            .token(found, Some(client), form, key.as_deref())
            .await?;
        if answer.is_server_failure() {
            return Err(self.no_token(&answer, &secrets));
        }
        let Some(mut fresh) = self.tokens_in(&answer, &secrets).ok() else {
            // Whoever used it first may have left what came of it.
            if self.adopt(&tokens).await? {
                return Ok(true);
            }
            if let Some(tokens) = &mut self.state().tokens {
                tokens.remove("refresh_token");
            }
            return Ok(false);
        };
        fresh.set_default("refresh_token", refresh_token);
        let scope = tokens.text("scope").map(str::to_owned);
        self.keep(fresh, scope).await?;
        Ok(true)
    }

    /// Takes tokens that another process has got where there were none.
    async fn find_stored(&self) -> Result<bool> {
        if self.state().tokens.is_some() {
            return Ok(false);
        }
        let stored = self.storage.tokens().await?;
        // Those that are bound to a key are nothing without it.
        let Some(stored) = stored.filter(|tokens| !is_bound(tokens)) else {
            return Ok(false);
        };
        let is_usable = stored.has("access_token") && !has_expired(&stored);
        self.state().tokens = Some(stored);
        Ok(is_usable)
    }

    /// Takes tokens that another process has renewed meanwhile.
    async fn adopt(&self, held: &Document) -> Result<bool> {
        let Some(stored) = self.storage.tokens().await? else {
            return Ok(false);
        };
        let is_newer = stored.has("access_token")
            && stored.text("access_token") != held.text("access_token")
            && !has_expired(&stored);
        if is_newer {
            self.state().tokens = Some(stored);
        }
        Ok(is_newer)
    }

    /// The key that tokens are bound to, where they are.
    async fn key(&self, found: &Found, need: &Need) -> Result<Option<Arc<DpopKey>>> {
        let is_required = |metadata: &Document| metadata.flag("dpop_bound_access_tokens_required");
        let is_wanted = self
            .settings
            .dpop
            .unwrap_or_else(|| need.wants_dpop || found.resource.as_ref().is_some_and(is_required));
        if !is_wanted {
            return Ok(None);
        }
        let taken = found.server.list("dpop_signing_alg_values_supported");
        if let Some(taken) = taken.filter(|taken| !taken.contains(&"ES256")) {
            return Err(refused(format!(
                "the authorization server {} takes DPoP proofs with {} alone, and not with ES256",
                found.issuer,
                taken.join(", ")
            )));
        }
        if let Some(key) = self.state().key.clone() {
            return Ok(Some(key));
        }
        let key = Arc::new(DpopKey::generate()?);
        if let Some(private) = key.private() {
            self.storage.set_key(private.to_owned()).await?;
        }
        self.state().key = Some(Arc::clone(&key));
        Ok(Some(key))
    }

    /// The tokens of an answer.
    pub(super) fn tokens_in(&self, answer: &Answer, secrets: &[String]) -> Result<Document> {
        let tokens = answer
            .document()
            .filter(|found| answer.status.is_success() && found.has("access_token"));
        let Some(mut tokens) = tokens else {
            return Err(self.no_token(answer, secrets));
        };
        let kind = match tokens.text("token_type").unwrap_or("Bearer") {
            kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
            kind if kind.eq_ignore_ascii_case("dpop") => "DPoP",
            other => {
                return Err(Error::new(
                    ErrorKind::OAuthToken,
                    format!(
                        "the authorization server of {} gave a token of type {other:?}; Bearer and \
                         DPoP can be used",
                        self.place()
                    ),
                ));
            }
        };
        tokens.set("token_type", kind);
        if let Some(lifetime) = tokens.seconds("expires_in") {
            tokens.set("expires_at", now().saturating_add(lifetime));
        }
        Ok(tokens)
    }

    pub(super) fn no_token(&self, answer: &Answer, secrets: &[String]) -> Error {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        Error::new(
            ErrorKind::OAuthToken,
            format!(
                "the authorization server of {} gave no token: {}",
                self.place(),
                answer.complaint(&secrets)
            ),
        )
    }

    /// Uses new tokens from now on, and keeps them.
    async fn keep(&self, mut tokens: Document, scope: Option<String>) -> Result<()> {
        if self.settings.dpop == Some(true) && !is_bound(&tokens) {
            return Err(Error::new(
                ErrorKind::OAuthToken,
                format!(
                    "the authorization server of {} gave a bearer token, and dpop asks for one that \
                     is bound to a key",
                    self.place()
                ),
            ));
        }
        if let Some(scope) = scope {
            // What is left out was granted as it was asked for (RFC 6749, section 5.1).
            tokens.set_default("scope", scope);
        }
        self.state().tokens = Some(tokens.clone());
        self.storage.set_tokens(tokens).await
    }

    /// An endpoint of the authorization server.
    pub(super) fn endpoint(&self, found: &Found, name: &str) -> Result<Url> {
        let what = name.replace('_', " ");
        let Some(named) = found.server.text(name) else {
            return Err(refused(format!(
                "the authorization server {} has no {what}",
                found.issuer
            )));
        };
        let url = endpoint(&self.server, named, &what)?;
        let is_elsewhere = self.settings.is_issuer_fixed
            && Url::parse(&found.issuer).is_ok_and(|issuer| issuer.origin() != url.origin());
        if is_elsewhere {
            return Err(refused(format!(
                "the {what} at {} is not where its issuer is, {}",
                origin(&url),
                found.issuer
            )));
        }
        Ok(url)
    }
}
