//! IBM watsonx.ai: <https://cloud.ibm.com/apidocs/watsonx-ai#text-chat>. OpenAI's chat completions under
//! other URLs, in a project or a space, with a token that a key is exchanged for.

use std::sync::Arc;

use http::{HeaderName, header};
use serde_json::{Map, Value};
use url::Url;

use super::authorize::token::{Bearer, Grant};
use super::service::{Asked, Authentication, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

const OPTIONS: [&str; 6] = [
    "api_version",
    "project_id",
    "space_id",
    "watsonx_project",
    "watsonx_region_name",
    "zen_api_key",
];
/// The version of the API where nobody names one.
const DEFAULT_VERSION: &str = "2025-02-11";
/// Where keys are exchanged for tokens.
const IAM: &str = "https://iam.cloud.ibm.com/identity/token";
/// What stands before the id of a deployment in the place of a model.
const DEPLOYMENT: &str = "deployment/";

/// Chat at `{base}/ml/v1/text/chat`, streams at `chat_stream` beside it.
#[derive(Debug)]
pub struct Watsonx;

impl Service for Watsonx {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&OPTIONS]
    }

    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Chat
    }

    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let region = asked.setting(&["watsonx_region_name"], &["WATSONX_REGION", "WX_REGION"]);
        let Some(region) = region else {
            return Err(asked.refusal(
                ErrorKind::Configuration,
                "watsonx needs to know where it is: give the api_base argument or watsonx_region_name, or \
                 set WATSONX_URL, WATSONX_API_BASE or WATSONX_REGION",
            ));
        };
        Ok(Some(format!("https://{region}.ml.cloud.ibm.com")))
    }

    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
        let method = if streams { "chat_stream" } else { "chat" };
        let path = match asked.model.name.strip_prefix(DEPLOYMENT) {
            Some(id) => format!("ml/v1/deployments/{id}/text/{method}"),
            None => format!("ml/v1/text/{method}"),
        };
        let mut url = join(base, &path);
        if !url.query_pairs().any(|(name, _)| name == "version") {
            let version = asked.setting(&["api_version"], &["WATSONX_API_VERSION"]);
            let version = version.as_deref().unwrap_or(DEFAULT_VERSION);
            url.query_pairs_mut().append_pair("version", version);
        }
        Ok(url)
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        let is_given = asked.settings.api_key.is_some();
        if !is_given {
            if let Some(token) = asked.variable("WATSONX_TOKEN") {
                return Ok(Authentication::Bearer(token));
            }
            if let Some(key) = asked.setting(&["zen_api_key"], &["WATSONX_ZENAPIKEY"]) {
                let name: HeaderName = header::AUTHORIZATION;
                return Ok(Authentication::Header(name, format!("ZenApiKey {key}")));
            }
        }
        let Some(key) = key else {
            return if asked.needs_key() {
                Err(asked.no_key())
            } else {
                Ok(Authentication::Nothing)
            };
        };
        let place = asked.variable("WATSONX_IAM_URL");
        let url = Url::parse(place.as_deref().unwrap_or(IAM)).map_err(|cause| {
            let message = "WATSONX_IAM_URL is not a URL that can be called";
            let error = asked.refusal(ErrorKind::Configuration, message);
            error.with_source(cause)
        })?;
        let grant = Grant {
            url,
            form: vec![
                (
                    "grant_type",
                    "urn:ibm:params:oauth:grant-type:apikey".to_owned(),
                ),
                ("apikey", key),
            ],
            basic: None,
        };
        let secrets = grant.secrets();
        Ok(Authentication::Each(Arc::new(Bearer::new(grant)), secrets))
    }

    fn members(&self, asked: &Asked<'_>) -> Result<Map<String, Value>, Error> {
        let mut members = Map::new();
        // A deployment is in a space by itself.
        if asked.model.name.starts_with(DEPLOYMENT) {
            return Ok(members);
        }
        let project = asked.setting(
            &["project_id", "watsonx_project"],
            &["WATSONX_PROJECT_ID", "WX_PROJECT_ID"],
        );
        let space = asked.setting(
            &["space_id"],
            &[
                "WATSONX_DEPLOYMENT_SPACE_ID",
                "WATSONX_SPACE_ID",
                "WX_SPACE_ID",
            ],
        );
        let (name, id) = match (project, space) {
            (Some(project), _) => ("project_id", project),
            (None, Some(space)) => ("space_id", space),
            (None, None) => {
                return Err(asked.refusal(
                    ErrorKind::Configuration,
                    "watsonx needs to know the project or the space: give project_id or space_id, or set \
                     WATSONX_PROJECT_ID or WATSONX_SPACE_ID",
                ));
            }
        };
        members.insert("model_id".to_owned(), Value::from(asked.model.name.clone()));
        members.insert(name.to_owned(), Value::from(id));
        Ok(members)
    }

    fn adapts(&self) -> bool {
        true
    }

    fn adapt(&self, _model: &str, body: &mut Map<String, Value>) {
        // The model stands among the members, and what streams is another URL.
        for name in ["model", "stream", "stream_options"] {
            body.shift_remove(name);
        }
        if let Some(choice) = body.get("tool_choice").filter(|choice| choice.is_string()) {
            let choice = choice.clone();
            body.shift_remove("tool_choice");
            body.insert("tool_choice_option".to_owned(), choice);
        }
        let tools = body.get_mut("tools").and_then(Value::as_array_mut);
        for tool in tools.into_iter().flatten() {
            let function = tool.get_mut("function").and_then(Value::as_object_mut);
            if let Some(function) = function {
                function.shift_remove("strict");
            }
        }
    }
}
