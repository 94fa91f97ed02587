//! The table of providers: every row is wired, and every name of the list is a row.

use http::header;
use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::catalogue;
use toolbridge::llm::conversion::parameters::{OPENAI, Policy, adapt};
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::service::Kind;
use toolbridge::llm::provider::{self, Endpoint, Provider, Settings, reference};

/// What follows the base in the URL, where it is not `/chat/completions`.
const PATHS: &[(&str, &str)] = &[
    ("datarobot", "/api/v2/genai/llmgw/chat/completions/"),
    ("docker_model_runner", "/v1/chat/completions"),
    ("gradient_ai", "/api/v1/chat/completions"),
    ("heroku", "/v1/chat/completions"),
    ("ragflow", "/api/v1/chats_openai/one/chat/completions"),
];

const KEY: &str = "key-0123456789";

fn listed() -> impl Iterator<Item = &'static str> {
    include_str!("../fixtures/llm/providers.txt").lines()
}

/// The rows that need no protocol of their own.
fn data() -> impl Iterator<Item = &'static Provider> {
    provider::all().iter().filter(|provider| {
        provider.unsupported.is_none() && matches!(provider.kind, Kind::Openai | Kind::Ragflow)
    })
}

fn resolve(
    provider: &Provider,
    settings: &Settings,
    variables: &[(&str, &str)],
) -> Result<Endpoint, Error> {
    let name = match provider.kind {
        Kind::Ragflow => "chat/one/some-model",
        _ => "some-model",
    };
    let given = format!("{}/{name}", provider.name);
    let model = ModelId::resolve(&given, None, settings.api_base.as_deref())?;
    assert_eq!(
        (model.provider.name, model.name.as_str()),
        (provider.name, name)
    );
    Endpoint::resolve(&model, settings, &|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn at(base: &str) -> Settings {
    Settings {
        api_base: Some(base.to_owned()),
        ..Settings::default()
    }
}

#[test]
fn every_name_of_the_list_is_a_row() {
    assert_eq!(listed().count(), 132);
    let missing: Vec<&str> = listed()
        .filter(|name| provider::by_name(name).is_none())
        .collect();
    assert!(missing.is_empty(), "no row in providers.toml: {missing:?}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = provider::all()
        .iter()
        .map(|provider| provider.name)
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_row_goes_where_its_variables_say_with_the_key_of_each_of_its_variables() {
    for provider in data() {
        let name = provider.name;
        let found = PATHS.iter().find(|(known, _)| *known == name);
        let path = found.map_or("/chat/completions", |(_, path)| path);
        let wanted = format!("https://host.example/base{path}");
        let base = "https://host.example/base";
        let check = |settings: &Settings, variables: &[(&str, &str)]| {
            let endpoint = resolve(provider, settings, variables)
                .unwrap_or_else(|error| panic!("{name} {variables:?}: {error}"));
            assert_eq!(endpoint.url.as_str(), wanted, "{name} {variables:?}");
            assert_eq!(endpoint.url_of(true).as_str(), wanted, "{name}");
            let shown = format!("{endpoint:?}");
            assert!(!shown.contains(KEY), "{name}: {shown}");
            assert_eq!(endpoint.redactor.redact(KEY), "[redacted]", "{name}");
            let (header, value) = match &provider.key_header {
                Some(header) => (header.clone(), KEY.to_owned()),
                None => (header::AUTHORIZATION, format!("Bearer {KEY}")),
            };
            assert_eq!(endpoint.headers[&header], value, "{name} {variables:?}");
            assert!(endpoint.headers[&header].is_sensitive(), "{name}");
        };
        for base_variable in &provider.base_variables {
            for key_variable in &provider.key_variables {
                let variables = [(*base_variable, base), (*key_variable, KEY)];
                check(&Settings::default(), &variables);
            }
        }
        for key_variable in &provider.key_variables {
            check(&at(base), &[(*key_variable, KEY)]);
        }
        let mut settings = at(base);
        settings.api_key = Some(KEY.to_owned());
        check(&settings, &[]);
    }
}

#[test]
fn every_row_without_its_settings_says_which_variables_are_read() {
    for provider in data() {
        let name = provider.name;
        match resolve(provider, &at("https://host.example"), &[]) {
            Ok(endpoint) => {
                assert!(!provider.key_required, "{name} needs no key");
                assert!(
                    !endpoint.headers.contains_key(header::AUTHORIZATION),
                    "{name}"
                );
            }
            Err(error) => {
                assert!(provider.key_required, "{name}: {error}");
                assert_eq!(error.kind(), ErrorKind::Authentication, "{name}");
                for variable in &provider.key_variables {
                    assert!(error.message().contains(variable), "{name}: {error}");
                }
            }
        }
        let keyed = Settings {
            api_key: Some(KEY.to_owned()),
            ..Settings::default()
        };
        match resolve(provider, &keyed, &[]) {
            Ok(endpoint) => {
                let base = provider.default_base.unwrap_or_else(|| panic!("{name}"));
                let host = endpoint.url.host_str().unwrap_or_default();
                let is_here = matches!(host, "localhost" | "127.0.0.1");
                assert_eq!(is_here, endpoint.url.scheme() == "http", "{name}: {base}");
                assert!(
                    endpoint.url.as_str().starts_with(base),
                    "{name}: {}",
                    endpoint.url
                );
                let path = endpoint.url.path().trim_end_matches('/');
                assert!(
                    path.ends_with("/chat/completions"),
                    "{name}: {}",
                    endpoint.url
                );
            }
            Err(error) => {
                assert_eq!(provider.default_base, None, "{name}: {error}");
                assert_eq!(error.kind(), ErrorKind::Configuration, "{name}");
                assert!(error.message().contains("api_base"), "{name}: {error}");
                for variable in &provider.base_variables {
                    assert!(error.message().contains(variable), "{name}: {error}");
                }
                assert!(!format!("{error:?}").contains(KEY), "{name}");
            }
        }
    }
}

#[test]
fn no_error_of_a_row_shows_a_key() {
    for provider in data() {
        for (key, base) in [
            ("bro\nken-secret", "https://host.example"),
            ("a-secret", "nowhere"),
        ] {
            let mut settings = at(base);
            settings.api_key = Some(key.to_owned());
            let error = resolve(provider, &settings, &[]).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{}: {text}", provider.name);
        }
    }
}

#[test]
fn headers_of_a_row_come_from_its_variables() {
    let with = |name: &str, variables: &[(&str, &str)]| {
        let provider = provider::by_name(name).unwrap();
        let mut settings = at("https://host.example");
        settings.api_key = Some(KEY.to_owned());
        resolve(provider, &settings, variables).unwrap().headers
    };
    let headers = with(
        "openrouter",
        &[
            ("OR_SITE_URL", "https://me.example"),
            ("OR_APP_NAME", "mine"),
        ],
    );
    assert_eq!(headers["http-referer"], "https://me.example");
    assert_eq!(headers["x-title"], "mine");
    assert!(!with("openrouter", &[]).contains_key("x-title"));
    let headers = with("sarvam", &[]);
    assert_eq!(headers["api-subscription-key"], KEY);
    assert!(!headers.contains_key(header::AUTHORIZATION));
}

#[test]
fn a_key_in_the_header_of_the_row_is_a_key() {
    let provider = provider::by_name("sarvam").unwrap();
    let settings = Settings {
        headers: vec![("Api-Subscription-Key".to_owned(), KEY.to_owned())],
        ..Settings::default()
    };
    let endpoint = resolve(provider, &settings, &[]).unwrap();
    assert_eq!(endpoint.headers["api-subscription-key"], KEY);
}

#[test]
fn a_provider_that_is_not_supported_says_why_and_has_nothing_else() {
    let mut count = 0;
    for provider in provider::all() {
        let Some(reason) = provider.unsupported else {
            continue;
        };
        count += 1;
        let given = format!("{}/some-model", provider.name);
        for error in [
            ModelId::resolve(&given, None, Some("")).unwrap_err(),
            ModelId::resolve("some-model", Some(provider.name), None).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            assert!(error.message().contains(reason), "{error}");
            assert_eq!(error.context().provider.as_deref(), Some(provider.name));
        }
        assert!(provider.default_base.is_none() && provider.key_variables.is_empty());
        assert!(provider.bare_names.is_empty(), "{}", provider.name);
    }
    assert!(count > 0);
}

#[test]
fn bare_names_go_where_litellm_sends_them() {
    for (model, provider) in [
        ("claude-sonnet-4-5", "anthropic"),
        ("claude-3-opus-20240229", "anthropic"),
        ("gpt-4o", "openai"),
        ("o1", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("ft:gpt-4o:x", "openai"),
        ("codex-mini-latest", "openai"),
        ("jamba-large-1.6", "ai21_chat"),
        ("gemini-2.5-pro", "vertex_ai"),
        ("command-r-plus", "cohere_chat"),
    ] {
        let id = ModelId::resolve(model, None, None).unwrap();
        assert_eq!((id.provider.name, id.name.as_str()), (provider, model));
    }
    // LiteLLM knows no provider for them either.
    for model in [
        "mistral-large-latest",
        "deepseek-chat",
        "grok-4",
        "sonar",
        "llama3",
    ] {
        assert!(ModelId::resolve(model, None, None).is_err(), "{model}");
    }
}

#[test]
fn quirks_name_parameters_that_there_are() {
    for provider in provider::all() {
        let own = &provider.parameters;
        let of_models = own.models.iter().flat_map(|some| &some.unsupported);
        let unsupported = own.unsupported.iter().chain(of_models);
        let others = own
            .rename
            .keys()
            .chain(own.maximum.keys())
            .chain(own.force.keys())
            .chain(own.instead.keys());
        for name in unsupported.chain(others).map(String::as_str) {
            assert!(OPENAI.contains(&name), "{}: {name}", provider.name);
        }
        assert!(
            own.maximum.values().all(Value::is_number),
            "{}",
            provider.name
        );
        assert!(
            own.rename.values().all(Value::is_string),
            "{}",
            provider.name
        );
        for name in own.rename.keys() {
            assert!(!own.unsupported.contains(name), "{}: {name}", provider.name);
        }
        for some in &own.models {
            let again = some
                .unsupported
                .iter()
                .find(|name| own.unsupported.contains(name));
            assert_eq!(again, None, "{}: no model takes it", provider.name);
        }
    }
}

fn adapted(name: &str, body: Value, policy: &Policy) -> Result<Value, Error> {
    adapted_for(&format!("{name}/m"), body, policy)
}

fn adapted_for(model: &str, body: Value, policy: &Policy) -> Result<Value, Error> {
    let (name, _) = model.split_once('/').unwrap();
    let (Some(provider), Value::Object(body)) = (provider::by_name(name), body) else {
        unreachable!("a provider and an object");
    };
    adapt(body, provider, model, policy).map(Value::Object)
}

#[test]
fn what_is_particular_about_parameters_is_done_to_the_body() {
    let done = |name, body| adapted(name, body, &Policy::default()).unwrap();
    assert_eq!(
        done("poe", json!({"max_completion_tokens": 5})),
        json!({"max_tokens": 5})
    );
    assert_eq!(
        done("streamlake", json!({"max_tokens": 5})),
        json!({"max_completion_tokens": 5})
    );
    assert_eq!(
        done("parasail", json!({"store": true})),
        json!({"store": false})
    );
    assert_eq!(
        done("scx-ai", json!({"temperature": 2})),
        json!({"temperature": 1.99})
    );
    for low in [
        json!({"temperature": 1.5}),
        json!({}),
        json!({"temperature": null}),
    ] {
        assert_eq!(done("scx-ai", low.clone()), low);
    }
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    assert_eq!(
        done(
            "publicai",
            json!({"messages": [{"role": "user", "content": parts}]})
        ),
        json!({"messages": [{"role": "user", "content": "ab"}]})
    );
}

#[test]
fn parameters_that_a_row_refuses_are_refused_by_name_unless_the_caller_says_otherwise() {
    let body = json!({"logit_bias": {"1": 1}, "n": 2, "temperature": 1, "user": "u"});
    let error = adapted("groq", body.clone(), &Policy::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
    assert!(error.message().contains("logit_bias, n "), "{error}");
    let drop = Policy {
        drop_params: true,
        ..Policy::default()
    };
    let sent = adapted("groq", body.clone(), &drop).unwrap();
    assert_eq!(sent, json!({"temperature": 1, "user": "u"}));
    let allow = Policy {
        allowed: vec!["n".to_owned(), "logit_bias".to_owned()],
        ..Policy::default()
    };
    assert_eq!(adapted("groq", body.clone(), &allow).unwrap(), body);
}

#[test]
fn a_value_that_changes_nothing_is_left_out_where_the_parameter_is_refused() {
    let nothing = json!({
        "n": 1, "logit_bias": {}, "logprobs": false, "frequency_penalty": 0,
        "parallel_tool_calls": true, "modalities": ["text"], "top_logprobs": null,
    });
    let sent = adapted("ai21", nothing, &Policy::default()).unwrap();
    assert_eq!(sent, json!({"n": 1}));
}

#[test]
fn models_of_xai_that_reason_refuse_what_reasoning_refuses() {
    let body = json!({"stop": "x", "presence_penalty": 0.5, "frequency_penalty": 0.5});
    let reasons = |model: &str| adapted_for(model, body.clone(), &Policy::default()).is_err();
    let known = catalogue::names().into_iter();
    let known: Vec<String> = known.filter(|name| name.starts_with("xai/")).collect();
    for model in &known {
        if catalogue::supports(model, None, "reasoning").unwrap() {
            assert!(reasons(model), "{model}");
        }
    }
    // What the catalogue does not say of models that do.
    for model in ["xai/grok-4", "xai/grok-4-fast-reasoning"] {
        assert!(reasons(model), "{model}");
    }
    for model in [
        "xai/grok-3",
        "xai/grok-2-1212",
        "xai/grok-4-fast-non-reasoning",
        "xai/grok-4.20-0309-non-reasoning",
    ] {
        assert!(known.iter().any(|name| name == model), "{model}");
        assert!(!reasons(model), "{model}");
    }
    let error = adapted_for("xai/grok-4", body.clone(), &Policy::default()).unwrap_err();
    let names = "frequency_penalty, presence_penalty, stop ";
    assert!(error.message().contains(names), "{error}");
    // A penalty of nothing is refused too, so it does not go out.
    let nothing = json!({"presence_penalty": 0, "seed": 1});
    let sent = adapted_for("xai/grok-4", nothing, &Policy::default()).unwrap();
    assert_eq!(sent, json!({"seed": 1}));
    let allow = Policy {
        allowed: vec!["stop".to_owned()],
        ..Policy::default()
    };
    let stop = json!({"stop": "x"});
    assert_eq!(
        adapted_for("xai/grok-4", stop.clone(), &allow).unwrap(),
        stop
    );
}

#[test]
fn models_of_xai_are_told_how_hard_to_think_where_they_let_themselves_be_told() {
    let effort = json!({"reasoning_effort": "low"});
    let takes = |model| adapted_for(model, effort.clone(), &Policy::default()).is_ok();
    for model in [
        "xai/grok-3-mini",
        "xai/grok-4.3",
        "xai/grok-4.5",
        "xai/grok-4.20-multi-agent-0309",
    ] {
        assert!(takes(model), "{model}");
    }
    for model in [
        "xai/grok-3",
        "xai/grok-4",
        "xai/grok-4-1-fast",
        "xai/grok-4.20-0309-reasoning",
    ] {
        assert!(!takes(model), "{model}");
    }
    // It thinks all the same.
    let none = json!({"reasoning_effort": "none"});
    assert!(adapted_for("xai/grok-4", none.clone(), &Policy::default()).is_err());
    assert_eq!(
        adapted("ai21", none, &Policy::default()).unwrap(),
        json!({})
    );
}

#[test]
fn no_effort_is_no_thinking_at_deepseek() {
    let done = |body| adapted("deepseek", body, &Policy::default()).unwrap();
    assert_eq!(
        done(json!({"reasoning_effort": "none"})),
        json!({"thinking": {"type": "disabled"}})
    );
    let high = json!({"reasoning_effort": "high"});
    assert_eq!(done(high.clone()), high);
    // What the caller says in the provider's own words stands.
    let enabled = json!({"thinking": {"type": "enabled"}});
    let both = json!({"reasoning_effort": "none", "thinking": {"type": "enabled"}});
    assert_eq!(done(both), enabled);
    let allow = Policy {
        allowed: vec!["reasoning_effort".to_owned()],
        ..Policy::default()
    };
    let none = json!({"reasoning_effort": "none"});
    assert_eq!(adapted("deepseek", none.clone(), &allow).unwrap(), none);
}

#[test]
fn the_reference_has_every_provider_and_providers_md_is_what_it_says() {
    let reference = reference::reference();
    for provider in provider::all() {
        assert!(
            reference.contains(&format!("\n| `{}` |", provider.name)),
            "{}",
            provider.name
        );
    }
    assert!(reference.contains("| `OPENROUTER_API_KEY`, `OR_API_KEY` |"));
    let written = include_str!("../../PROVIDERS.md");
    assert!(
        written.ends_with(&format!("-->\n\n{reference}")),
        "PROVIDERS.md is not what the table says: make reference"
    );
}
