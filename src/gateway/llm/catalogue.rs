//! The lists of models, as OpenAI and LiteLLM give them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::Failure;
use crate::llm::router::Member;

/// When every model was made, for nobody knows better: the time that LiteLLM gives.
const CREATED: u64 = 1_677_610_602;

fn described(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "openai"})
}

/// `GET /v1/models`
pub(in crate::gateway) async fn models(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<Json<Value>, Failure> {
    let names = shared.models.router.names().iter();
    let names = names.filter(|name| caller.may_ask(name));
    let data: Vec<_> = names.map(|name| described(name)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// `GET /v1/models/{name}`
pub(in crate::gateway) async fn model(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Failure> {
    if !caller.may_ask(&name) || shared.models.router.members_of(&name).is_empty() {
        return Err(shared.models.unknown(&name, &caller));
    }
    Ok(Json(described(&name)))
}

/// What `/model/info` can be asked for.
#[derive(Deserialize)]
pub(in crate::gateway) struct Wanted {
    litellm_model_id: Option<String>,
}

/// `GET /model/info`: the deployments, without keys, and of their places the origin alone.
pub(in crate::gateway) async fn info(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Failure> {
    let members = shared.models.router.members().iter();
    let members = members.filter(|member| caller.may_ask(&member.deployment().name));
    let is_wanted = |member: &&Arc<Member>| {
        let id = wanted.litellm_model_id.as_ref();
        id.is_none_or(|id| *id == member.deployment().id)
    };
    let data: Vec<_> = members.filter(is_wanted).map(|one| entry(one)).collect();
    Ok(Json(json!({"data": data})))
}

fn entry(member: &Member) -> Value {
    let deployment = member.deployment();
    let mut params = Map::new();
    params.insert("model".to_owned(), deployment.model.given.as_str().into());
    if deployment.mock_response.is_none() {
        let place = deployment.endpoint.origin();
        params.insert("api_base".to_owned(), place.into());
    }
    let numbers = [("rpm", deployment.rpm), ("tpm", deployment.tpm)];
    for (name, number) in numbers {
        if let Some(number) = number {
            params.insert(name.to_owned(), number.into());
        }
    }
    if let Some(weight) = deployment.weight {
        params.insert("weight".to_owned(), weight.into());
    }
    // What the configuration says wins over what is known of the model.
    let mut info = Map::new();
    if let Some(known) = deployment.known_model() {
        info.insert("key".to_owned(), known.key.into());
    }
    info.extend(deployment.facts());
    info.insert("id".to_owned(), deployment.id.as_str().into());
    info.insert("db_model".to_owned(), false.into());
    json!({"model_name": deployment.name, "litellm_params": params, "model_info": info})
}
