//! Gemini's generateContent: <https://ai.google.dev/api/generate-content>. Also what Vertex AI speaks for
//! Gemini.
//!
//! | module | owns |
//! |---|---|
//! | `request` | the request |
//! | `contents` | its contents |
//! | `model` | what differs between generations of Gemini |
//! | `answer` | a whole answer, and what it took |
//! | `stream` | the pieces of a stream, each of them an answer |

mod answer;
mod contents;
mod model;
mod request;
mod stream;

pub(in crate::llm) use model::takes_media_in_results;

use serde_json::{Map, Value};

use super::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

/// The conversion.
#[derive(Debug)]
pub struct GenerateContent;

impl Conversion for GenerateContent {
    fn request(
        &self,
        request: &mut ChatRequest,
        _notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable> {
        request::convert(request)
    }

    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
        answer::convert(body, notes)
    }

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(stream::Pieces::new(notes))
    }

    fn needs_bytes(&self, part: &Part) -> bool {
        let (PartKind::Image { source, .. }
        | PartKind::File { source, .. }
        | PartKind::Audio { source, .. }) = &part.kind
        else {
            return false;
        };
        // Files that were uploaded, buckets and videos are named, not carried.
        matches!(source, Source::Url(url) if url.starts_with("http") && !contents::is_at_google(url))
    }
}
