//! Conversions without a network: what a provider would get, and what a caller gets for what the
//! provider says.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};
use toolbridge::error::Error;
use toolbridge::llm::chat_stream::{ChatStream, StreamSource, Translation};
use toolbridge::llm::conversion::as_is::AsIs;
use toolbridge::llm::conversion::{Notes, parameters};
use toolbridge::llm::failure::FailureSite;
use toolbridge::llm::framing::Framing;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::patience::Patience;
use toolbridge::llm::provider::{Endpoint, Settings};
use toolbridge::llm::types::chat::ChatRequest;

/// A model of a provider, as a call sees it.
pub(crate) struct Play {
    pub(crate) model: ModelId,
    pub(crate) endpoint: Endpoint,
    pub(crate) policy: parameters::Policy,
}

impl Play {
    pub(crate) fn new(model: &str) -> Self {
        Self::with(model, Settings::default())
    }

    pub(crate) fn with(model: &str, mut settings: Settings) -> Self {
        settings
            .api_key
            .get_or_insert_with(|| "sk-test-key".to_owned());
        let model = ModelId::resolve(model, None, settings.api_base.as_deref()).unwrap();
        let endpoint = Endpoint::resolve(&model, &settings, &|_| None).unwrap();
        Self {
            model,
            endpoint,
            policy: parameters::Policy::default(),
        }
    }

    /// The body that the provider gets, and what the answer's conversion knows of it.
    pub(crate) fn request(&self, body: &Value) -> Result<(Value, Notes), Error> {
        let mut members = body.as_object().unwrap().clone();
        let (provider, given) = (self.model.provider, &self.model.given);
        let Some(conversion) = self.endpoint.wire.conversion() else {
            members.insert("model".to_owned(), Value::from(self.model.name.clone()));
            let mut sent = parameters::adapt(members, provider, given, &self.policy)?;
            for (name, value) in &self.endpoint.members {
                sent.entry(name.clone()).or_insert_with(|| value.clone());
            }
            return Ok((Value::Object(sent), self.notes()));
        };
        let mut request = ChatRequest::read(members)?;
        request.model.clone_from(&self.model.name);
        let mut notes = Notes::new(&request, 1_700_000_000, "chatcmpl-1".to_owned());
        let mut sent = conversion.request(&mut request, &mut notes)?;
        let left = request.parameters.rest();
        parameters::settle(left, &mut sent, provider, given, &self.policy)?;
        Ok((Value::Object(sent), notes))
    }

    /// The body that the provider gets.
    pub(crate) fn sent(&self, body: &Value) -> Value {
        self.request(body).unwrap().0
    }

    /// The notes of a request that says nothing in particular.
    pub(crate) fn notes(&self) -> Notes {
        Notes {
            model: self.model.name.clone(),
            now: 1_700_000_000,
            id: "chatcmpl-1".to_owned(),
            include_usage: true,
            json_tool: None,
        }
    }

    /// The answer that the caller gets.
    pub(crate) fn answer(&self, body: &Value, notes: &Notes) -> Value {
        let conversion = self.endpoint.wire.conversion().unwrap();
        let completion = conversion
            .answer(body.to_string().as_bytes(), notes)
            .unwrap();
        serde_json::from_slice(&completion.to_bytes()).unwrap()
    }

    /// The chunks that the caller gets for a stream that comes in `pieces`, and its error.
    pub(crate) async fn stream(
        &self,
        pieces: Vec<Bytes>,
        notes: &Notes,
    ) -> (Vec<Value>, Option<Error>) {
        let (chunks, error) = self.streamed(pieces, notes).await;
        (values(&chunks), error)
    }

    /// The same without an error, chunks as they are.
    pub(crate) async fn stream_as_is(&self, pieces: Vec<Bytes>, notes: &Notes) -> Vec<Bytes> {
        let (chunks, error) = self.streamed(pieces, notes).await;
        assert!(error.is_none(), "{error:?}");
        chunks
    }

    async fn streamed(&self, pieces: Vec<Bytes>, notes: &Notes) -> (Vec<Bytes>, Option<Error>) {
        let wire = self.endpoint.wire;
        let source = StreamSource {
            site: FailureSite::new(&self.model, &self.endpoint),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            patience: Patience::default(),
            translation: match wire.conversion() {
                Some(conversion) => Some(Translation {
                    framing: wire.framing(),
                    translator: conversion.stream(notes),
                }),
                // OpenAI's chunks in other frames.
                None => (wire.framing() != Framing::Events).then(|| Translation {
                    framing: wire.framing(),
                    translator: Box::new(AsIs::default()),
                }),
            },
        };
        let body = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let stream = ChatStream::start(body, source);
        let mut chunks = Vec::new();
        loop {
            match stream.next_chunks().await {
                Ok(Some(more)) => chunks.extend(more),
                Ok(None) => return (chunks, None),
                Err(error) => return (chunks, Some(error)),
            }
        }
    }

    /// Takes `events` as answers and as a stream, whatever they are; what it gives has to be JSON.
    pub(crate) fn survives(&self, events: &[Value]) {
        let conversion = self.endpoint.wire.conversion().unwrap();
        let notes = self.notes();
        let mut translator = conversion.stream(&notes);
        let mut chunks = Vec::new();
        for event in events {
            let text = event.to_string();
            if let Ok(completion) = conversion.answer(text.as_bytes(), &notes) {
                serde_json::from_slice::<Value>(&completion.to_bytes()).unwrap();
            }
            translator.event(text.as_bytes(), &mut chunks).ok();
        }
        translator.end(&mut chunks);
        for chunk in chunks {
            serde_json::from_slice::<Value>(&chunk).unwrap();
        }
    }

    /// As [`Self::stream`], whole; and fails where a split at any byte gives anything else.
    pub(crate) async fn split_everywhere(&self, text: &[u8], notes: &Notes) -> Vec<Value> {
        let text = Bytes::copy_from_slice(text);
        let whole = self.stream_as_is(vec![text.clone()], notes).await;
        for place in 1..text.len() {
            let pieces = vec![text.slice(..place), text.slice(place..)];
            let chunks = self.stream_as_is(pieces, notes).await;
            assert_eq!(chunks, whole, "split at {place}");
        }
        values(&whole)
    }
}

fn values(chunks: &[Bytes]) -> Vec<Value> {
    let chunks = chunks.iter();
    chunks
        .map(|chunk| serde_json::from_slice(chunk).unwrap())
        .collect()
}

/// Events of these types, with arbitrary JSON in members of these names.
pub(crate) fn events(
    types: &'static [&'static str],
    names: &'static [&'static str],
) -> impl Strategy<Value = Vec<Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        select(types).prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(names), inner), 0..5).prop_map(|members| {
                let members = members.into_iter();
                Value::Object(
                    members
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    });
    let event = (select(types), vec((select(names), value), 0..6)).prop_map(|(kind, members)| {
        let mut event = Map::new();
        event.insert("type".to_owned(), Value::from(kind));
        let members = members.into_iter();
        event.extend(members.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(event)
    });
    vec(event, 0..8)
}

/// The text of all chunks.
pub(crate) fn text_of(chunks: &[Value]) -> String {
    let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
    deltas
        .filter_map(|delta| delta["content"].as_str())
        .collect()
}

/// The id, name and arguments of each tool call, put together.
pub(crate) fn calls_of(chunks: &[Value]) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for chunk in chunks {
        let deltas = chunk["choices"][0]["delta"]["tool_calls"].as_array();
        for delta in deltas.into_iter().flatten() {
            let index = usize::try_from(delta["index"].as_u64().unwrap()).unwrap();
            if index == calls.len() {
                calls.push(Default::default());
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            calls[index].0 += &text(&delta["id"]);
            calls[index].1 += &text(&delta["function"]["name"]);
            calls[index].2 += &text(&delta["function"]["arguments"]);
        }
    }
    calls
}
