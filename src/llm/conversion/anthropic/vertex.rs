//! Claude on Vertex AI: the Messages API with the model in the URL and the version in the body.
//! <https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai>

use serde_json::{Map, Value};

use super::{answer, request, stream};
use crate::llm::conversion::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

/// The version of the API there.
const VERSION: &str = "vertex-2023-10-16";

/// The conversion.
#[derive(Debug)]
pub struct OnVertex;

impl Conversion for OnVertex {
    fn request(
        &self,
        request: &mut ChatRequest,
        notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable> {
        // A policy of Google's forbids structured outputs unless an organization allows them:
        // <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/structured_outputs>
        let tier = request.parameters.take("service_tier");
        let mut body = request::convert(request, notes, request::Structured::ByTool)?;
        // Tiers are sold by Google, in another way.
        if let Some(tier) = tier {
            request.parameters.put("service_tier", tier);
        }
        body.shift_remove("model");
        body.insert("anthropic_version".to_owned(), Value::from(VERSION));
        Ok(body)
    }

    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
        answer::convert(body, notes)
    }

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(stream::Events::new(notes))
    }

    /// Sources by URL are known to Anthropic's own API alone.
    fn needs_bytes(&self, part: &Part) -> bool {
        matches!(
            &part.kind,
            PartKind::Image { source: Source::Url(url), .. }
            | PartKind::File { source: Source::Url(url), .. } if url.starts_with("http")
        )
    }
}
