//! Who asks: a key, a token of Microsoft Entra, or what such tokens are given for. What the caller says
//! goes before what variables say.

use std::sync::Arc;

use url::Url;

use crate::error::{Error, ErrorKind};
use crate::llm::provider::authorize::token::{Bearer, Grant};
use crate::llm::provider::service::{Asked, Authentication};

/// What tokens are for where nobody says.
const DEFAULT_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// Who gives them.
const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com";

/// What says whose credentials are meant.
pub(super) const OPTIONS: [&str; 7] = [
    "azure_ad_token",
    PASSWORD.0,
    "azure_scope",
    USER.0,
    CLIENT.0,
    SECRET.0,
    TENANT.0,
];

const TENANT: (&str, &str) = ("tenant_id", "AZURE_TENANT_ID");
const CLIENT: (&str, &str) = ("client_id", "AZURE_CLIENT_ID");
const SECRET: (&str, &str) = ("client_secret", "AZURE_CLIENT_SECRET");
const USER: (&str, &str) = ("azure_username", "AZURE_USERNAME");
const PASSWORD: (&str, &str) = ("azure_password", "AZURE_PASSWORD");

/// The credentials; `with_key` says how a key is sent.
pub(super) fn find(
    key: Option<String>,
    asked: &Asked<'_>,
    with_key: impl FnOnce(String) -> Authentication,
) -> Result<Authentication, Error> {
    let is_given = |key: &String| asked.settings.api_key.as_ref() == Some(key);
    if let Some(key) = key.clone().filter(is_given) {
        return Ok(with_key(key));
    }
    if let Some(token) = asked.option("azure_ad_token") {
        return Ok(Authentication::Bearer(token));
    }
    let is_asked = [SECRET, PASSWORD]
        .iter()
        .any(|(option, _)| asked.option(option).is_some());
    if is_asked {
        return grant(asked)?.ok_or_else(|| incomplete(asked));
    }
    if let Some(key) = key {
        return Ok(with_key(key));
    }
    let token = asked.first_variable(&["AZURE_AD_TOKEN", "AZURE_OPENAI_AD_TOKEN"]);
    if let Some((_, token)) = token {
        return Ok(Authentication::Bearer(token));
    }
    match grant(asked)? {
        Some(found) => Ok(found),
        None if asked.needs_key() => Err(nothing(asked)),
        None => Ok(Authentication::Nothing),
    }
}

/// Tokens for a client, or for a user; none where something is missing.
fn grant(asked: &Asked<'_>) -> Result<Option<Authentication>, Error> {
    let setting = |(option, variable): (&str, &str)| asked.setting(&[option], &[variable]);
    let (Some(tenant), Some(client)) = (setting(TENANT), setting(CLIENT)) else {
        return Ok(None);
    };
    let scope = asked.setting(&["azure_scope"], &["AZURE_SCOPE"]);
    let scope = scope.unwrap_or_else(|| DEFAULT_SCOPE.to_owned());
    let url = token_url(asked, &tenant)?;
    let grant = match (setting(SECRET), setting(USER), setting(PASSWORD)) {
        (Some(secret), _, _) => Grant::client_credentials(url, client, secret, scope),
        (None, Some(user), Some(password)) => Grant {
            url,
            form: vec![
                ("grant_type", "password".to_owned()),
                ("client_id", client),
                ("username", user),
                ("password", password),
                ("scope", scope),
            ],
            basic: None,
        },
        _ => return Ok(None),
    };
    let secrets = grant.secrets();
    Ok(Some(Authentication::Each(
        Arc::new(Bearer::new(grant)),
        secrets,
    )))
}

fn token_url(asked: &Asked<'_>, tenant: &str) -> Result<Url, Error> {
    let authority = asked.variable("AZURE_AUTHORITY_HOST");
    let mut authority = authority.unwrap_or_else(|| DEFAULT_AUTHORITY.to_owned());
    if !authority.contains("://") {
        authority.insert_str(0, "https://");
    }
    let mut url = Url::parse(&authority)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| {
            let message = "AZURE_AUTHORITY_HOST is not a URL that can be called: it is one such as \
                           https://login.microsoftonline.com";
            asked.refusal(ErrorKind::Configuration, message)
        })?;
    let start = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{start}/{tenant}/oauth2/v2.0/token"));
    Ok(url)
}

fn incomplete(asked: &Asked<'_>) -> Error {
    asked.refusal(
        ErrorKind::Authentication,
        "credentials of a client are incomplete: they are tenant_id, client_id and client_secret (or \
         AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET), or azure_username and \
         azure_password in the place of the last",
    )
}

/// Every place where credentials were looked for.
fn nothing(asked: &Asked<'_>) -> Error {
    let provider = asked.provider();
    asked.refusal(
        ErrorKind::Authentication,
        format!(
            "no API key for {}: set the environment variable {} or give the api_key argument. A token of \
             Microsoft Entra does as well: azure_ad_token or AZURE_AD_TOKEN, azure_ad_token_provider, or \
             tenant_id, client_id and client_secret (AZURE_TENANT_ID, AZURE_CLIENT_ID, \
             AZURE_CLIENT_SECRET)",
            provider.name,
            provider.key_variables.join(" or ")
        ),
    )
}
