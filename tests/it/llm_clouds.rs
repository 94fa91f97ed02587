//! Databricks, watsonx, Hugging Face's router and Snowflake: where they are, who asks, and what is
//! particular about their bodies.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::answer;
use toolbridge::llm::client::{ChatClient, ChatRequest, Limits, Trust};
use toolbridge::llm::conversion::parameters::Policy;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint as Target, Settings};
use toolbridge::llm::wire::Wire;

use crate::llm_conversion::play::Play;
use crate::llm_endpoint::{Endpoint, answer as reply};

const ANSWER: &str =
    r#"{"choices":[{"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}]}"#;

fn settings(base: &str, key: &str, options: &Value) -> Settings {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Settings {
        api_key: text(key),
        api_base: text(base),
        options: options.as_object().unwrap().clone(),
        ..Settings::default()
    }
}

fn resolve(model: &str, settings: &Settings, variables: &[(&str, &str)]) -> Result<Target, Error> {
    let model = ModelId::resolve(model, None, None).unwrap();
    Target::resolve(&model, settings, &|name| {
        let mut found = variables.iter().filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| (*value).to_owned())
    })
}

fn request(model: &str, endpoint: Target, body: &Value) -> ChatRequest {
    ChatRequest {
        policy: Policy::default(),
        endpoint,
        model: ModelId::resolve(model, None, None).unwrap(),
        body: body.to_string().into(),
        limits: Limits::default(),
        max_retries: 0,
        trust: Trust::System,
    }
}

fn body_of(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn a_workspace_of_databricks_is_found_by_its_host() {
    let wanted = "https://w.databricks.com/serving-endpoints/chat/completions";
    let url = |base: &str, variables: &[(&str, &str)]| {
        let settings = settings(base, "dapi-key", &json!({}));
        let endpoint = resolve("databricks/dbrx", &settings, variables).unwrap();
        assert_eq!(endpoint.headers[AUTHORIZATION], "Bearer dapi-key");
        endpoint.url.to_string()
    };
    for base in [
        "https://w.databricks.com",
        "https://w.databricks.com/serving-endpoints/",
    ] {
        assert_eq!(url(base, &[]), wanted);
    }
    for host in ["w.databricks.com", "https://w.databricks.com"] {
        assert_eq!(url("", &[("DATABRICKS_HOST", host)]), wanted);
    }
    let own = "https://w.databricks.com/serving-endpoints/mine/invocations";
    assert_eq!(url(own, &[]), own);
    let error = resolve("databricks/dbrx", &settings("", "k", &json!({})), &[]).unwrap_err();
    assert!(error.message().contains("DATABRICKS_HOST"), "{error}");
}

#[tokio::test]
async fn a_service_principal_gets_its_token_from_the_workspace() {
    let token = r#"{"access_token":"token-d","expires_in":3600}"#;
    let replies = vec![reply("200 OK", "", token), reply("200 OK", "", ANSWER)];
    let endpoint = Endpoint::start(replies).await;
    let options = json!({"client_id": "id", "client_secret": "hush"});
    let settings = settings(&endpoint.origin, "", &options);
    let model = "databricks/dbrx";
    let target = resolve(model, &settings, &[]).unwrap();
    let request = request(model, target, &json!({"model": "dbrx", "messages": []}));
    ChatClient::default().complete(&request).await.unwrap();
    let requests = endpoint.requests();
    assert!(
        requests[0].starts_with("POST /oidc/v1/token "),
        "{}",
        requests[0]
    );
    // id:hush
    assert!(
        requests[0].contains("Basic aWQ6aHVzaA=="),
        "{}",
        requests[0]
    );
    assert!(requests[0].ends_with("grant_type=client_credentials&scope=all-apis"));
    assert!(requests[1].contains("Bearer token-d"), "{}", requests[1]);
}

#[test]
fn claudes_thoughts_at_databricks_are_taken_out_of_the_content_and_put_back() {
    let body = json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm.", "signature": "sig"}]},
        {"type": "text", "text": "Sunny."},
    ]}}]});
    let checked = answer::check(Bytes::from(body.to_string())).unwrap();
    let checked: Value = serde_json::from_slice(&checked).unwrap();
    let message = &checked["choices"][0]["message"];
    assert_eq!(message["content"], "Sunny.");
    assert_eq!(message["reasoning_content"], "Hm.");
    let block = json!({"type": "thinking", "thinking": "Hm.", "signature": "sig"});
    assert_eq!(message["thinking_blocks"], json!([block]));

    let settings = settings("http://127.0.0.1:9", "k", &json!({}));
    let play = Play::with("databricks/databricks-claude-sonnet-4-5", settings);
    let sent =
        play.sent(&json!({"messages": [message], "reasoning_effort": "low", "max_tokens": 100}));
    assert_eq!(
        sent["messages"][0]["content"],
        body["choices"][0]["message"]["content"]
    );
    assert!(sent["messages"][0].get("thinking_blocks").is_none());
    assert_eq!(
        sent["thinking"],
        json!({"type": "enabled", "budget_tokens": 1024})
    );
    assert_eq!(sent["max_tokens"], 1124);
}

#[test]
fn a_chunk_with_parts_is_taken_apart_and_another_is_untouched() {
    let chunk = |content: Value| {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": content}}]});
        let chunk = answer::repair_chunk(Bytes::from(chunk.to_string()));
        serde_json::from_slice::<Value>(&chunk).unwrap()["choices"][0]["delta"].clone()
    };
    let thoughts =
        json!([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}]);
    assert_eq!(chunk(thoughts)["reasoning_content"], "Hm");
    assert_eq!(
        chunk(json!([{"type": "text", "text": "Sun"}]))["content"],
        "Sun"
    );
    let logprobs = Bytes::from_static(
        br#"{"choices":[{"delta":{"content":"a [list]"},"logprobs":{"content":[]}}]}"#,
    );
    let came = logprobs.as_ptr();
    assert_eq!(answer::repair_chunk(logprobs).as_ptr(), came);
}

#[tokio::test]
async fn watsonx_gets_a_token_for_the_key_and_the_project_in_the_body() {
    let token = r#"{"access_token":"token-w","expires_in":3600,"expiration":1}"#;
    let replies = vec![reply("200 OK", "", token), reply("200 OK", "", ANSWER)];
    let endpoint = Endpoint::start(replies).await;
    let iam = format!("{}/identity/token", endpoint.origin);
    let options = json!({"project_id": "project-1"});
    let settings = settings(&endpoint.origin, "ibm-key", &options);
    let model = "watsonx/ibm/granite-3-8b-instruct";
    let target = resolve(model, &settings, &[("WATSONX_IAM_URL", &iam)]).unwrap();
    let stream = target.stream_url.as_ref().unwrap().to_string();
    assert!(
        stream.contains("/ml/v1/text/chat_stream?version=20"),
        "{stream}"
    );
    let body = json!({
        "model": "ibm/granite-3-8b-instruct",
        "messages": [{"role": "developer", "content": "Be short."}],
        "tools": [{"type": "function", "function": {"name": "look", "strict": true}}],
        "tool_choice": "required",
    });
    let request = request(model, target, &body);
    ChatClient::default().complete(&request).await.unwrap();
    let requests = endpoint.requests();
    assert!(
        requests[0].starts_with("POST /identity/token "),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].ends_with(
            "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=ibm-key"
        )
    );
    assert!(
        requests[1].starts_with("POST /ml/v1/text/chat?version=20"),
        "{}",
        requests[1]
    );
    assert!(requests[1].contains("Bearer token-w"), "{}", requests[1]);
    assert_eq!(
        body_of(&requests[1]),
        json!({
            "messages": [{"role": "system", "content": "Be short."}],
            "tools": [{"type": "function", "function": {"name": "look"}}],
            "tool_choice_option": "required",
            "model_id": "ibm/granite-3-8b-instruct",
            "project_id": "project-1",
        })
    );
}

#[test]
fn watsonx_needs_a_place_and_a_project_and_knows_deployments() {
    let none = settings("", "k", &json!({}));
    let error = resolve("watsonx/m", &none, &[]).unwrap_err();
    assert!(error.message().contains("WATSONX_URL"), "{error}");
    let region = settings("", "k", &json!({"watsonx_region_name": "eu-de"}));
    let error = resolve("watsonx/m", &region, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("WATSONX_PROJECT_ID"), "{error}");
    let endpoint = resolve("watsonx/deployment/d-1", &region, &[]).unwrap();
    let url = endpoint.url.as_str();
    assert!(
        url.starts_with("https://eu-de.ml.cloud.ibm.com/ml/v1/deployments/d-1/text/chat?"),
        "{url}"
    );
    assert!(endpoint.members.is_empty());
    let variables = [("WATSONX_ZENAPIKEY", "zen-key"), ("WATSONX_SPACE_ID", "s")];
    let zen = resolve(
        "watsonx/m",
        &settings("http://h", "", &json!({})),
        &variables,
    )
    .unwrap();
    assert_eq!(zen.headers[AUTHORIZATION], "ZenApiKey zen-key");
    assert_eq!(zen.members["space_id"], "s");
}

#[test]
fn the_router_of_hugging_face_has_the_provider_behind_the_model() {
    let name = |model| ModelId::resolve(model, None, None).unwrap().name;
    assert_eq!(
        name("huggingface/together/deepseek-ai/R1"),
        "deepseek-ai/R1:together"
    );
    assert_eq!(name("huggingface/deepseek-ai/R1"), "deepseek-ai/R1");
    let url = |base: &str| {
        let endpoint = resolve(
            "huggingface/a/b",
            &settings(base, "", &json!({})),
            &[("HF_TOKEN", "hf_1")],
        );
        let endpoint = endpoint.unwrap();
        assert_eq!(endpoint.headers[AUTHORIZATION], "Bearer hf_1");
        endpoint.url.to_string()
    };
    assert_eq!(url(""), "https://router.huggingface.co/v1/chat/completions");
    let own = "https://x.endpoints.huggingface.cloud/v1/chat/completions";
    for base in ["", "/v1", "/v1/chat/completions"] {
        assert_eq!(
            url(&format!("https://x.endpoints.huggingface.cloud{base}")),
            own
        );
    }
}

#[test]
fn cortex_is_asked_for_claude_as_anthropic_and_for_others_as_openai() {
    let account = json!({"account_id": "org-account"});
    let given = settings("", "pat/token-1", &account);
    let endpoint = resolve("snowflake/llama3.3-70b", &given, &[]).unwrap();
    assert_eq!(
        endpoint.url.as_str(),
        "https://org-account.snowflakecomputing.com/api/v2/cortex/v1/chat/completions"
    );
    assert_eq!(endpoint.headers[AUTHORIZATION], "Bearer token-1");
    let kind = "x-snowflake-authorization-token-type";
    assert_eq!(endpoint.headers[kind], "PROGRAMMATIC_ACCESS_TOKEN");
    for base in [
        "https://h",
        "https://h/api/v2",
        "https://h/api/v2/cortex/v1/",
    ] {
        let settings = settings(base, "", &json!({}));
        let claude = resolve(
            "snowflake/claude-sonnet-4-5",
            &settings,
            &[("SNOWFLAKE_JWT", "jwt-1")],
        );
        let claude = claude.unwrap();
        assert_eq!(claude.url.as_str(), "https://h/api/v2/cortex/v1/messages");
        assert_eq!(claude.wire, Wire::Anthropic);
        assert_eq!(claude.headers[kind], "KEYPAIR_JWT");
        assert_eq!(claude.headers["anthropic-version"], "2023-06-01");
    }
    let pat = settings("https://h", "", &json!({}));
    let pat = resolve("snowflake/m", &pat, &[("SNOWFLAKE_PAT", "token-2")]).unwrap();
    assert_eq!(pat.headers[kind], "PROGRAMMATIC_ACCESS_TOKEN");
    let strange = settings("", "k", &json!({"account_id": "evil.com/x"}));
    assert!(resolve("snowflake/m", &strange, &[]).is_err());
}
