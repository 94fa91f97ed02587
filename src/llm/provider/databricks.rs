//! Model serving of Databricks: <https://docs.databricks.com/machine-learning/model-serving>. OpenAI's chat
//! completions, where Claude's thoughts are parts of the content.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use url::Url;

use super::authorize::token::{Bearer, Grant};
use super::openai::chat_completions_url;
use super::service::{Asked, Authentication, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

const CLIENT: (&str, &str) = ("client_id", "DATABRICKS_CLIENT_ID");
const SECRET: (&str, &str) = ("client_secret", "DATABRICKS_CLIENT_SECRET");

/// Chat completions at `{base}/serving-endpoints/chat/completions`.
#[derive(Debug)]
pub struct Databricks;

impl Service for Databricks {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&[CLIENT.0, SECRET.0]]
    }

    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Chat
    }

    /// The SDK of Databricks takes a host without `https://` too.
    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let Some(host) = asked.variable("DATABRICKS_HOST") else {
            return Err(asked.refusal(
                ErrorKind::Configuration,
                "databricks needs to know where the workspace is: give the api_base argument, or set \
                 DATABRICKS_API_BASE or DATABRICKS_HOST",
            ));
        };
        Ok(Some(if host.contains("://") {
            host
        } else {
            format!("https://{host}")
        }))
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/').to_owned();
        if path.ends_with("/invocations") {
            return Ok(base);
        }
        let base = if path.is_empty() {
            join(base, "serving-endpoints")
        } else {
            base
        };
        Ok(chat_completions_url(base))
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        let is_given = |key: &String| asked.settings.api_key.as_ref() == Some(key);
        let is_asked = asked.option(SECRET.0).is_some();
        match key {
            Some(key) if is_given(&key) || !is_asked => Ok(Authentication::Bearer(key)),
            _ => match client(asked)? {
                Some(found) => Ok(found),
                None if asked.needs_key() => Err(nothing(asked)),
                None => Ok(Authentication::Nothing),
            },
        }
    }

    fn adapts(&self) -> bool {
        true
    }

    fn adapt(&self, model: &str, body: &mut Map<String, Value>) {
        if model.contains("claude") {
            think(body);
        }
        let messages = body.get_mut("messages").and_then(Value::as_array_mut);
        for message in messages.into_iter().flatten() {
            if let Some(message) = message.as_object_mut() {
                put_thoughts_back(message);
            }
        }
    }
}

/// Tokens of a service principal, which the workspace itself gives.
fn client(asked: &Asked<'_>) -> Result<Option<Authentication>, Error> {
    let setting = |(option, variable): (&str, &str)| asked.setting(&[option], &[variable]);
    let (Some(id), Some(secret)) = (setting(CLIENT), setting(SECRET)) else {
        return Ok(None);
    };
    let base = asked.base()?;
    let Some(mut url) = base.and_then(|base| Url::parse(&base).ok()) else {
        return Ok(None);
    };
    url.set_path("/oidc/v1/token");
    url.set_query(None);
    let grant = Grant {
        url,
        form: vec![
            ("grant_type", "client_credentials".to_owned()),
            ("scope", "all-apis".to_owned()),
        ],
        basic: Some((id, secret)),
    };
    let secrets = grant.secrets();
    Ok(Some(Authentication::Each(
        Arc::new(Bearer::new(grant)),
        secrets,
    )))
}

fn nothing(asked: &Asked<'_>) -> Error {
    asked.refusal(
        ErrorKind::Authentication,
        "no API key for databricks: set the environment variable DATABRICKS_API_KEY or DATABRICKS_TOKEN or \
         give the api_key argument; or, for a service principal, client_id and client_secret \
         (DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET)",
    )
}

/// Claude has budgets in the place of efforts there.
fn think(body: &mut Map<String, Value>) {
    let Some(effort) = body.shift_remove("reasoning_effort") else {
        return;
    };
    let budget = match effort.as_str() {
        Some("minimal" | "low") => 1024,
        Some("medium") => 2048,
        Some("high" | "xhigh" | "max") => 4096,
        _ => return,
    };
    let room = body.get("max_tokens").and_then(Value::as_u64);
    if let Some(limit) = room.filter(|limit| *limit <= budget) {
        body.insert("max_tokens".to_owned(), Value::from(limit + budget));
    }
    body.entry("thinking")
        .or_insert_with(|| json!({ "type": "enabled", "budget_tokens": budget }));
}

/// Thoughts of an earlier turn stand among the content, with their signatures.
fn put_thoughts_back(message: &mut Map<String, Value>) {
    message.shift_remove("reasoning_content");
    let Some(Value::Array(blocks)) = message.shift_remove("thinking_blocks") else {
        return;
    };
    let mut content: Vec<Value> = blocks
        .into_iter()
        .filter(|block| block.get("signature").is_some())
        .map(|block| {
            let summary = json!({
                "type": "summary_text",
                "text": block.get("thinking"),
                "signature": block.get("signature"),
            });
            json!({ "type": "reasoning", "summary": [summary] })
        })
        .collect();
    if content.is_empty() {
        return;
    }
    match message.get_mut("content") {
        Some(Value::String(text)) if !text.is_empty() => {
            content.push(json!({ "type": "text", "text": text }));
        }
        Some(Value::Array(parts)) => content.append(parts),
        _ => {}
    }
    message.insert("content".to_owned(), Value::Array(content));
}
