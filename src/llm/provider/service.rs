//! What a kind of endpoint has of its own: its protocol, its URLs, its credentials. Owns [`Service`]
//! and [`Kind`]; one file beside this one for each kind.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use http::HeaderName;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::authorize::Authorizer;
use super::endpoint::Settings;
use super::{
    Provider, anthropic, azure, bedrock, cloudflare, cohere, databricks, gemini, huggingface,
    mistral, ollama, openai, ragflow, replicate, sagemaker, snowflake, vertex, watsonx,
};
use crate::error::{Error, ErrorContext, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// The kinds of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// OpenAI's API, or what is compatible with it.
    #[default]
    Openai,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google AI Studio.
    Gemini,
    /// Cohere's chat.
    Cohere,
    /// Mistral's API.
    Mistral,
    /// Cloudflare's Workers AI.
    Cloudflare,
    /// Ollama's own API.
    Ollama,
    /// Replicate's predictions.
    Replicate,
    /// Amazon Bedrock's Converse API.
    Bedrock,
    /// Chat endpoints of Amazon `SageMaker`.
    Sagemaker,
    /// Chats and agents of `RAGFlow`.
    Ragflow,
    /// Azure OpenAI.
    Azure,
    /// Azure AI Foundry.
    AzureAi,
    /// Databricks' model serving.
    Databricks,
    /// IBM watsonx.ai.
    Watsonx,
    /// The router of Hugging Face.
    HuggingFace,
    /// Snowflake's Cortex.
    Snowflake,
    /// Vertex AI.
    Vertex,
}

/// The options of all kinds.
fn all_options() -> &'static BTreeSet<&'static str> {
    static OPTIONS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
        let rows = super::all().iter();
        rows.flat_map(|provider| provider.kind.options()).collect()
    });
    &OPTIONS
}

impl Kind {
    /// Takes the options out of the arguments of a call, or out of `litellm_params`, for
    /// [`Settings::options`]. `take` gives an argument by its name and takes it away.
    ///
    /// Options that belong to another kind by their names are taken away too, and go nowhere: one set
    /// of arguments may serve several providers, and none gets the keys of another.
    pub fn take_options<E>(
        self,
        mut take: impl FnMut(&'static str) -> Result<Option<Value>, E>,
    ) -> Result<Map<String, Value>, E> {
        static UNMISTAKABLE: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let names = all_options().iter().copied();
            names.filter(|name| !AMBIGUOUS.contains(name)).collect()
        });
        let mut options = Map::new();
        for name in self.options() {
            if let Some(value) = take(name)? {
                options.insert(name.to_owned(), value);
            }
        }
        for name in UNMISTAKABLE.iter() {
            if !options.contains_key(*name) {
                take(name)?;
            }
        }
        Ok(options)
    }

    /// Whether any kind has an option of that name, so that there may be something to take.
    pub fn has_option(name: &str) -> bool {
        all_options().contains(name)
    }

    fn options(self) -> impl Iterator<Item = &'static str> {
        self.service().options().iter().copied().flatten().copied()
    }

    /// What it has of its own.
    pub fn service(self) -> &'static dyn Service {
        match self {
            Self::Openai => &openai::OpenAi,
            Self::Anthropic => &anthropic::Anthropic,
            Self::Gemini => &gemini::Gemini,
            Self::Cohere => &cohere::Cohere,
            Self::Mistral => &mistral::Mistral,
            Self::Cloudflare => &cloudflare::Cloudflare,
            Self::Ollama => &ollama::Ollama,
            Self::Replicate => &replicate::Replicate,
            Self::Bedrock => &bedrock::Bedrock,
            Self::Sagemaker => &sagemaker::SageMaker,
            Self::Ragflow => &ragflow::Ragflow,
            Self::Azure => &azure::Azure,
            Self::AzureAi => &azure::AzureAi,
            Self::Databricks => &databricks::Databricks,
            Self::Watsonx => &watsonx::Watsonx,
            Self::HuggingFace => &huggingface::HuggingFace,
            Self::Snowflake => &snowflake::Snowflake,
            Self::Vertex => &vertex::Vertex,
        }
    }
}

/// Names of options that other providers have, or may have, as parameters: they are taken from a
/// request to the kinds of endpoints whose options they are, and from no other. Every other option
/// says by its name whose it is, and most are secrets.
const AMBIGUOUS: [&str; 6] = [
    "account_id",
    "client_id",
    "model_id",
    "project_id",
    "space_id",
    "tenant_id",
];

/// How a request says who sends it.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Not at all.
    Nothing,
    /// `Authorization: Bearer …`.
    Bearer(String),
    /// The key as a header of its own.
    Header(HeaderName, String),
    /// By something that is made or signed for each request, and the secrets that may be in it.
    Each(Arc<dyn Authorizer>, Vec<String>),
}

/// One kind of endpoint.
pub trait Service: Debug + Sync {
    /// What it knows beside the parameters of a request, in lists of LiteLLM's names: regions,
    /// projects, versions, credentials.
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// The protocol that a model speaks.
    fn wire(&self, model: &ModelId) -> Wire;

    /// The name that the provider knows, for the one that stands behind the provider's in a model.
    fn model_name(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Where it is when neither an argument nor a variable of the row says it.
    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        Ok(asked.provider().default_base.map(str::to_owned))
    }

    /// The URL of one request. `base` is an http(s) URL with a host and without a fragment.
    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error>;

    /// The credentials. `key` is the argument, or the first variable of the row that is set.
    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        match (key, &asked.provider().key_header) {
            (Some(key), Some(name)) => Ok(Authentication::Header(name.clone(), key)),
            (Some(key), None) => Ok(Authentication::Bearer(key)),
            (None, _) if asked.needs_key() => Err(asked.no_key()),
            (None, _) => Ok(Authentication::Nothing),
        }
    }

    /// Members of every body that the endpoint asks for, which those of the caller win over.
    fn members(&self, _asked: &Asked<'_>) -> Result<Map<String, Value>, Error> {
        Ok(Map::new())
    }

    /// Whether [`Self::adapt`] changes anything.
    fn adapts(&self) -> bool {
        false
    }

    /// Changes the body of a chat completion where a row cannot say how. Pure.
    fn adapt(&self, _model: &str, _body: &mut Map<String, Value>) {}

    /// Headers of the protocol, which those of the caller win over.
    fn headers(&self, _asked: &Asked<'_>) -> Vec<(HeaderName, String)> {
        Vec::new()
    }
}

/// What is asked of a service: a model, with what the caller says and what the environment says.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The model.
    pub model: &'a ModelId,
    /// What the caller says.
    pub settings: &'a Settings,
    /// Variables.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Debug for Asked<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Asked")
            .field("model", &self.model.given)
            .finish_non_exhaustive()
    }
}

impl Asked<'_> {
    /// The row.
    pub fn provider(&self) -> &'static Provider {
        self.model.provider
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// The first of these variables that is set.
    pub fn first_variable<'n>(&self, names: &[&'n str]) -> Option<(&'n str, String)> {
        names
            .iter()
            .find_map(|name| Some((*name, self.variable(name)?)))
    }

    /// An option of the provider, as an argument.
    pub fn option(&self, name: &str) -> Option<String> {
        let value = self.settings.options.get(name)?;
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (!value.is_null() && !text.is_empty()).then_some(text)
    }

    /// An option of the provider: by one of these arguments, or else by one of these variables.
    pub fn setting(&self, options: &[&str], variables: &[&str]) -> Option<String> {
        let given = options.iter().find_map(|name| self.option(name));
        given.or_else(|| self.first_variable(variables).map(|(_, value)| value))
    }

    /// The base URL as the argument, a variable or the service says it.
    pub fn base(&self) -> Result<Option<String>, Error> {
        let provider = self.provider();
        let given = self.settings.api_base.clone();
        let found = given.or_else(|| {
            let found = self.first_variable(&provider.base_variables);
            found.map(|(_, base)| base)
        });
        match found {
            Some(base) => Ok(Some(base)),
            None => provider.kind.service().default_base(self),
        }
    }

    /// Whether a request without a key is refused: not if the caller says by a header who it is.
    pub fn needs_key(&self) -> bool {
        let own = self.provider().key_header.as_ref();
        let is_said = |name: &str| {
            ["authorization", "x-api-key", "api-key", "x-goog-api-key"]
                .into_iter()
                .chain(own.map(HeaderName::as_str))
                .any(|known| name.eq_ignore_ascii_case(known))
        };
        let headers = self.settings.headers.iter();
        self.provider().key_required && !headers.map(|(name, _)| name).any(|name| is_said(name))
    }

    /// There is no key: every place where one was looked for.
    pub fn no_key(&self) -> Error {
        let provider = self.provider();
        let variables = match provider.key_variables.as_slice() {
            [] => String::new(),
            names => format!("set the environment variable {} or ", names.join(" or ")),
        };
        self.refusal(
            ErrorKind::Authentication,
            format!(
                "no API key for {}: {variables}give the api_key argument",
                provider.name
            ),
        )
    }

    /// An error of this request.
    pub fn refusal(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, message).with_context(ErrorContext {
            provider: Some(self.provider().name.to_owned()),
            model: Some(self.model.given.clone()),
            ..ErrorContext::default()
        })
    }
}

/// `base` with more segments at the end of its path; its query is kept.
pub fn join(mut base: Url, path: &str) -> Url {
    let start = base.path().trim_end_matches('/').to_owned();
    base.set_path(&format!("{start}/{path}"));
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(kind: Kind) -> (Vec<String>, Vec<String>) {
        let names = [
            "aws_secret_access_key",
            "client_secret",
            "model_id",
            "project_id",
            "vertex_credentials",
        ];
        let mut left: Vec<&str> = names.to_vec();
        let options = kind.take_options(|name| {
            let place = left.iter().position(|known| *known == name);
            Ok::<_, Error>(place.map(|place| Value::from(left.remove(place))))
        });
        let left = left.into_iter().map(str::to_owned).collect();
        (
            options.unwrap().into_iter().map(|(name, _)| name).collect(),
            left,
        )
    }

    #[test]
    fn options_are_taken_by_the_kind_that_has_them_and_secrets_go_to_no_other() {
        let (options, left) = taken(Kind::Openai);
        assert!(options.is_empty(), "{options:?}");
        assert_eq!(left, ["model_id", "project_id"]);
        let (options, left) = taken(Kind::Bedrock);
        assert_eq!(options, ["aws_secret_access_key", "model_id"]);
        assert_eq!(left, ["project_id"]);
        let (options, left) = taken(Kind::Watsonx);
        assert_eq!(options, ["project_id"]);
        assert_eq!(left, ["model_id"]);
        let (options, left) = taken(Kind::Databricks);
        assert_eq!(options, ["client_secret"]);
        assert_eq!(left, ["model_id", "project_id"]);
    }
}
