//! Parameters that a provider does not take: refused by name, left out where the caller wants that,
//! or passed on where the caller says that they may be. One place for all providers.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::reasoning::Family;
use super::{foreign, own_tools};
use crate::error::{Error, ErrorContext, ErrorKind};
use crate::llm::provider::Provider;

/// The parameters of OpenAI's chat completion API. Others belong to a provider, and are passed on.
pub const OPENAI: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// What becomes of parameters that do not fit, as the caller wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// They are left out (`drop_params`).
    pub drop_params: bool,
    /// They are passed on all the same (`allowed_openai_params`).
    pub allowed: Vec<String>,
}

impl Policy {
    /// Whether a parameter is passed on whatever is known of it.
    pub fn allows(&self, name: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == name)
    }
}

/// Puts the parameters that a conversion did not take into the body, or refuses them.
///
/// # Errors
/// One of them is OpenAI's, the provider has nothing like it, and the caller did not say that it may
/// be dropped or passed on.
pub fn settle(
    left: Map<String, Value>,
    body: &mut Map<String, Value>,
    provider: &Provider,
    model: &str,
    policy: &Policy,
) -> Result<(), Error> {
    let mut refused = Vec::new();
    for (name, value) in left {
        if value.is_null() {
            continue;
        }
        let is_strange = !OPENAI.contains(&name.as_str());
        if is_strange || policy.allows(&name) {
            pass_on(name, value, body, provider);
        } else if !policy.drop_params && !says_nothing(&name, &value) {
            refused.push(name);
        }
    }
    refuse(refused, provider, model)
}

/// Puts a parameter that nobody here knows where the provider takes those.
fn pass_on(name: String, value: Value, body: &mut Map<String, Value>, provider: &Provider) {
    let Some(place) = &provider.parameters.inside else {
        body.insert(name, value);
        return;
    };
    let inside = body
        .entry(place.clone())
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(members) = inside {
        members.insert(name, value);
    }
}

/// Whether a value asks for what happens anyway.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        "n" => value.as_u64() == Some(1),
        "temperature" | "top_p" => value.as_f64() == Some(1.0),
        "logprobs" | "store" => *value == Value::Bool(false),
        "frequency_penalty" | "presence_penalty" => value.as_f64() == Some(0.0),
        "modalities" => value.as_array().is_some_and(|all| *all == ["text"]),
        // For the provider's own bookkeeping; an answer is the same without them.
        "metadata"
        | "user"
        | "safety_identifier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "prediction" => true,
        "reasoning_effort" => value == "none",
        "service_tier" => value == "auto",
        "verbosity" => value == "medium",
        "tool_choice" => value == "auto",
        "parallel_tool_calls" => *value == Value::Bool(true),
        "response_format" => value.get("type").is_some_and(|kind| kind == "text"),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        // What a stream tells beside the answer.
        "stream_options" => true,
        _ => false,
    }
}

/// An error that names all of them; none, none.
fn refuse(mut names: Vec<String>, provider: &Provider, model: &str) -> Result<(), Error> {
    names.sort();
    let Some(first) = names.first() else {
        return Ok(());
    };
    let (parameters, them) = match names.len() {
        1 => ("parameter", "it"),
        _ => ("parameters", "them"),
    };
    let message = format!(
        "{} does not take the {parameters} {} for the model {model:?}: leave {them} out, set \
         drop_params=True to have such parameters left out, or name {them} in allowed_openai_params to \
         send {them} all the same",
        provider.name,
        names.join(", ")
    );
    Err(
        Error::new(ErrorKind::UnsupportedParams, message).with_context(ErrorContext {
            provider: Some(provider.name.to_owned()),
            model: Some(model.to_owned()),
            param: Some(first.clone()),
            code: Some("unsupported_parameter".to_owned()),
            ..ErrorContext::default()
        }),
    )
}

/// A request to a provider that speaks OpenAI's protocol, changed by what is particular about it.
///
/// # Errors
/// As [`settle`].
pub fn adapt(
    mut body: Map<String, Value>,
    provider: &Provider,
    model: &str,
    policy: &Policy,
) -> Result<Map<String, Value>, Error> {
    let own = &provider.parameters;
    // The name that the provider knows.
    let name = model
        .strip_prefix(provider.name)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(model);
    foreign::take_beside(&mut body);
    if own.strict_messages {
        // Who makes no sound refuses what asks for it.
        let makes_sound = own.refused_by(name).all(|refused| refused != "audio");
        foreign::take_out(&mut body, makes_sound);
        own_tools::lower_all(&mut body);
    }
    let family = Family::of(provider.name, model);
    if family.is_some() {
        Family::rename(&mut body);
    }
    for (name, other) in &own.rename {
        if let Some(other) = other.as_str()
            && !policy.allows(name)
            && let Some(value) = body.shift_remove(name)
        {
            body.entry(other.to_owned()).or_insert(value);
        }
    }
    say_instead(&mut body, provider, policy);
    let by_family = family.map_or(&[][..], |family| family.refused(&body));
    let mut refused = Vec::new();
    for name in own.refused_by(name).chain(by_family.iter().copied()) {
        if policy.allows(name) {
            continue;
        }
        // A model that lets nobody say how hard it thinks does not do what the effort none asks for.
        let is_of_row = own.unsupported.iter().any(|one| one == name);
        let thinks_anyway = name == "reasoning_effort" && !is_of_row;
        if let Some(value) = body.shift_remove(name)
            && !value.is_null()
            && !policy.drop_params
            && (thinks_anyway || !says_nothing(name, &value))
        {
            refused.push(name.to_owned());
        }
    }
    refuse(refused, provider, model)?;
    for (name, value) in &own.force {
        body.insert(name.clone(), value.clone());
    }
    for (name, greatest) in &own.maximum {
        let is_greater = match (body.get(name).and_then(Value::as_f64), greatest.as_f64()) {
            (Some(value), Some(greatest)) => value > greatest,
            _ => false,
        };
        if is_greater && !policy.allows(name) {
            body.insert(name.clone(), greatest.clone());
        }
    }
    if own.system_messages {
        let messages = body.get_mut("messages").and_then(Value::as_array_mut);
        for message in messages.into_iter().flatten() {
            if message.get("role").is_some_and(|role| role == "developer") {
                message["role"] = Value::from("system");
            }
        }
    }
    let service = provider.kind.service();
    if service.adapts() {
        service.adapt(model, &mut body);
    }
    if own.text_content
        && let Some(Value::Array(messages)) = body.get_mut("messages")
    {
        messages.iter_mut().for_each(join_text);
    }
    Ok(body)
}

/// Puts other members in the place of values that the provider says by them. Those of the caller win.
fn say_instead(body: &mut Map<String, Value>, provider: &Provider, policy: &Policy) {
    for (name, values) in &provider.parameters.instead {
        let members = body
            .get(name)
            .and_then(Value::as_str)
            .and_then(|value| values.get(value));
        let Some(members) = members.filter(|_| !policy.allows(name)) else {
            continue;
        };
        body.shift_remove(name);
        for (name, value) in members {
            body.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The parts of a message that are all text, as one text.
fn join_text(message: &mut Value) {
    let Some(content) = message.get_mut("content") else {
        return;
    };
    let Some(parts) = content.as_array() else {
        return;
    };
    let texts: Option<Vec<Cow<'_, str>>> = parts
        .iter()
        .map(|part| {
            let is_text = part.get("type").and_then(Value::as_str) == Some("text");
            let text = part.get("text").and_then(Value::as_str);
            text.filter(|_| is_text).map(Cow::Borrowed)
        })
        .collect();
    if let Some(texts) = texts {
        *content = Value::String(texts.concat());
    }
}
