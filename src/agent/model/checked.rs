//! Answers that have to fit a JSON Schema. Owns [`Checked`], [`Misfit`] and [`misfit`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Chunks, Model, Origin, Reply};
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::json::RawJson;
use crate::llm::rebuild::Rebuild;
use crate::schema::validate::{Fault, Schema};
use crate::tools::result::chat::Room;

/// A model whose texts have to fit a schema: an answer that does not is an error. One that calls tools
/// is not the last word, and not checked. A stream fails at its end.
#[derive(Debug)]
pub struct Checked {
    model: Arc<dyn Model>,
    wanted: Arc<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    name: String,
    schema: RawJson,
}

impl Checked {
    /// `model`, whose name is `name`, by this schema.
    pub fn new(model: Arc<dyn Model>, name: String, schema: RawJson) -> Self {
        let wanted = Arc::new(Wanted { name, schema });
        Self { model, wanted }
    }
}

/// An answer and the schema that it does not fit; the cause of the error.
#[derive(Debug)]
pub struct Misfit {
    /// The schema.
    pub schema: RawJson,
    /// The text of the answer.
    pub answer: String,
    why: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl std::error::Error for Misfit {}

/// Where a JSON text does not fit a schema, as a sentence.
///
/// # Errors
/// It does not fit.
pub fn misfit(schema: &str, text: &str) -> Result<(), String> {
    let schema = Schema::compile(schema)
        .map_err(|problem| format!("the JSON Schema cannot be used: {problem}"))?;
    let value = serde_json::from_str(text)
        .map_err(|problem| format!("the answer is not JSON: {problem}"))?;
    schema
        .check(&value, text.len())
        .map_err(|fault| match fault {
            Fault::Mismatch(mismatch) => {
                let place = match mismatch.path.as_str() {
                    "" => "the answer",
                    path => path,
                };
                format!(
                    "{place} is {}, and the schema takes {} there",
                    mismatch.found, mismatch.accepted
                )
            }
            Fault::GaveUp(why) => format!("the answer could not be checked: {why}"),
        })
}

impl Wanted {
    fn check(&self, response: &Value, origin: &Origin) -> Result<()> {
        let choices = response["choices"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for choice in choices {
            let message = &choice["message"];
            let calls = message["tool_calls"].as_array();
            let (Some(text), true) = (message["content"].as_str(), calls.is_none_or(Vec::is_empty))
            else {
                continue;
            };
            let schema = String::from_utf8_lossy(self.schema.as_bytes());
            if let Err(why) = misfit(&schema, text) {
                let message = format!(
                    "the answer of {} does not fit the JSON Schema of response_format: {why}",
                    self.name
                );
                let context = origin.context.as_ref();
                let context = ErrorContext {
                    provider: context.map(|context| context.provider.to_owned()),
                    model: Some(self.name.clone()),
                    ..ErrorContext::default()
                };
                return Err(Error::new(ErrorKind::JsonSchemaValidation, message)
                    .with_context(context)
                    .with_source(Misfit {
                        schema: self.schema.clone(),
                        answer: text.to_owned(),
                        why,
                    }));
            }
        }
        Ok(())
    }
}

impl Model for Checked {
    fn room(&self) -> Room {
        self.model.room()
    }

    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        async move {
            match self.model.ask(body, streams).await? {
                Reply::Whole(response, origin) => {
                    self.wanted.check(&response.to_value()?, &origin)?;
                    Ok(Reply::Whole(response, origin))
                }
                Reply::Stream(chunks, origin) => {
                    let stream = CheckedStream {
                        chunks,
                        wanted: Arc::clone(&self.wanted),
                        origin: origin.clone(),
                        rebuild: Rebuild::default(),
                    };
                    Ok(Reply::Stream(Box::new(stream), origin))
                }
            }
        }
        .boxed()
    }
}

#[derive(Debug)]
struct CheckedStream {
    chunks: Box<dyn Chunks>,
    wanted: Arc<Wanted>,
    origin: Origin,
    rebuild: Rebuild,
}

impl Chunks for CheckedStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        async move {
            let given = self.chunks.next().await?;
            if let Some(chunks) = &given {
                for chunk in chunks {
                    if let Ok(chunk) = serde_json::from_slice(chunk) {
                        self.rebuild.add(chunk);
                    }
                }
            } else {
                let response = std::mem::take(&mut self.rebuild).finish();
                self.wanted.check(&response, &self.origin)?;
            }
            Ok(given)
        }
        .boxed()
    }
}
