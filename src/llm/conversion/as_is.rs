//! Streams of chunks that are OpenAI's already and only come in other frames.

use bytes::Bytes;

use super::{Progress, Translator, Unreadable};
use crate::llm::answer;

/// Takes each event as a chunk.
#[derive(Debug, Default)]
pub struct AsIs {
    is_finished: bool,
}

impl Translator for AsIs {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let data = Bytes::copy_from_slice(data);
        self.is_finished |= answer::has_finish_reason(&data);
        chunks.push(answer::repair_chunk(data));
        Ok(Progress::More)
    }

    fn end(&mut self, _chunks: &mut Vec<Bytes>) -> bool {
        self.is_finished
    }
}
