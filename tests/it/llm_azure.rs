//! Azure OpenAI: where deployments are, who asks, and tokens that an authorization server gives.

use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::client::{ChatClient, ChatRequest, Limits, Trust};
use toolbridge::llm::conversion::parameters::Policy;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint as Target, Settings};
use toolbridge::llm::wire::Wire;

use crate::llm_endpoint::{Endpoint, answer};

const ANSWER: &str =
    r#"{"choices":[{"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}]}"#;

fn resolve(
    model: &str,
    base: &str,
    given: Value,
    variables: &[(&str, &str)],
) -> Result<Target, Error> {
    let Value::Object(mut options) = given else {
        panic!("options are an object")
    };
    let key = options.shift_remove("api_key");
    let settings = Settings {
        api_key: key.map(|key| key.as_str().unwrap().to_owned()),
        api_base: (!base.is_empty()).then(|| base.to_owned()),
        options,
        ..Settings::default()
    };
    let model = ModelId::resolve(model, None, None).unwrap();
    Target::resolve(&model, &settings, &|name| {
        let mut found = variables.iter().filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| (*value).to_owned())
    })
}

fn url(model: &str, base: &str, given: Value) -> String {
    let mut given = given;
    given["api_key"] = json!("azure-key");
    resolve(model, base, given, &[]).unwrap().url.to_string()
}

#[test]
fn a_deployment_has_a_url_of_its_own() {
    let version = json!({"api_version": "2024-10-21"});
    let wanted = "https://r.openai.azure.com/openai/deployments/mine/chat/completions?api-version=2024-10-21";
    for base in [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/deployments/mine",
        "https://r.openai.azure.com/openai/deployments/mine/chat/completions",
    ] {
        assert_eq!(url("azure/mine", base, version.clone()), wanted, "{base}");
    }
    let named = "https://r.openai.azure.com?api-version=2023-05-15";
    assert!(url("azure/mine", named, version).ends_with("?api-version=2023-05-15"));
    let plain = url("azure/mine", "https://r.openai.azure.com", json!({}));
    assert!(plain.contains("?api-version=20"), "{plain}");
}

#[test]
fn version_1_has_the_model_in_the_body() {
    let base = "https://r.openai.azure.com";
    let wanted = "https://r.openai.azure.com/openai/v1/chat/completions";
    for version in ["v1", "latest"] {
        assert_eq!(
            url("azure/m", base, json!({"api_version": version})),
            wanted
        );
    }
    assert_eq!(
        url("azure/m", base, json!({"api_version": "preview"})),
        format!("{wanted}?api-version=preview")
    );
    for base in [
        "https://r.openai.azure.com/openai/v1/",
        "https://r.openai.azure.com/openai/v1",
    ] {
        assert_eq!(url("azure/m", base, json!({})), wanted);
    }
}

#[test]
fn the_responses_of_azure_are_not_of_a_deployment() {
    let base = "https://r.openai.azure.com";
    for model in ["azure/responses/mine", "azure/gpt-5-codex"] {
        let date = json!({"api_version": "2025-04-01-preview"});
        assert_eq!(
            url(model, base, date),
            "https://r.openai.azure.com/openai/responses?api-version=2025-04-01-preview"
        );
        assert_eq!(
            url(model, base, json!({})),
            "https://r.openai.azure.com/openai/v1/responses"
        );
    }
    let endpoint = resolve("azure/responses/m", base, json!({"api_key": "k"}), &[]).unwrap();
    assert_eq!(endpoint.wire, Wire::Responses);
}

#[test]
fn models_of_the_foundry_are_where_their_makers_protocol_is() {
    let base = "https://r.services.ai.azure.com";
    assert_eq!(
        url(
            "azure_ai/mistral-large",
            base,
            json!({"api_version": "2024-05-01-preview"})
        ),
        "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"
    );
    assert_eq!(
        url(
            "azure_ai/m",
            "https://m.eastus.models.ai.azure.com",
            json!({})
        ),
        "https://m.eastus.models.ai.azure.com/chat/completions"
    );
    let given = json!({"api_key": "azure-key"});
    for base in [base, "https://r.services.ai.azure.com/anthropic"] {
        let claude = resolve("azure_ai/claude-sonnet-4-5", base, given.clone(), &[]).unwrap();
        assert_eq!(
            claude.url.as_str(),
            "https://r.services.ai.azure.com/anthropic/v1/messages"
        );
        assert_eq!(claude.wire, Wire::Anthropic);
        assert_eq!(claude.headers["x-api-key"], "azure-key");
        assert_eq!(claude.headers["anthropic-version"], "2023-06-01");
    }
    let own = resolve(
        "azure_ai/m",
        "https://m.eastus.models.ai.azure.com",
        given.clone(),
        &[],
    );
    assert_eq!(own.unwrap().headers[AUTHORIZATION], "Bearer azure-key");
    let other = resolve("azure_ai/m", base, given, &[]).unwrap();
    assert_eq!(other.headers["api-key"], "azure-key");
}

#[test]
fn what_the_caller_says_goes_before_variables_and_a_key_before_a_token() {
    let base = "https://r.openai.azure.com";
    let header = |given: Value, variables: &[(&str, &str)]| {
        let endpoint = resolve("azure/m", base, given, variables).unwrap();
        let found = ["api-key", "authorization"]
            .iter()
            .find_map(|name| Some((*name, endpoint.headers.get(*name)?)));
        found.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
    };
    let all = [
        ("AZURE_API_KEY", "first"),
        ("AZURE_OPENAI_API_KEY", "second"),
        ("AZURE_AD_TOKEN", "token-v"),
    ];
    let key = |key: &str| Some(format!("api-key: {key}"));
    let bearer = |token: &str| Some(format!("authorization: Bearer {token}"));
    assert_eq!(header(json!({"api_key": "k1"}), &all), key("k1"));
    assert_eq!(header(json!({"azure_ad_token": "t1"}), &all), bearer("t1"));
    assert_eq!(header(json!({}), &all), key("first"));
    assert_eq!(header(json!({}), &all[1..]), key("second"));
    assert_eq!(header(json!({}), &all[2..]), bearer("token-v"));
}

#[test]
fn missing_credentials_name_every_place() {
    let error = resolve("azure/m", "https://h", json!({}), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    for place in [
        "AZURE_API_KEY",
        "api_key",
        "AZURE_AD_TOKEN",
        "azure_ad_token_provider",
        "tenant_id",
    ] {
        assert!(error.message().contains(place), "{error}");
    }
    let given = json!({"client_id": "c", "client_secret": "hush-hush"});
    let error = resolve("azure/m", "https://h", given, &[("AZURE_API_KEY", "k")]).unwrap_err();
    assert!(error.message().contains("AZURE_TENANT_ID"), "{error}");
    assert!(!error.message().contains("hush"), "{error}");
    let error = resolve("azure/m", "", json!({"api_key": "k"}), &[]).unwrap_err();
    assert!(error.message().contains("AZURE_API_BASE"), "{error}");
}

/// A request to a deployment behind `origin`, whose tokens come from there too.
fn with_client(origin: &str, secret: &str) -> ChatRequest {
    let given = json!({"tenant_id": "t", "client_id": "c", "client_secret": secret});
    let authority = format!("{origin}/login");
    let variables = [("AZURE_AUTHORITY_HOST", authority.as_str())];
    ChatRequest {
        policy: Policy::default(),
        endpoint: resolve("azure/mine", origin, given, &variables).unwrap(),
        model: ModelId::resolve("azure/mine", None, None).unwrap(),
        body: r#"{"model":"mine","messages":[]}"#.into(),
        limits: Limits::default(),
        max_retries: 0,
        trust: Trust::System,
    }
}

#[tokio::test]
async fn a_token_for_a_client_is_asked_for_once() {
    let token = r#"{"access_token":"token-1","token_type":"Bearer","expires_in":"3600"}"#;
    let replies = vec![
        answer("200 OK", "", token),
        answer("200 OK", "", ANSWER),
        answer("200 OK", "", ANSWER),
    ];
    let endpoint = Endpoint::start(replies).await;
    let client = ChatClient::default();
    for _ in 0..2 {
        let request = with_client(&endpoint.origin, "s3cret&word");
        client.complete(&request).await.unwrap();
    }
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[0].starts_with("POST /login/t/oauth2/v2.0/token HTTP/1.1"),
        "{}",
        requests[0]
    );
    let form = requests[0].rsplit("\r\n").next().unwrap();
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=c&client_secret=s3cret%26word\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    for request in &requests[1..] {
        let head = request.to_ascii_lowercase();
        assert!(
            head.contains("authorization: bearer token-1\r\n"),
            "{request}"
        );
        assert!(
            head.starts_with("post /openai/deployments/mine/chat/completions?"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_token_that_ends_at_once_is_asked_for_again() {
    let token = |name: &str| format!(r#"{{"access_token":"{name}","expires_in":0}}"#);
    let replies = vec![
        answer("200 OK", "", &token("token-1")),
        answer("200 OK", "", ANSWER),
        answer("200 OK", "", &token("token-2")),
        answer("200 OK", "", ANSWER),
    ];
    let endpoint = Endpoint::start(replies).await;
    let request = with_client(&endpoint.origin, "another-secret");
    let client = ChatClient::default();
    client.complete(&request).await.unwrap();
    client.complete(&request).await.unwrap();
    let last = endpoint.requests().pop().unwrap().to_ascii_lowercase();
    assert!(last.contains("authorization: bearer token-2\r\n"), "{last}");
}

#[tokio::test]
async fn a_refused_client_is_told_why_without_its_secret() {
    let body =
        r#"{"error":"invalid_client","error_description":"the secret wrong-secret is not it"}"#;
    let endpoint = Endpoint::start(vec![answer("401 Unauthorized", "", body)]).await;
    let request = with_client(&endpoint.origin, "wrong-secret");
    let error = ChatClient::default().complete(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(
        error.message().contains("the secret [redacted] is not it"),
        "{error}"
    );
    assert_eq!(error.context().provider.as_deref(), Some("azure"));
    assert_eq!(endpoint.requests().len(), 1);
}

#[tokio::test]
async fn a_prompt_that_the_policy_refuses_is_a_content_policy_violation() {
    let body = r#"{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#;
    let endpoint = Endpoint::start(vec![answer("400 Bad Request", "", body)]).await;
    let mut request = with_client(&endpoint.origin, "x");
    let given = json!({"api_key": "azure-key"});
    request.endpoint = resolve("azure/mine", &endpoint.origin, given, &[]).unwrap();
    let error = ChatClient::default().complete(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContentPolicyViolation);
    assert!(error.context().body.as_ref().unwrap().contains("severity"));
}

#[tokio::test]
async fn a_plain_request_goes_out_byte_for_byte_and_one_of_a_reasoning_model_does_not() {
    let replies = vec![answer("200 OK", "", ANSWER), answer("200 OK", "", ANSWER)];
    let endpoint = Endpoint::start(replies).await;
    let body = r#"{ "model" : "mine","messages":[ ], "max_tokens":100 ,"temperature":0.50}"#;
    for (model, wanted) in [
        ("azure/gpt-4o", body),
        (
            "azure/gpt-5.1",
            r#"{"model":"mine","messages":[],"temperature":0.50,"max_completion_tokens":100}"#,
        ),
    ] {
        let mut request = with_client(&endpoint.origin, "x");
        let given = json!({"api_key": "azure-key"});
        request.endpoint = resolve(model, &endpoint.origin, given, &[]).unwrap();
        request.model = ModelId::resolve(model, None, None).unwrap();
        request.body = body.into();
        ChatClient::default().complete(&request).await.unwrap();
        let sent = endpoint.requests().pop().unwrap();
        assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, wanted);
    }
}

#[tokio::test]
async fn a_conversation_that_another_provider_began_goes_on_without_what_openai_refuses() {
    let endpoint = Endpoint::start(vec![answer("200 OK", "", ANSWER)]).await;
    let mut request = endpoint.request();
    request.body = r#"{"model":"gpt-4o","messages":[{"role":"assistant","content":"a","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"}],"reasoning_content":"hm"},{"role":"user","content":"b"}]}"#.into();
    ChatClient::default().complete(&request).await.unwrap();
    let sent = endpoint.requests().pop().unwrap();
    assert_eq!(
        sent.split_once("\r\n\r\n").unwrap().1,
        r#"{"model":"gpt-4o","messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}"#
    );
}
