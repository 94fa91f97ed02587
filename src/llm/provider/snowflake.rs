//! Snowflake's Cortex: <https://docs.snowflake.com/user-guide/snowflake-cortex/cortex-rest-api>. Claude by
//! Anthropic's messages, which say all that it can, the others by OpenAI's chat completions.

use http::HeaderName;
use url::Url;

use super::anthropic;
use super::service::{Asked, Authentication, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// The header that says what the token is.
const TOKEN_TYPE: &str = "x-snowflake-authorization-token-type";
/// Stands before a programmatic access token in the place of a key.
const PAT: &str = "pat/";
/// The variable that holds one.
const PAT_VARIABLE: &str = "SNOWFLAKE_PAT";

/// Cortex at `{account}/api/v2/cortex/v1`.
#[derive(Debug)]
pub struct Snowflake;

impl Service for Snowflake {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&["account_id"]]
    }

    fn wire(&self, model: &ModelId) -> Wire {
        if is_claude(model) {
            Wire::Anthropic
        } else {
            Wire::Chat
        }
    }

    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let Some(account) = asked.setting(&["account_id"], &["SNOWFLAKE_ACCOUNT_ID"]) else {
            return Err(asked.refusal(
                ErrorKind::Configuration,
                "snowflake needs to know the account: give account_id or the api_base argument, or set \
                 SNOWFLAKE_ACCOUNT_ID or SNOWFLAKE_API_BASE",
            ));
        };
        let is_name = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.');
        if !account.chars().all(is_name) {
            let message = "account_id (SNOWFLAKE_ACCOUNT_ID) is not the identifier of an account: it is \
                           one such as myorg-myaccount";
            return Err(asked.refusal(ErrorKind::Configuration, message));
        }
        Ok(Some(format!("https://{account}.snowflakecomputing.com")))
    }

    fn url(&self, base: Url, asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let method = if is_claude(asked.model) {
            "messages"
        } else {
            "chat/completions"
        };
        let path = base.path().trim_end_matches('/').to_owned();
        let start = if path.ends_with("/cortex/v1") {
            ""
        } else if path.ends_with("/api/v2") {
            "cortex/v1/"
        } else {
            "api/v2/cortex/v1/"
        };
        Ok(join(base, &format!("{start}{method}")))
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        match key {
            Some(key) => {
                let key = key.strip_prefix(PAT).unwrap_or(&key);
                Ok(Authentication::Bearer(key.to_owned()))
            }
            None if asked.needs_key() => Err(asked.no_key()),
            None => Ok(Authentication::Nothing),
        }
    }

    fn headers(&self, asked: &Asked<'_>) -> Vec<(HeaderName, String)> {
        let key = asked.settings.api_key.clone().filter(|key| !key.is_empty());
        let found = match key {
            Some(key) => Some(("api_key", key)),
            None => asked.first_variable(&asked.provider().key_variables),
        };
        let is_pat =
            found.is_some_and(|(source, key)| source == PAT_VARIABLE || key.starts_with(PAT));
        let kind = if is_pat {
            "PROGRAMMATIC_ACCESS_TOKEN"
        } else {
            "KEYPAIR_JWT"
        };
        let mut headers = vec![(HeaderName::from_static(TOKEN_TYPE), kind.to_owned())];
        if is_claude(asked.model) {
            let name = HeaderName::from_static(anthropic::VERSION_HEADER);
            headers.push((name, anthropic::VERSION.to_owned()));
        }
        headers
    }
}

fn is_claude(model: &ModelId) -> bool {
    model.name.starts_with("claude")
}
