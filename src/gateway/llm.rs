//! The OpenAI side: chat completions and the list of models. Owns [`Models`]; a request goes on as
//! it came but for the name of its model, and so does its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Shared;
use super::failure::Failure;
use crate::llm::client::{ChatClient, ChatRequest, Limits, StreamedAnswer, Trust};
use crate::llm::retry::DEFAULT_MAX_RETRIES;
use crate::llm::router::{Deployment, RouterSettings};

/// The largest request.
const MAXIMUM_BODY_BYTES: usize = 64 << 20;

/// The models of the configuration.
#[derive(Debug)]
pub(super) struct Models {
    deployments: Vec<Deployment>,
    client: Arc<ChatClient>,
}

/// What a request says that is acted on.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(default)]
    stream: Option<bool>,
}

impl Models {
    pub(super) fn new(deployments: Vec<Deployment>, _settings: RouterSettings) -> Self {
        Self {
            deployments,
            client: Arc::default(),
        }
    }

    /// Those of another configuration, over the same connections.
    pub(super) fn reloaded(&self, deployments: Vec<Deployment>, _settings: RouterSettings) -> Self {
        Self {
            deployments,
            client: Arc::clone(&self.client),
        }
    }

    fn find(&self, name: &str) -> Result<&Deployment, Failure> {
        let found = self.deployments.iter().find(|one| one.name == name);
        found.ok_or_else(|| {
            Failure::new(
                StatusCode::NOT_FOUND,
                format!("the model {name:?} does not exist; GET /v1/models lists those that do"),
            )
            .with_code("model_not_found")
        })
    }
}

pub(super) async fn chat_completions(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    shared.access.check(&headers)?;
    let body = axum::body::to_bytes(body, MAXIMUM_BODY_BYTES)
        .await
        .map_err(|failure| Failure::invalid(format!("the body cannot be read: {failure}")))?;
    let asked: Asked<'_> = serde_json::from_slice(&body)
        .map_err(|failure| Failure::invalid(format!("the body is no JSON object: {failure}")))?;
    let name: Option<String> = asked
        .model
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    let (Some(name), Some(place)) = (name, asked.model) else {
        return Err(Failure::invalid("model takes the name of a model"));
    };
    let deployment = shared.models.find(&name)?;
    let streams = asked.stream == Some(true);
    let request = ChatRequest {
        model: deployment.model.clone(),
        endpoint: deployment.endpoint.clone(),
        body: renamed(&body, place, &deployment.model.name),
        limits: Limits::default(),
        max_retries: DEFAULT_MAX_RETRIES,
        trust: Trust::default(),
    };
    let client = &shared.models.client;
    if streams {
        return Ok(streamed(client.stream(&request).await?));
    }
    let answer = client.complete(&request).await?;
    let mut response = Response::new(Body::from(answer.body.into_bytes()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

/// The body with another name of the model; everything else of it stays as it is.
fn renamed(body: &Bytes, place: &RawValue, name: &str) -> Bytes {
    let start = (place.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let end = start + place.get().len();
    let name = serde_json::Value::from(name).to_string();
    let mut text = BytesMut::with_capacity(body.len() + name.len());
    text.put_slice(&body[..start]);
    text.put_slice(name.as_bytes());
    text.put_slice(&body[end..]);
    text.freeze()
}

fn streamed(answer: StreamedAnswer) -> Response {
    let events = stream::unfold(Some(answer.stream), |state| async move {
        let stream = state?;
        let mut text = BytesMut::new();
        let next = match stream.next_chunks().await {
            Ok(Some(chunks)) => {
                for chunk in chunks {
                    text.put_slice(b"data: ");
                    text.put_slice(&chunk);
                    text.put_slice(b"\n\n");
                }
                Some(stream)
            }
            Ok(None) => {
                text.put_slice(b"data: [DONE]\n\n");
                None
            }
            Err(failure) => {
                text.put_slice(b"data: ");
                text.put_slice(Failure::from(failure).body().as_bytes());
                text.put_slice(b"\n\n");
                None
            }
        };
        Some((Ok::<_, std::convert::Infallible>(text.freeze()), next))
    });
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    response
}

pub(super) async fn models(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<axum::Json<serde_json::Value>, Failure> {
    shared.access.check(&headers)?;
    let mut names: Vec<&str> = Vec::new();
    for deployment in &shared.models.deployments {
        if !names.contains(&deployment.name.as_str()) {
            names.push(&deployment.name);
        }
    }
    let data: Vec<_> = names
        .into_iter()
        .map(|name| serde_json::json!({"id": name, "object": "model", "created": 1_677_610_602, "owned_by": "openai"}))
        .collect();
    Ok(axum::Json(
        serde_json::json!({"object": "list", "data": data}),
    ))
}
