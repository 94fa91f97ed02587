//! Vertex AI: Google's models, and those of others that Google runs.
//! <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rest>
//!
//! | module | owns |
//! |---|---|
//! | `credentials` | where tokens come from |

mod credentials;

use http::HeaderName;
use url::Url;

use super::gemini;
use super::service::{Asked, Authentication, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;
use credentials::Source;

const PROJECT_OPTIONS: [&str; 2] = ["vertex_project", "vertex_ai_project"];
const PROJECT_VARIABLE: &str = "VERTEXAI_PROJECT";
/// Variables of Google's libraries.
const PROJECT_VARIABLES: [&str; 2] = ["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"];
const LOCATION_OPTIONS: [&str; 2] = ["vertex_location", "vertex_ai_location"];
const LOCATION_VARIABLES: [&str; 3] = [
    "VERTEXAI_LOCATION",
    "VERTEX_LOCATION",
    "GOOGLE_CLOUD_LOCATION",
];

/// Models at Vertex AI.
#[derive(Debug)]
pub struct Vertex;

/// Whose model it is, and so what it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publisher {
    /// Gemini: generateContent.
    Google,
    /// Claude: the Messages API.
    Anthropic,
    /// Mistral's chat completions.
    Mistral,
    /// Others that Google runs, behind one endpoint with OpenAI's chat completions.
    Open,
    /// An endpoint of the project's own with OpenAI's chat completions.
    Endpoint,
}

impl Publisher {
    fn of(model: &str) -> Self {
        let starts = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
        if starts(&["projects/", "publishers/"]) {
            return Self::by_resource(model);
        }
        match model.strip_prefix("openai/") {
            Some(number) if is_number(number) => Self::Endpoint,
            _ if starts(&["claude", "anthropic/"]) => Self::Anthropic,
            _ if starts(&["mistral", "codestral"]) => Self::Mistral,
            _ if model.contains('/') && !starts(&["gemini/", "google/gemini"]) => Self::Open,
            _ => Self::Google,
        }
    }

    /// A full name: `projects/…/publishers/anthropic/models/…`.
    fn by_resource(model: &str) -> Self {
        let mut segments = model.split('/').skip_while(|word| *word != "publishers");
        match segments.nth(1) {
            Some("anthropic") => Self::Anthropic,
            Some("mistralai") => Self::Mistral,
            _ => Self::Google,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Mistral => "mistralai",
            Self::Google | Self::Open | Self::Endpoint => "google",
        }
    }

    /// What is new of Gemini comes to the second one first: Google's own SDK asks there.
    fn version(self) -> &'static str {
        match self {
            Self::Google => "v1beta1",
            _ => "v1",
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a name would lead to another resource than a model, as a part of a URL.
fn leaves_its_place(model: &str) -> bool {
    let dotted = model.to_ascii_lowercase().replace("%2e", ".");
    dotted
        .split(['/', '\\'])
        .any(|segment| matches!(segment, "." | ".."))
}

/// The name without what only says how it is spoken to.
fn bare(model: &str) -> &str {
    ["google/", "gemini/", "anthropic/", "mistralai/", "openai/"]
        .iter()
        .find_map(|prefix| model.strip_prefix(prefix))
        .unwrap_or(model)
}

/// The location: what the caller says, or where models of that kind are.
fn location(asked: &Asked<'_>) -> Result<String, Error> {
    let name = bare(&asked.model.name);
    let given = asked.setting(&LOCATION_OPTIONS, &LOCATION_VARIABLES);
    let location = given.unwrap_or_else(|| {
        // Newer ones are nowhere else at first.
        let is_global = name.starts_with("claude") || is_third_gemini(name);
        let default = if is_global { "global" } else { "us-central1" };
        default.to_owned()
    });
    // It becomes a part of the host.
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if location.bytes().all(is_name) {
        return Ok(location);
    }
    Err(asked.refusal(
        ErrorKind::Configuration,
        format!(
            "vertex_location (or {}) is {location:?}: a location is a word such as \"us-central1\", \
             \"global\" or \"eu\"",
            LOCATION_VARIABLES.join(", ")
        ),
    ))
}

/// Whether a Gemini is of the third generation or a later one.
fn is_third_gemini(name: &str) -> bool {
    let rest = name.strip_prefix("gemini-").unwrap_or_default();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u32>().is_ok_and(|major| major >= 3)
}

/// The project, by what says it most clearly.
fn project(asked: &Asked<'_>) -> Result<Option<String>, Error> {
    if let Some(project) = asked.setting(&PROJECT_OPTIONS, &[PROJECT_VARIABLE]) {
        return Ok(Some(project));
    }
    // An express key belongs to a project: those of the environment are another matter.
    if has_express_key(asked) {
        return Ok(None);
    }
    if let Some(project) = Source::given(asked)?.as_ref().and_then(Source::project) {
        return Ok(Some(project.to_owned()));
    }
    if let Some((_, project)) = asked.first_variable(&PROJECT_VARIABLES) {
        return Ok(Some(project));
    }
    Ok(Source::find(asked)?.project().map(str::to_owned))
}

/// Keys of Google's, which are no tokens.
fn is_express_key(key: &str) -> bool {
    ["AIza", "AQ."].iter().any(|start| key.starts_with(start))
}

fn has_express_key(asked: &Asked<'_>) -> bool {
    let given = asked.settings.api_key.clone().filter(|key| !key.is_empty());
    let variables = &asked.provider().key_variables;
    given
        .or_else(|| asked.first_variable(variables).map(|(_, key)| key))
        .is_some_and(|key| is_express_key(&key))
}

/// `projects/…/locations/…/`, or nothing where the key or the endpoint stands for the project.
fn parent(asked: &Asked<'_>, base: &Url) -> Result<String, Error> {
    if let Some(project) = project(asked)? {
        return Ok(format!(
            "projects/{project}/locations/{}/",
            location(asked)?
        ));
    }
    let host = base.host_str().unwrap_or_default();
    let is_google = host == "googleapis.com" || host.ends_with(".googleapis.com");
    if has_express_key(asked) || !is_google {
        return Ok(String::new());
    }
    Err(asked.refusal(
        ErrorKind::Configuration,
        format!(
            "{} needs to know the project: give vertex_project, set {PROJECT_VARIABLE}, {}, or give \
             credentials that name one (project_id or quota_project_id)",
            asked.provider().name,
            PROJECT_VARIABLES.join(" or ")
        ),
    ))
}

impl Service for Vertex {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&PROJECT_OPTIONS, &LOCATION_OPTIONS, &credentials::OPTIONS]
    }

    fn wire(&self, model: &ModelId) -> Wire {
        match Publisher::of(&model.name) {
            Publisher::Google => Wire::Gemini,
            Publisher::Anthropic => Wire::AnthropicOnVertex,
            Publisher::Mistral => Wire::Mistral,
            Publisher::Open | Publisher::Endpoint => Wire::Chat,
        }
    }

    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        if has_express_key(asked) && asked.setting(&LOCATION_OPTIONS, &[]).is_none() {
            return Ok(Some("https://aiplatform.googleapis.com".to_owned()));
        }
        let location = location(asked)?;
        Ok(Some(match location.as_str() {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            // Several regions of one part of the world.
            several if !several.contains('-') => {
                format!("https://aiplatform.{several}.rep.googleapis.com")
            }
            region => format!("https://{region}-aiplatform.googleapis.com"),
        }))
    }

    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
        let model = asked.model.name.as_str();
        if leaves_its_place(model) {
            let message = format!(
                "the model {model:?} is no name of a model: no segment of it may be \".\" or \"..\""
            );
            return Err(asked.refusal(ErrorKind::BadRequest, message));
        }
        let publisher = Publisher::of(model);
        let path = base.path().trim_end_matches('/');
        // A base may be the URL of the model, as proxies have it.
        let is_model = path.contains("/models/") || path.contains("/endpoints/");
        let url = if is_model {
            base
        } else {
            let last = path.rsplit('/').next().unwrap_or_default();
            let version = match last {
                "v1" | "v1beta1" => String::new(),
                _ => format!("{}/", publisher.version()),
            };
            let name = bare(model);
            let rest = match publisher {
                _ if model.starts_with("projects/") => model.to_owned(),
                _ if model.starts_with("publishers/") => {
                    format!("{}{model}", parent(asked, &base)?)
                }
                Publisher::Open => format!("{}endpoints/openapi", parent(asked, &base)?),
                Publisher::Endpoint => format!("{}endpoints/{name}", parent(asked, &base)?),
                // A model that was tuned is asked by the number of its endpoint.
                Publisher::Google if is_number(name) => {
                    format!("{}endpoints/{name}", parent(asked, &base)?)
                }
                _ => format!(
                    "{}publishers/{}/models/{name}",
                    parent(asked, &base)?,
                    publisher.name()
                ),
            };
            join(base, &format!("{version}{rest}"))
        };
        Ok(match publisher {
            Publisher::Google => gemini::with_method(url, streams),
            Publisher::Open | Publisher::Endpoint => join(url, "chat/completions"),
            Publisher::Anthropic | Publisher::Mistral => {
                let method = if streams {
                    "streamRawPredict"
                } else {
                    "rawPredict"
                };
                let mut url = url;
                url.set_path(&format!("{}:{method}", url.path()));
                url
            }
        })
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        match key {
            Some(key) if is_express_key(&key) => Ok(Authentication::Header(
                HeaderName::from_static("x-goog-api-key"),
                key,
            )),
            Some(token) => Ok(Authentication::Bearer(token)),
            // The caller says by a header who it is.
            None if !asked.needs_key() => Ok(Authentication::Nothing),
            None => {
                let provider = asked.provider().name;
                let (authorizer, secrets) = Source::find(asked)?.authorizer(provider);
                Ok(Authentication::Each(authorizer, secrets))
            }
        }
    }
}
