//! `model_list`: the deployments.

use serde_json::{Map, Value};

use super::keys::{Section, State};
use super::notice::{NoticeKind, Notices};
use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::llm::catalogue::cost;
use crate::llm::model_id::ModelId;
use crate::llm::provider::{Endpoint, OPTIONS, Settings};
use crate::llm::router::Deployment;

/// What stands in for the key of a deployment that asks nobody.
const NO_KEY: &str = "none";
/// What stands in for its base URL.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Reads the list.
pub(super) fn models(
    list: &Node,
    place: &Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<Vec<Deployment>> {
    let Data::List(entries) = &list.data else {
        return Err(place.error(&format!("is {}; it takes a list of models", list.kind())));
    };
    let mut deployments: Vec<Deployment> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let place = place.element(index, entry);
        let mut deployment = model(entry, place.clone(), variables, notices)?;
        if deployment.id.is_empty() {
            let twins = deployments.iter().filter(|one| one.name == deployment.name);
            deployment.id = format!("{}-{}", deployment.name, twins.count() + 1);
        }
        if deployments.iter().any(|one| one.id == deployment.id) {
            return Err(place.error(&format!(
                "has the id {:?} (model_info.id), which another deployment has already",
                deployment.id
            )));
        }
        deployments.push(deployment);
    }
    Ok(deployments)
}

fn model(
    entry: &Node,
    place: Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<Deployment> {
    let mut fields = Fields::new(entry, place, variables, Spelling::OsEnviron)?;
    let name = fields.text(&["model_name"])?;
    let params = fields.find(&["litellm_params"]);
    let info = fields.object(&["model_info"])?;
    notices.finish(Section::Model, &fields);
    let needs = |place: &Place, key: &str| place.error(&format!("has no {key}"));
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| needs(&fields.place, "model_name"))?;
    let (place, node) = params.ok_or_else(|| needs(&fields.place, "litellm_params"))?;
    let mut params = Fields::new(node, place, variables, Spelling::OsEnviron)?;
    let given = params.text(&["model"])?;
    let given = given.ok_or_else(|| needs(&params.place, "model"))?;
    let (model, endpoint) = provider(&given, &mut params)?;
    if name.contains('*') {
        let sentence = "has a * in its name, which stands for nothing else: wildcards are not \
                        implemented";
        notices.push(NoticeKind::NotImplemented, &fields.place, sentence);
    }
    let mut deployment = Deployment::new(name, model, endpoint);
    deployment.id = match info.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => String::new(),
    };
    deployment.info = info;
    facts(&mut params, &mut deployment.info)?;
    settings(&mut params, &mut deployment)?;
    deployment.defaults = defaults(&params, notices)?;
    Ok(deployment)
}

/// What may stand beside the parameters and is a fact of the model: prices, whose they are.
fn facts(params: &mut Fields<'_>, info: &mut Map<String, Value>) -> Result<()> {
    let prices = Section::Params.keys().iter();
    let prices = prices.filter(|key| key.state == State::Supported && cost::is_price(key.name));
    for key in prices {
        if let Some(price) = params.number(&[key.name])? {
            info.insert(key.name.to_owned(), price.into());
        }
    }
    if let Some(base) = params.text(&["base_model"])? {
        info.entry("base_model").or_insert_with(|| base.into());
    }
    Ok(())
}

/// The model at its provider, and where that is.
fn provider(given: &str, params: &mut Fields<'_>) -> Result<(ModelId, Endpoint)> {
    let mut settings = Settings {
        api_key: params.text(&["api_key"])?,
        api_base: params.text(&["api_base", "base_url"])?,
        organization: params.text(&["organization"])?,
        project: params.text(&["project"])?,
        headers: params
            .map(&["extra_headers", "headers"])?
            .into_iter()
            .collect(),
        options: Map::new(),
    };
    for name in OPTIONS {
        if let Some(value) = params.value(&[name])? {
            settings.options.insert((*name).to_owned(), value);
        }
    }
    if params.find(&["mock_response"]).is_some() {
        settings.api_key.get_or_insert_with(|| NO_KEY.to_owned());
        settings.api_base.get_or_insert_with(|| NOWHERE.to_owned());
    }
    let named = params.text(&["custom_llm_provider"])?;
    let place = params.place.clone();
    let at = |failure: Error| {
        Error::new(ErrorKind::Configuration, format!("{place}: {failure}"))
            .with_context(failure.context().clone())
    };
    let api_base = settings.api_base.as_deref();
    let model = ModelId::at(given, named.as_deref(), api_base).map_err(at)?;
    let endpoint = Endpoint::resolve(&model, &settings, params.variables()).map_err(at)?;
    Ok((model, endpoint))
}

/// What the gateway itself does with requests to the deployment.
fn settings(params: &mut Fields<'_>, deployment: &mut Deployment) -> Result<()> {
    deployment.timeout = params.seconds(&["timeout"])?;
    deployment.stream_timeout = params.seconds(&["stream_timeout"])?;
    deployment.max_retries = params.whole(&["max_retries", "num_retries"])?;
    deployment.rpm = params.count(&["rpm"])?;
    deployment.tpm = params.count(&["tpm"])?;
    deployment.weight = params.number(&["weight"])?;
    deployment.max_parallel_requests = params
        .count(&["max_parallel_requests"])?
        .and_then(|count| usize::try_from(count).ok());
    deployment.cooldown_time = params.seconds_or_none(&["cooldown_time"])?;
    deployment.drop_params = params.boolean(&["drop_params"])?;
    deployment.additional_drop_params = params
        .texts(&["additional_drop_params"])?
        .unwrap_or_default();
    deployment.allowed_openai_params = params
        .texts(&["allowed_openai_params"])?
        .unwrap_or_default();
    deployment.extra_body = params.object(&["extra_body"])?;
    deployment.mock_response = params.value(&["mock_response"])?;
    Ok(())
}

/// What goes into every request: the parameters of the API, and those that only the provider knows.
fn defaults(params: &Fields<'_>, notices: &mut Notices) -> Result<Map<String, Value>> {
    let strangers = notices.check(Section::Params, params.members(), &params.place);
    let mut defaults = Map::new();
    for member in params.members() {
        let (name, node) = member;
        let place = params.place.key(name, node);
        let is_parameter = match Section::Params.key(name) {
            Some(key) => key.state == State::Supported && !params.asked().contains(&name.as_str()),
            None => strangers
                .iter()
                .any(|stranger| std::ptr::eq(*stranger, member)),
        };
        if !is_parameter || matches!(node.data, Data::Null) {
            continue;
        }
        if Section::Params.key(name).is_none() {
            let sentence =
                "is no known key, and goes to the provider as a parameter of every request";
            notices.push(NoticeKind::Unknown, &place, sentence);
        }
        defaults.insert(name.clone(), params.json(&place, node)?);
    }
    Ok(defaults)
}
