//! What is known of models: limits, prices in US dollars, capabilities. Pure: a table that is part of
//! the binary, and what the user registered over it. Uses `error` alone; knows no provider, so that
//! conversions may ask it.
//!
//! | module | owns |
//! |---|---|
//! | `table` | the file `models.z`: what is in it, how a model is found there |
//! | `names` | the spellings under which a model may stand, the names that were probably meant |
//! | [`cost`] | what a usage costs |
//! | [`tokens`] | how many tokens a text has, roughly |
//!
//! Facts have the names that LiteLLM's public list gives them (`max_input_tokens`,
//! `input_cost_per_token`, `supports_vision`, …), so that what users wrote for it can be registered.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde_json::{Map, Value};

use crate::error::{Error, ErrorContext, ErrorKind};

pub mod cost;
mod names;
mod table;
pub mod tokens;

/// What is known of one model.
#[derive(Debug, Clone)]
pub struct Model {
    /// The name that it stands under.
    pub key: String,
    /// The facts.
    pub facts: Arc<Map<String, Value>>,
}

/// What can be asked of [`supports`], without the `supports_` of the facts.
pub const CAPABILITIES: [&str; 37] = [
    "adaptive_thinking",
    "assistant_prefill",
    "audio_input",
    "audio_output",
    "computer_use",
    "function_calling",
    "image_size",
    "low_reasoning_effort",
    "max_reasoning_effort",
    "mid_conversation_system",
    "minimal_reasoning_effort",
    "native_streaming",
    "native_structured_output",
    "none_reasoning_effort",
    "output_config",
    "parallel_function_calling",
    "parallel_tool_use_config",
    "pdf_input",
    "prompt_cache_breakpoint",
    "prompt_caching",
    "reasoning",
    "response_schema",
    "sampling_params",
    "speed",
    "system_messages",
    "tool_choice",
    "tool_search",
    "url_context",
    "video_input",
    "vision",
    "web_search",
    "xhigh_reasoning_effort",
    // Other words for some of them.
    "json_schema",
    "structured_output",
    "thinking",
    "tools",
    "images",
];

type Registered = HashMap<String, Arc<Map<String, Value>>>;

/// What the user registered; for the process.
static REGISTERED: LazyLock<RwLock<Registered>> = LazyLock::new(RwLock::default);

/// The date of the table, `YYYY-MM-DD`.
pub fn date() -> &'static str {
    table::table().date
}

/// The names of all models, those of the table and those that were registered.
pub fn names() -> Vec<String> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let mut names: Vec<String> = registered.keys().cloned().collect();
    let table = table::table();
    let others = table
        .names()
        .filter(|name| !registered.contains_key(*name))
        .map(str::to_owned);
    names.extend(others);
    names.sort_unstable();
    names
}

/// What is known of a model by that name: `provider/model`, the name alone, or with the provider
/// apart. What was registered wins over the table.
pub fn find(model: &str, provider: Option<&str>) -> Option<Model> {
    let spellings = names::spellings(model, provider);
    {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        if !registered.is_empty() {
            let found = spellings.iter().find_map(|spelling| {
                let facts = registered.get(&spelling.key)?;
                spelling
                    .is_served_by(text(facts, "litellm_provider"))
                    .then(|| Model {
                        key: spelling.key.clone(),
                        facts: Arc::clone(facts),
                    })
            });
            if found.is_some() {
                return found;
            }
        }
    }
    spellings.iter().find_map(|spelling| {
        let facts = table::table().facts(&spelling.key)?;
        spelling
            .is_served_by(text(&facts, "litellm_provider"))
            .then(|| Model {
                key: spelling.key.clone(),
                facts,
            })
    })
}

/// As [`find`]; an unknown name is an error that says which ones are near, and what to do.
pub fn known(model: &str, provider: Option<&str>) -> Result<Model, Error> {
    find(model, provider).ok_or_else(|| {
        let near = names::near(model);
        let near = match near.as_slice() {
            [] => String::new(),
            near => format!(" (did you mean {}?)", near.join(" or ")),
        };
        let whose = match provider {
            Some(provider) if !model.starts_with(&format!("{provider}/")) => {
                format!(" of provider {provider:?}")
            }
            _ => String::new(),
        };
        let message = format!(
            "the catalogue of {} has no model {model:?}{whose}{near}: name it as \"provider/model\", or \
             tell its facts with toolbridge.register_model({{{model:?}: {{\"input_cost_per_token\": …, \
             \"output_cost_per_token\": …, \"max_input_tokens\": …}}}})",
            date()
        );
        Error::new(ErrorKind::Configuration, message).with_context(ErrorContext {
            model: Some(model.to_owned()),
            provider: provider.map(str::to_owned),
            param: Some("model".to_owned()),
            ..ErrorContext::default()
        })
    })
}

/// Adds facts of a model; they win over what is known of it, whose other facts stay.
pub fn register(name: &str, facts: Map<String, Value>) {
    let provider = text(&facts, "litellm_provider");
    let known = find(name, provider);
    let mut all = known.map_or_else(Map::new, |known| known.facts.as_ref().clone());
    all.extend(facts);
    REGISTERED
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.to_owned(), Arc::new(all));
}

/// Forgets what was registered under a name; gives whether there was anything.
pub fn forget(name: &str) -> bool {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    registered.remove(name).is_some()
}

/// Whether a model has a capability, one of [`CAPABILITIES`]; a model that is not known has none.
pub fn supports(model: &str, provider: Option<&str>, capability: &str) -> Result<bool, Error> {
    let asked = capability.strip_prefix("supports_").unwrap_or(capability);
    if !CAPABILITIES.contains(&asked) {
        let near = crate::error::nearest(asked, CAPABILITIES);
        let near = near.map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"));
        let message = format!(
            "unknown capability {capability:?}{near}: the catalogue knows {}",
            CAPABILITIES.join(", ")
        );
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    let fact = match asked {
        "tools" => "function_calling",
        "images" => "vision",
        "json_schema" | "structured_output" => "response_schema",
        "thinking" => "reasoning",
        asked => asked,
    };
    let found = find(model, provider);
    Ok(found
        .is_some_and(|found| found.facts.get(&format!("supports_{fact}")) == Some(&true.into())))
}

/// The greatest number of tokens that an answer of the model has.
pub fn max_output_tokens(provider: &str, model: &str) -> Option<u64> {
    let found = find(model, Some(provider))?;
    count(&found.facts, "max_output_tokens").or_else(|| count(&found.facts, "max_tokens"))
}

/// The greatest number of tokens that a request to the model has.
pub fn max_input_tokens(provider: &str, model: &str) -> Option<u64> {
    count(&find(model, Some(provider))?.facts, "max_input_tokens")
}

fn text<'a>(facts: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    facts.get(name).and_then(Value::as_str)
}

/// A number of tokens; some lists write them with a point.
fn count(facts: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = facts.get(name)?;
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| *number >= 1.0)?;
        // It is rounded down, and too great ones are the greatest.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        Some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(model: &str, provider: Option<&str>) -> Option<String> {
        find(model, provider).map(|found| found.key)
    }

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn a_model_is_found_by_every_spelling() {
        for (model, provider, wanted) in [
            ("gpt-4o", None, "gpt-4o"),
            ("openai/gpt-4o", None, "gpt-4o"),
            ("gpt-4o", Some("openai"), "gpt-4o"),
            ("openai/gpt-4o", Some("openai"), "gpt-4o"),
            ("openai/responses/gpt-5-pro", None, "gpt-5-pro"),
            ("azure/gpt-4o", None, "azure/gpt-4o"),
            ("gpt-4o", Some("azure"), "azure/gpt-4o"),
            ("anthropic/claude-sonnet-4-5", None, "claude-sonnet-4-5"),
            ("gemini/gemini-2.5-pro", None, "gemini/gemini-2.5-pro"),
            ("gemini-2.5-pro", Some("gemini"), "gemini/gemini-2.5-pro"),
            ("gemini-2.5-pro", Some("vertex_ai"), "gemini-2.5-pro"),
            ("vertex_ai/gemini-2.5-pro", None, "gemini-2.5-pro"),
            (
                "bedrock/converse/anthropic.claude-3-haiku-20240307-v1:0",
                None,
                "anthropic.claude-3-haiku-20240307-v1:0",
            ),
            (
                "bedrock/apac.amazon.nova-lite-v1:0",
                None,
                "apac.amazon.nova-lite-v1:0",
            ),
            (
                "bedrock/xx.amazon.nova-lite-v1:0",
                None,
                "amazon.nova-lite-v1:0",
            ),
            ("ft:gpt-4o-2024-08-06:org::id", None, "ft:gpt-4o-2024-08-06"),
            ("cohere_chat/command-r", None, "command-r"),
            ("cohere/command-r", None, "command-r"),
            (
                "groq/llama-3.1-8b-instant",
                None,
                "groq/llama-3.1-8b-instant",
            ),
        ] {
            assert_eq!(
                key(model, provider).as_deref(),
                Some(wanted),
                "{model} of {provider:?}"
            );
        }
    }

    #[test]
    fn a_name_of_another_provider_says_nothing() {
        for (model, provider) in [
            ("gpt-4o", Some("groq")),
            ("custom_openai/gpt-4o", None),
            ("anthropic/gpt-4o", None),
            ("", None),
            ("/", None),
            ("openai/", None),
        ] {
            assert_eq!(key(model, provider), None, "{model} of {provider:?}");
        }
    }

    #[test]
    fn limits_are_those_of_the_table() {
        assert_eq!(max_output_tokens("openai", "gpt-4o"), Some(16_384));
        assert_eq!(max_input_tokens("openai", "gpt-4o"), Some(128_000));
        assert_eq!(
            max_output_tokens("anthropic", "claude-sonnet-4-5"),
            Some(64_000)
        );
        assert_eq!(max_output_tokens("anthropic", "my-model"), None);
    }

    #[test]
    fn what_is_registered_wins_and_the_other_facts_stay() {
        let name = "openai/registered-in-a-test";
        assert!(find(name, None).is_none());
        register(
            name,
            object(json!({"max_input_tokens": 10, "litellm_provider": "openai"})),
        );
        register(name, object(json!({"max_output_tokens": 5})));
        assert_eq!(max_input_tokens("openai", "registered-in-a-test"), Some(10));
        assert_eq!(max_output_tokens("openai", "registered-in-a-test"), Some(5));
        assert!(names().iter().any(|known| known == name));
        assert!(forget(name));
        assert!(find(name, None).is_none());

        // One of the table, at a provider that nobody else here asks about.
        let name = "zai/glm-4.5-airx";
        let before = find(name, None).unwrap().facts;
        register(name, object(json!({"input_cost_per_token": 1})));
        let after = find("glm-4.5-airx", Some("zai")).unwrap().facts;
        assert_eq!(after["input_cost_per_token"], json!(1));
        assert_eq!(
            after["output_cost_per_token"],
            before["output_cost_per_token"]
        );
        assert!(forget(name));
        assert_eq!(find(name, None).unwrap().facts, before);
    }

    #[test]
    fn capabilities_are_those_of_the_table_and_an_unknown_one_is_refused() {
        let mut inside: Vec<String> = Vec::new();
        for name in table::table().names() {
            let facts = table::table().facts(name).unwrap();
            let found = facts
                .keys()
                .filter_map(|fact| fact.strip_prefix("supports_"));
            for capability in found {
                if !inside.iter().any(|known| known == capability) {
                    inside.push(capability.to_owned());
                }
            }
        }
        inside.sort_unstable();
        assert_eq!(inside, CAPABILITIES[..CAPABILITIES.len() - 5]);
        assert!(supports("gpt-4o", None, "tools").unwrap());
        assert!(supports("gpt-4o", None, "supports_vision").unwrap());
        assert!(!supports("gpt-4o", None, "reasoning").unwrap());
        assert!(!supports("my-model", None, "vision").unwrap());
        let error = supports("gpt-4o", None, "vison").unwrap_err();
        assert!(
            error.message().contains("did you mean \"vision\""),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_model_is_an_error_that_says_what_is_near_and_what_to_do() {
        let error = known("gtp-4o", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("\"gpt-4o\""), "{error}");
        assert!(error.message().contains("register_model"), "{error}");
        assert!(error.message().contains(date()), "{error}");
        let error = known("anthropic/claude-sonet-4-5", None).unwrap_err();
        assert!(error.message().contains("\"claude-sonnet-4-5\""), "{error}");
    }
}
