//! What OpenAI's reasoning models take of the parameters of a chat completion.

use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::provider::Settings;

use super::play::Play;

fn with_hello(parameters: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "Hello"}]});
    for (name, value) in parameters.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn the_older_name_of_the_limit_becomes_the_newer_one() {
    for model in ["o3-mini", "gpt-5-mini", "gpt-5.1", "gpt-5-chat-latest"] {
        let sent = Play::new(model).sent(&with_hello(&json!({"max_tokens": 7})));
        assert_eq!(sent["max_completion_tokens"], 7, "{model}");
        assert!(sent.get("max_tokens").is_none(), "{model}");
    }
    let both = json!({"max_tokens": 7, "max_completion_tokens": 9});
    assert_eq!(
        Play::new("o3").sent(&with_hello(&both))["max_completion_tokens"],
        9
    );
    let older = Play::new("gpt-4o").sent(&with_hello(&json!({"max_tokens": 7})));
    assert_eq!(older["max_tokens"], 7);
}

#[test]
fn sampling_is_refused_or_dropped_or_allowed_as_the_caller_says() {
    let body = with_hello(&json!({"temperature": 0.2, "top_p": 0.9}));
    for model in ["o3-mini", "gpt-5", "openai/gpt-5-mini"] {
        let mut play = Play::new(model);
        let error = play.request(&body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedParams, "{model}");
        assert!(error.message().contains("temperature, top_p"), "{error}");
        play.policy.allowed = vec!["temperature".to_owned(), "top_p".to_owned()];
        assert_eq!(play.sent(&body)["temperature"], 0.2);
        play.policy.allowed.clear();
        play.policy.drop_params = true;
        assert!(play.sent(&body).get("temperature").is_none());
    }
    Play::new("gpt-5").sent(&with_hello(&json!({"temperature": 1, "top_p": 1.0})));
}

#[test]
fn later_models_sample_as_long_as_they_do_not_reason() {
    let play = Play::new("gpt-5.1");
    for effort in [json!({}), json!({"reasoning_effort": "none"})] {
        let mut body = with_hello(&effort);
        body["temperature"] = json!(0.2);
        assert_eq!(play.sent(&body)["temperature"], 0.2);
    }
    let body = with_hello(&json!({"temperature": 0.2, "reasoning_effort": "high"}));
    assert!(
        play.request(&body)
            .unwrap_err()
            .message()
            .contains("temperature")
    );
}

#[test]
fn a_deployment_of_azure_says_by_its_prefix_what_it_is() {
    let settings = Settings {
        api_base: Some("http://127.0.0.1:9".to_owned()),
        ..Settings::default()
    };
    let play = Play::with("azure/o_series/mine", settings);
    let sent = play.sent(&with_hello(&json!({"max_tokens": 7})));
    assert_eq!(sent["max_completion_tokens"], 7);
    assert!(
        play.endpoint
            .url
            .path()
            .ends_with("/deployments/mine/chat/completions")
    );
}
