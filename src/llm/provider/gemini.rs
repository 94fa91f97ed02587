//! Google AI Studio: <https://ai.google.dev/api>.

use http::HeaderName;
use url::Url;

use super::service::{Asked, Authentication, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// generateContent at `{base}/v1beta/models/{model}:generateContent`.
#[derive(Debug)]
pub struct Gemini;

impl Service for Gemini {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Gemini
    }

    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
        let has_version = base
            .path_segments()
            .and_then(|mut segments| segments.rfind(|segment| !segment.is_empty()))
            .is_some_and(|last| last.starts_with("v1"));
        let version = if has_version { "" } else { "v1beta/" };
        let name = &asked.model.name;
        let name = name.strip_prefix("models/").unwrap_or(name);
        Ok(with_method(
            join(base, &format!("{version}models/{name}")),
            streams,
        ))
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        match key {
            Some(key) => Ok(Authentication::Header(
                HeaderName::from_static("x-goog-api-key"),
                key,
            )),
            None if asked.needs_key() => Err(asked.no_key()),
            None => Ok(Authentication::Nothing),
        }
    }
}

/// The URL of a model with what is asked of it; streams come as server-sent events.
pub(super) fn with_method(mut model: Url, streams: bool) -> Url {
    let method = if streams {
        "streamGenerateContent"
    } else {
        "generateContent"
    };
    let path = format!("{}:{method}", model.path());
    model.set_path(&path);
    if streams {
        model.query_pairs_mut().append_pair("alt", "sse");
    }
    model
}
