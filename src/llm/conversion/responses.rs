//! OpenAI's Responses API: <https://platform.openai.com/docs/api-reference/responses>. Some models have
//! no other; Azure serves it too.
//!
//! | module | owns |
//! |---|---|
//! | `request` | the request |
//! | `items` | its conversation |
//! | `answer` | a whole answer, and what it took |
//! | `stream` | the events of a stream |

mod answer;
mod items;
mod request;
mod stream;

use serde_json::{Map, Value};

use super::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::fields::Unusable;

/// What stands before the name of a model that is to be asked by this API.
pub const RESPONSES_PREFIX: &str = "responses/";

/// The conversion.
#[derive(Debug)]
pub struct Responses;

impl Conversion for Responses {
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
}
