//! The grants: what is asked of the person, the identity provider and the token endpoint.

use tokio::sync::watch;

use super::client::{self, Method};
use super::discovery::{
    check_callback_issuer, check_issuer, endpoint, refused, resource_of, server_locations,
};
use super::document::Document;
use super::exchange::{Answer, sentence};
use super::keys::{DpopKey, is_same_secret, random_text, sha256};
use super::provider::{Found, Inner};
use super::scope::OFFLINE;
use super::settings::{Grant, IdentityProvider};
use crate::error::{Error, ErrorKind, Result};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The fields of a form that may be shown.
const PLAIN: [&str; 10] = [
    "grant_type",
    "client_id",
    "redirect_uri",
    "resource",
    "scope",
    "audience",
    "client_assertion_type",
    "requested_token_type",
    "subject_token_type",
    "response_type",
];

type Form = Vec<(&'static str, String)>;

/// While it lives, a person is being asked.
struct Asking<'a>(&'a watch::Sender<bool>);

impl<'a> Asking<'a> {
    fn begin(asks: &'a watch::Sender<bool>) -> Self {
        asks.send_replace(true);
        Self(asks)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

fn secrets_of(form: &Form) -> Vec<String> {
    form.iter()
        .filter(|(name, _)| !PLAIN.contains(name))
        .map(|(_, value)| value.clone())
        .collect()
}

fn add_scope(form: &mut Form, scope: Option<String>) {
    form.extend(scope.map(|scope| ("scope", scope)));
}

fn with_assertion(assertion: String) -> Form {
    vec![
        ("grant_type", JWT_BEARER.to_owned()),
        ("assertion", assertion),
    ]
}

impl Inner {
    /// Gets tokens without a refresh token.
    pub(super) async fn grant(
        &self,
        found: &Found,
        client: Option<Document>,
        scope: Option<String>,
        key: Option<std::sync::Arc<DpopKey>>,
    ) -> Result<Document> {
        let key = key.as_deref();
        let mut form: Form = match &self.settings.grant {
            Grant::AuthorizationCode => {
                self.callbacks.begin().await?;
                let client = self.usable_client(found, client, scope.as_deref()).await?;
                let form = self.ask_person(found, &client, scope, key).await?;
                return self.tokens(found, Some(&client), form, key).await;
            }
            Grant::ClientCredentials => vec![("grant_type", "client_credentials".to_owned())],
            Grant::JwtBearer => {
                let (audience, resource) = (found.issuer.clone(), self.resource(found));
                with_assertion(self.callbacks.assertion(audience, resource).await?)
            }
            Grant::EnterpriseManaged(provider) => {
                with_assertion(self.id_jag(found, provider, scope.clone()).await?)
            }
        };
        add_scope(&mut form, scope);
        self.tokens(found, client.as_ref(), form, key).await
    }

    fn resource(&self, found: &Found) -> String {
        let indicator = found.indicator.clone();
        indicator.unwrap_or_else(|| resource_of(&self.server))
    }

    async fn tokens(
        &self,
        found: &Found,
        client: Option<&Document>,
        form: Form,
        key: Option<&DpopKey>,
    ) -> Result<Document> {
        let (answer, secrets) = self.token(found, client, form, key).await?;
        self.tokens_in(&answer, &secrets)
    }

    /// Asks the token endpoint; gives the answer, and what it must not be shown with.
    pub(super) async fn token(
        &self,
        found: &Found,
        client: Option<&Document>,
        mut form: Form,
        key: Option<&DpopKey>,
    ) -> Result<(Answer, Vec<String>)> {
        let url = self.endpoint(found, "token_endpoint")?;
        form.extend(found.indicator.clone().map(|one| ("resource", one)));
        let mut authorization = None;
        if let Some(client) = client {
            authorization = self.authenticate(found, client, &mut form).await?;
        }
        let mut secrets = secrets_of(&form);
        secrets.extend(
            authorization
                .as_deref()
                .map(|text| text["Basic ".len()..].to_owned()),
        );
        secrets.extend(client.and_then(|one| Some(one.text("client_secret")?.to_owned())));
        let mut has_new_nonce = false;
        loop {
            let nonce = self.nonce(&url);
            let proof = key
                .map(|key| key.proof("POST", &url, None, nonce.as_deref()))
                .transpose()?;
            let answer = self
                .exchange
                .post_form(&url, &form, authorization.as_deref(), proof.as_deref())
                .await?;
            let is_new = self.remember_nonce(&url, &answer.headers);
            let wants_nonce = key.is_some()
                && !answer.status.is_success()
                && answer.error_code().as_deref() == Some("use_dpop_nonce");
            if !wants_nonce || !is_new || has_new_nonce {
                return Ok((answer, secrets));
            }
            has_new_nonce = true;
        }
    }

    /// Adds what proves who the client is: to the form, or as the header that comes back.
    async fn authenticate(
        &self,
        found: &Found,
        client: &Document,
        form: &mut Form,
    ) -> Result<Option<String>> {
        let asked = self
            .settings
            .client_metadata
            .text("token_endpoint_auth_method");
        let id = client.text("client_id").unwrap_or_default().to_owned();
        let secret = client.text("client_secret").unwrap_or_default().to_owned();
        match client::method(client, asked, &found.server)? {
            Method::Basic => return Ok(Some(client::basic(&id, &secret))),
            Method::Post => form.extend([("client_id", id), ("client_secret", secret)]),
            Method::None => {
                if !id.is_empty() {
                    form.push(("client_id", id));
                }
            }
            Method::PrivateKeyJwt => {
                // The audience is the issuer, not the endpoint (RFC 7523bis).
                let audience = found.issuer.clone();
                let assertion = self
                    .callbacks
                    .assertion(audience, self.resource(found))
                    .await?;
                form.push(("client_assertion", assertion));
                form.push(("client_assertion_type", CLIENT_ASSERTION.to_owned()));
            }
        }
        Ok(None)
    }

    fn redirect_uri(&self) -> Result<String> {
        let redirects = self.settings.client_metadata.list("redirect_uris");
        redirects
            .unwrap_or_default()
            .first()
            .map(|first| (*first).to_owned())
            .ok_or_else(|| refused("client_metadata names no redirect_uris to come back to"))
    }

    /// The client that a person is asked for: the known one, its document, or a new one.
    async fn usable_client(
        &self,
        found: &Found,
        known: Option<Document>,
        scope: Option<&str>,
    ) -> Result<Document> {
        let redirect = self.redirect_uri()?;
        if let Some(client) = known.filter(|one| client::takes_redirect(one, &redirect)) {
            return Ok(client);
        }
        let reads_documents = found.server.flag("client_id_metadata_document_supported");
        let client = match &self.settings.client_metadata_url {
            Some(url) if reads_documents => {
                let mut client = Document::default();
                client.set("client_id", url.clone());
                client.set("token_endpoint_auth_method", "none");
                client.set("redirect_uris", vec![redirect]);
                client.set("issuer", found.issuer.clone());
                client
            }
            _ => self.register(found, &redirect, scope).await?,
        };
        self.state().client = Some(client.clone());
        self.storage.set_client(client.clone()).await?;
        Ok(client)
    }

    async fn register(
        &self,
        found: &Found,
        redirect: &str,
        scope: Option<&str>,
    ) -> Result<Document> {
        let failed = |sentence: String| Error::new(ErrorKind::OAuthRegistration, sentence);
        let issuer = &found.issuer;
        if !found.server.has("registration_endpoint") {
            return Err(failed(format!(
                "the authorization server {issuer} registers no clients: register one there, and \
                 give it with client_info, or put it into the token storage"
            )));
        }
        let url = self.endpoint(found, "registration_endpoint")?;
        let mut wanted = self.settings.client_metadata.clone();
        wanted.set_default("grant_types", vec!["authorization_code", "refresh_token"]);
        wanted.set_default("response_types", vec!["code"]);
        wanted.set_default("application_type", client::application_type(redirect));
        if let Some(method) = client::method_to_register(&found.server) {
            wanted.set_default("token_endpoint_auth_method", method);
        }
        if let Some(scope) = scope {
            wanted.set("scope", scope);
        }
        let answer = self.exchange.post_json(&url, &wanted).await?;
        let client = answer
            .document()
            .filter(|found| answer.status.is_success() && found.has("client_id"));
        let Some(mut client) = client else {
            return Err(failed(format!(
                "the authorization server {issuer} did not register this client: {}",
                answer.complaint(&[])
            )));
        };
        // What the answer leaves out is as it was asked for.
        if let Some(method) = wanted.text("token_endpoint_auth_method") {
            client.set_default("token_endpoint_auth_method", method);
        }
        client.set("redirect_uris", vec![redirect]);
        // Ours alone to say: a server could name another one.
        client.set("issuer", issuer.clone());
        if client::method(&client, None, &found.server)? == Method::PrivateKeyJwt {
            return Err(failed(format!(
                "the authorization server {issuer} registered this client for private_key_jwt, and \
                 it has no key"
            )));
        }
        Ok(client)
    }

    /// Takes the person to the authorization server and back; gives the form for the token.
    async fn ask_person(
        &self,
        found: &Found,
        client: &Document,
        scope: Option<String>,
        key: Option<&DpopKey>,
    ) -> Result<Form> {
        self.check_pkce(found)?;
        let redirect = self.redirect_uri()?;
        let (verifier, state) = (random_text()?, random_text()?);
        let mut url = self.endpoint(found, "authorization_endpoint")?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client.text("client_id").unwrap_or_default())
                .append_pair("redirect_uri", &redirect)
                .append_pair("state", &state)
                .append_pair("code_challenge", &sha256(&verifier))
                .append_pair("code_challenge_method", "S256");
            if let Some(resource) = &found.indicator {
                query.append_pair("resource", resource);
            }
            if let Some(scope) = &scope {
                query.append_pair("scope", scope);
                if scope.split_whitespace().any(|word| word == OFFLINE) {
                    // OpenID Connect gives a refresh token for nothing less.
                    query.append_pair("prompt", "consent");
                }
            }
            if let Some(key) = key {
                query.append_pair("dpop_jkt", &key.thumbprint());
            }
        }
        let answer = {
            let _asking = Asking::begin(&self.asks);
            self.callbacks.redirect(url.into()).await?;
            self.callbacks.callback().await?
        };
        if !is_same_secret(answer.text("state").unwrap_or_default(), &state) {
            return Err(refused(
                "the answer to the authorization request is not to the request that was made \
                 (state)",
            ));
        }
        check_callback_issuer(&found.server, answer.text("iss"))?;
        if let Some(error) = answer.text("error") {
            let description = answer.text("error_description");
            let description = description.map_or_else(String::new, |text| format!(" ({text})"));
            return Err(refused(format!(
                "the authorization server {} refused: {}",
                found.issuer,
                sentence(&format!("{error}{description}"))
            )));
        }
        let code = answer
            .text("code")
            .ok_or_else(|| refused("the answer to the authorization request holds no code"))?;
        Ok(vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ])
    }

    /// Refuses a server that does not check who comes with the code.
    fn check_pkce(&self, found: &Found) -> Result<()> {
        let methods = found.server.list("code_challenge_methods_supported");
        let is_declared = match &methods {
            Some(methods) => methods.contains(&"S256"),
            None => self.settings.allows_undeclared_pkce || found.resource.is_none(),
        };
        if is_declared {
            return Ok(());
        }
        Err(refused(format!(
            "the metadata of the authorization server {} does not say that it checks PKCE with S256 \
             (code_challenge_methods_supported), without which the specification forbids to go on; \
             allow_undeclared_pkce=True takes a server that leaves it out",
            found.issuer
        )))
    }

    /// Has the identity provider turn the person's token into an assertion for the server.
    async fn id_jag(
        &self,
        found: &Found,
        provider: &IdentityProvider,
        scope: Option<String>,
    ) -> Result<String> {
        let named = match &provider.token_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => self.provider_endpoint(provider).await?,
        };
        let url = endpoint(
            &self.server,
            &named,
            "token endpoint of the identity provider",
        )?;
        let token = self.callbacks.subject_token().await?;
        let mut form: Form = vec![
            ("grant_type", TOKEN_EXCHANGE.to_owned()),
            ("requested_token_type", ID_JAG.to_owned()),
            ("audience", found.issuer.clone()),
            ("resource", self.resource(found)),
            ("subject_token", token),
            ("subject_token_type", provider.subject_token_type.clone()),
        ];
        add_scope(&mut form, scope);
        let id = &provider.client_id;
        let secret = provider.client_secret.as_deref();
        let authorization = secret.map(|secret| client::basic(id, secret));
        if authorization.is_none() {
            form.push(("client_id", id.clone()));
        }
        let answer = self
            .exchange
            .post_form(&url, &form, authorization.as_deref(), None)
            .await?;
        let exchanged = answer.document().filter(|found| {
            let kind = found.text("issued_token_type");
            answer.status.is_success() && kind.is_none_or(|kind| kind == ID_JAG)
        });
        if let Some(assertion) = exchanged.as_ref().and_then(|one| one.text("access_token")) {
            return Ok(assertion.to_owned());
        }
        let mut secrets = secrets_of(&form);
        secrets.extend(secret.map(str::to_owned));
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        Err(Error::new(
            ErrorKind::OAuthToken,
            format!(
                "the identity provider gave no assertion (ID-JAG) for the authorization server {}: \
                 {}",
                found.issuer,
                answer.complaint(&secrets)
            ),
        ))
    }

    async fn provider_endpoint(&self, provider: &IdentityProvider) -> Result<String> {
        let issuer = provider.issuer.as_deref().unwrap_or_default();
        let url = endpoint(&self.server, issuer, "identity provider")?;
        for location in server_locations(&url) {
            let answer = self.exchange.get(&location).await?;
            let metadata = answer.document().filter(|_| answer.status.is_success());
            if let Some(metadata) = metadata {
                check_issuer(&metadata, issuer)?;
                if let Some(endpoint) = metadata.text("token_endpoint") {
                    return Ok(endpoint.to_owned());
                }
            }
        }
        Err(refused(format!(
            "the identity provider {issuer} publishes no metadata with a token endpoint"
        )))
    }
}
