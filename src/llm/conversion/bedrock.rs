//! Bedrock's `Converse` and `ConverseStream`, one API for all of its models:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.
//!
//! | module | owns |
//! |---|---|
//! | `model` | what a model name says: region, id, family |
//! | `request` | the request |
//! | `reasoning` | how much a model is to think, as each family has it |
//! | `tools` | the tools, and which of them |
//! | `messages` | the messages |
//! | `block` | their content |
//! | `answer` | a whole answer, and what it took |
//! | `stream` | the events of a stream |

mod answer;
mod block;
mod messages;
pub mod model;
mod reasoning;
mod request;
mod stream;
mod tools;

use serde_json::{Map, Value};

use super::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

/// The conversion.
#[derive(Debug)]
pub struct Converse;

impl Conversion for Converse {
    fn request(
        &self,
        request: &mut ChatRequest,
        notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable> {
        request::convert(request, notes)
    }

    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
        answer::convert(body, notes)
    }

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(stream::Events::new(notes))
    }

    /// What is in S3 the service fetches itself, from elsewhere nothing.
    fn needs_bytes(&self, part: &Part) -> bool {
        match &part.kind {
            PartKind::Image { source, .. }
            | PartKind::File { source, .. }
            | PartKind::Audio { source, .. } => {
                matches!(source, Source::Url(url) if !url.starts_with("s3://"))
            }
            _ => false,
        }
    }
}
