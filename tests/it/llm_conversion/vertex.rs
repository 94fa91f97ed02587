//! Vertex AI: where requests go, whose tokens they carry, and Claude's messages as it takes them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::client::{Answer, ChatClient, ChatRequest, Limits, Trust};
use toolbridge::llm::conversion::parameters::Policy;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint, Settings};

use super::play::Play;
use crate::llm_endpoint::{Endpoint as Scripted, Reply, answer};

const GEMINI: &str = "vertex_ai/gemini-2.5-flash";
const SAID: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]},"finishReason":"STOP"}]}"#;
const TOKEN: &str = r#"{"access_token":"a-token","expires_in":3600,"token_type":"Bearer"}"#;

fn options(options: &Value) -> Settings {
    Settings {
        options: options.as_object().unwrap().clone(),
        ..Settings::default()
    }
}

fn resolve(
    model: &str,
    settings: &Settings,
    environment: &[(&str, &str)],
) -> Result<Endpoint, Error> {
    let model = ModelId::resolve(model, None, settings.api_base.as_deref())?;
    Endpoint::resolve(&model, settings, &|name| {
        let mut variables = environment.iter();
        variables
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

/// The URL of a request and that of a stream.
fn urls(model: &str, settings: &Settings, environment: &[(&str, &str)]) -> (String, String) {
    let endpoint = resolve(model, settings, environment).unwrap();
    let [whole, stream] = [false, true].map(|streams| endpoint.url_of(streams).to_string());
    (whole, stream)
}

fn url(model: &str, given: &Value) -> String {
    let mut settings = options(given);
    settings.api_key = Some("a-token".to_owned());
    urls(model, &settings, &[]).0
}

/// A call with these settings and variables.
fn request(model: &str, settings: &Settings, environment: &[(&str, &str)]) -> ChatRequest {
    ChatRequest {
        endpoint: resolve(model, settings, environment).unwrap(),
        model: ModelId::resolve(model, None, Some("")).unwrap(),
        policy: Policy::default(),
        body: r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.into(),
        limits: Limits::default(),
        max_retries: 0,
        trust: Trust::System,
    }
}

/// A call of a model at `base` with these credentials.
async fn call(base: &Scripted, credentials: &Value) -> Result<Answer, Error> {
    let given = json!({"vertex_project": "p", "vertex_credentials": credentials});
    let mut settings = options(&given);
    settings.api_base = Some(base.origin.clone());
    let client = ChatClient::default();
    client.complete(&request(GEMINI, &settings, &[])).await
}

fn json_reply(status: &str, body: &str) -> Reply {
    answer(status, "content-type: application/json\r\n", body)
}

fn user(token_uri: &str, refresh_token: &str) -> Value {
    json!({
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "the-client-secret",
        "refresh_token": refresh_token,
        "token_uri": token_uri,
        "quota_project_id": "who-pays",
    })
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = request.lines();
    lines.find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[test]
fn each_publisher_is_asked_at_its_own_path() {
    let place = json!({"vertex_project": "p", "vertex_location": "us-east5"});
    let start = "https://us-east5-aiplatform.googleapis.com";
    let parent = "projects/p/locations/us-east5";
    for (model, path) in [
        (
            "gemini-2.5-flash",
            format!("v1beta1/{parent}/publishers/google/models/gemini-2.5-flash:generateContent"),
        ),
        (
            "google/gemini-2.5-flash",
            format!("v1beta1/{parent}/publishers/google/models/gemini-2.5-flash:generateContent"),
        ),
        (
            "4965075652664360960",
            format!("v1beta1/{parent}/endpoints/4965075652664360960:generateContent"),
        ),
        (
            "gemini/4965075652664360960",
            format!("v1beta1/{parent}/endpoints/4965075652664360960:generateContent"),
        ),
        (
            "claude-sonnet-4-5@20250929",
            format!(
                "v1/{parent}/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict"
            ),
        ),
        (
            "mistral-large@2411",
            format!("v1/{parent}/publishers/mistralai/models/mistral-large@2411:rawPredict"),
        ),
        (
            "mistralai/codestral-2501",
            format!("v1/{parent}/publishers/mistralai/models/codestral-2501:rawPredict"),
        ),
        (
            "meta/llama-3.1-405b-instruct-maas",
            format!("v1/{parent}/endpoints/openapi/chat/completions"),
        ),
        (
            "openai/gpt-oss-120b-maas",
            format!("v1/{parent}/endpoints/openapi/chat/completions"),
        ),
        (
            "openai/123",
            format!("v1/{parent}/endpoints/123/chat/completions"),
        ),
        (
            "projects/q/locations/eu/publishers/anthropic/models/claude-x",
            "v1/projects/q/locations/eu/publishers/anthropic/models/claude-x:rawPredict".to_owned(),
        ),
        (
            "publishers/google/models/gemini-x",
            format!("v1beta1/{parent}/publishers/google/models/gemini-x:generateContent"),
        ),
    ] {
        assert_eq!(
            url(&format!("vertex_ai/{model}"), &place),
            format!("{start}/{path}"),
            "{model}"
        );
    }
}

#[test]
fn streams_have_urls_of_their_own() {
    let mut settings = options(&json!({"vertex_project": "p", "vertex_location": "global"}));
    settings.api_key = Some("a-token".to_owned());
    let stream = |model| urls(model, &settings, &[]).1;
    assert!(stream(GEMINI).ends_with("gemini-2.5-flash:streamGenerateContent?alt=sse"));
    assert!(stream("vertex_ai/claude-opus-4-6").ends_with("claude-opus-4-6:streamRawPredict"));
    assert!(stream("vertex_ai/mistral-x").ends_with("mistral-x:streamRawPredict"));
    assert!(stream("vertex_ai/meta/llama").ends_with("/openapi/chat/completions"));
}

#[test]
fn the_host_follows_the_location() {
    let host = |model: &str, location: Option<&str>| {
        let url = url(
            model,
            &json!({"vertex_project": "p", "vertex_location": location}),
        );
        let found = url::Url::parse(&url).unwrap();
        let location = found.path().split('/').nth(5).unwrap().to_owned();
        (found.host_str().unwrap().to_owned(), location)
    };
    let pair = |host: &str, location: &str| (host.to_owned(), location.to_owned());
    assert_eq!(
        host(GEMINI, Some("global")),
        pair("aiplatform.googleapis.com", "global")
    );
    assert_eq!(
        host(GEMINI, Some("eu")),
        pair("aiplatform.eu.rep.googleapis.com", "eu")
    );
    assert_eq!(
        host(GEMINI, None),
        pair("us-central1-aiplatform.googleapis.com", "us-central1")
    );
    for global in ["vertex_ai/gemini-3-pro-preview", "vertex_ai/claude-opus-5"] {
        assert_eq!(
            host(global, None),
            pair("aiplatform.googleapis.com", "global")
        );
    }
    let settings = Settings {
        api_key: Some("a-token".to_owned()),
        ..options(&json!({"vertex_project": "p", "vertex_location": "evil.example/"}))
    };
    let error = resolve(GEMINI, &settings, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("us-central1"), "{error}");
}

#[test]
fn a_base_may_be_an_origin_a_version_or_the_url_of_the_model() {
    let from = |base: &str, given: &Value| {
        let mut settings = options(given);
        settings.api_key = Some("a-token".to_owned());
        settings.api_base = Some(base.to_owned());
        urls(GEMINI, &settings, &[]).0
    };
    let place = json!({"vertex_project": "p", "vertex_location": "l"});
    let path = "projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent";
    assert_eq!(
        from("http://h/a/", &place),
        format!("http://h/a/v1beta1/{path}")
    );
    assert_eq!(
        from("http://h/a/v1", &place),
        format!("http://h/a/v1/{path}")
    );
    let own = "http://h/gateway/publishers/google/models/mine";
    assert_eq!(from(own, &json!({})), format!("{own}:generateContent"));
    // Whoever stands between knows the project.
    assert_eq!(
        from("http://h", &json!({})),
        "http://h/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent"
    );
}

#[test]
fn a_name_cannot_lead_out_of_the_models() {
    for name in [
        "../../endpoints/1",
        "meta/../x",
        "projects/%2E./x",
        "a\\..\\b",
    ] {
        let settings = Settings {
            api_key: Some("a-token".to_owned()),
            ..options(&json!({"vertex_project": "p"}))
        };
        let error = resolve(&format!("vertex_ai/{name}"), &settings, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest, "{name}");
    }
}

#[test]
fn the_project_is_looked_for_where_it_is_said_most_clearly() {
    let mine = user("http://127.0.0.1:9", "r").to_string();
    let project = |given: &Value, environment: &[(&str, &str)]| {
        let (whole, _) = urls(GEMINI, &options(given), environment);
        let path = whole.split_once("/projects/").unwrap().1;
        path.split('/').next().unwrap().to_owned()
    };
    let variables = [
        ("GOOGLE_CLOUD_PROJECT", "of-google"),
        ("VERTEXAI_PROJECT", "of-vertex"),
    ];
    assert_eq!(
        project(&json!({"vertex_project": "given"}), &variables),
        "given"
    );
    assert_eq!(
        project(&json!({"vertex_ai_project": "given"}), &variables),
        "given"
    );
    assert_eq!(project(&json!({}), &variables), "of-vertex");
    assert_eq!(project(&json!({}), &variables[..1]), "of-google");
    let given = json!({"vertex_credentials": mine});
    assert_eq!(project(&given, &variables[..1]), "who-pays");
    let as_object = json!({"vertex_credentials": user("http://127.0.0.1:9", "r")});
    assert_eq!(project(&as_object, &[]), "who-pays");
}

#[test]
fn a_missing_project_names_every_place_that_was_looked_in() {
    let settings = Settings {
        api_key: Some("a-token".to_owned()),
        ..Settings::default()
    };
    let error = resolve(GEMINI, &settings, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    for place in [
        "vertex_project",
        "VERTEXAI_PROJECT",
        "GOOGLE_CLOUD_PROJECT",
        "project_id",
    ] {
        assert!(error.message().contains(place), "{error}");
    }
    assert_eq!(error.context().provider.as_deref(), Some("vertex_ai"));
}

#[test]
fn a_key_of_express_mode_stands_for_the_project_and_another_is_a_token() {
    let with = |key: &str, given: &Value| {
        let mut settings = options(given);
        settings.api_key = Some(key.to_owned());
        resolve(GEMINI, &settings, &[("GOOGLE_CLOUD_PROJECT", "p")]).unwrap()
    };
    for key in ["AIzaSyExpress", "AQ.Express"] {
        let express = with(key, &json!({}));
        assert_eq!(express.headers["x-goog-api-key"], key);
        assert!(!express.headers.contains_key("authorization"));
        assert_eq!(
            express.url.as_str(),
            "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent"
        );
    }
    let token = with("ya29.token", &json!({}));
    assert_eq!(token.headers["authorization"], "Bearer ya29.token");
    assert!(token.url.path().contains("/projects/p/"));
}

#[test]
fn credentials_that_cannot_be_used_say_where_they_came_from_and_show_nothing() {
    let kind = ErrorKind::Authentication;
    for (given, words) in [
        ("/nowhere/key.json", "/nowhere/key.json"),
        ("{not json", "vertex_credentials are not JSON (line 1"),
        ("{}", "have no \"type\""),
        (
            "-----BEGIN PRIVATE KEY-----secret",
            "neither a JSON document",
        ),
    ] {
        let settings = options(&json!({"vertex_project": "p", "vertex_credentials": given}));
        let error = resolve(GEMINI, &settings, &[]).unwrap_err();
        assert_eq!(error.kind(), kind, "{given}");
        assert!(error.message().contains(words), "{error}");
        assert!(!error.message().contains("KEY-----secret"), "{error}");
    }
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/adc.json")];
    let settings = options(&json!({"vertex_project": "p"}));
    let error = resolve(GEMINI, &settings, &variables).unwrap_err();
    assert_eq!(error.kind(), kind);
    assert!(
        error.message().contains("GOOGLE_APPLICATION_CREDENTIALS")
            && error.message().contains("/nowhere/adc.json"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_account_signs_the_token_that_a_request_carries() {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let document: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(document.as_ref())
    );
    let account = json!({
        "type": "service_account",
        "project_id": "of-the-account",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "me@of-the-account.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:9/token",
    });
    let base = Scripted::start(vec![json_reply("200 OK", SAID)]).await;
    let settings = Settings {
        api_base: Some(base.origin.clone()),
        ..options(&json!({"vertex_credentials": account.to_string()}))
    };
    ChatClient::default()
        .complete(&request(GEMINI, &settings, &[]))
        .await
        .unwrap();

    let sent = base.requests().remove(0);
    assert!(
        sent.starts_with("POST /v1beta1/projects/of-the-account/locations/us-central1/"),
        "{sent}"
    );
    let token = header(&sent, "authorization").unwrap();
    let token = token.strip_prefix("Bearer ").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())
        .verify(
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).unwrap(),
        )
        .unwrap();
    let claims = signed.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["iss"], account["client_email"]);
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
}

#[tokio::test]
async fn many_calls_of_one_user_ask_for_one_token() {
    let tokens = Scripted::start(vec![json_reply("200 OK", TOKEN)]).await;
    let base = Scripted::start(vec![json_reply("200 OK", SAID); 3]).await;
    let credentials = user(&tokens.origin, "refresh-many");
    let (first, second) = tokio::join!(call(&base, &credentials), call(&base, &credentials));
    first.unwrap();
    second.unwrap();
    call(&base, &credentials).await.unwrap();
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("refresh-many"), "{}", asked[0]);
    for sent in base.requests() {
        assert_eq!(header(&sent, "authorization"), Some("Bearer a-token"));
        assert_eq!(header(&sent, "x-goog-user-project"), Some("who-pays"));
    }
}

#[tokio::test]
async fn a_refused_login_is_an_error_without_its_secrets_and_the_next_call_asks_anew() {
    let refusal = r#"{"error":"invalid_grant","error_description":"expired: refresh-refused"}"#;
    let tokens = Scripted::start(vec![
        json_reply("400 Bad Request", refusal),
        json_reply("200 OK", TOKEN),
    ])
    .await;
    let base = Scripted::start(vec![json_reply("200 OK", SAID)]).await;
    let credentials = user(&tokens.origin, "refresh-refused");
    let error = call(&base, &credentials).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(
        error.message().contains("vertex_credentials") && error.message().contains("invalid_grant"),
        "{error}"
    );
    assert!(!error.message().contains("refresh-refused"), "{error}");
    assert_eq!(error.context().provider.as_deref(), Some("vertex_ai"));
    assert!(base.requests().is_empty());
    call(&base, &credentials).await.unwrap();
}

#[tokio::test]
async fn a_document_that_gives_no_token_says_what_is_wrong_with_it() {
    let base = Scripted::start(vec![]).await;
    let account = |key: &str| {
        json!({
            "type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": key,
            "client_email": "me@p",
        })
    };
    for (document, words) in [
        (
            json!({"type": "gdch_service_account"}),
            "service_account, authorized_user",
        ),
        (
            json!({"type": "service_account", "project_id": "p"}),
            "client_email",
        ),
        (account("no-key-at-all"), "private key"),
    ] {
        let error = call(&base, &document).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert!(error.message().contains("vertex_credentials"), "{error}");
        assert!(!error.message().contains("no-key-at-all"), "{error}");
    }
}

#[tokio::test]
async fn the_account_of_the_machine_is_asked_last() {
    let machine = Scripted::start(vec![json_reply("200 OK", TOKEN)]).await;
    let base = Scripted::start(vec![json_reply("200 OK", SAID)]).await;
    let settings = Settings {
        api_base: Some(base.origin.clone()),
        ..options(&json!({"vertex_project": "p"}))
    };
    let host = machine.origin.strip_prefix("http://").unwrap();
    let request = request(GEMINI, &settings, &[("GCE_METADATA_HOST", host)]);
    ChatClient::default().complete(&request).await.unwrap();
    let asked = machine.requests().remove(0);
    assert!(
        asked.contains("/computeMetadata/v1/instance/service-accounts/default/token"),
        "{asked}"
    );
    assert_eq!(header(&asked, "metadata-flavor"), Some("Google"));
    let sent = base.requests().remove(0);
    assert_eq!(header(&sent, "authorization"), Some("Bearer a-token"));
}

#[tokio::test]
async fn missing_credentials_name_every_place_that_was_looked_in() {
    let settings = options(&json!({"vertex_project": "p"}));
    let variables = [("GCE_METADATA_HOST", "127.0.0.1:9"), ("HOME", "/nowhere")];
    let request = request(GEMINI, &settings, &variables);
    let error = ChatClient::default().complete(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    for place in [
        "vertex_credentials",
        "VERTEXAI_CREDENTIALS",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "/nowhere/.config/gcloud/application_default_credentials.json",
        "127.0.0.1:9",
        "api_key",
    ] {
        assert!(error.message().contains(place), "{place}: {error}");
    }
}

#[test]
fn tokens_outlive_the_runtime_that_asked_for_them_first() {
    let others = tokio::runtime::Runtime::new().unwrap();
    let (tokens, base) = others.block_on(async {
        let tokens = Scripted::start(vec![json_reply("200 OK", TOKEN); 2]).await;
        let base = Scripted::start(vec![json_reply("200 OK", SAID); 2]).await;
        (tokens, base)
    });
    let credentials = user(&tokens.origin, "refresh-twice");
    for _ in 0..2 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(call(&base, &credentials)).unwrap();
    }
}

#[test]
fn claude_gets_its_messages_with_the_version_and_without_the_model() {
    let settings = options(&json!({"vertex_project": "p"}));
    let play = Play::with("vertex_ai/claude-opus-4-6", settings);
    let (sent, notes) = play
        .request(&json!({
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 5,
            "tools": [],
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "n", "schema": {"type": "object", "properties": {}}
            }},
        }))
        .unwrap();
    assert_eq!(sent["anthropic_version"], "vertex-2023-10-16");
    assert_eq!(sent.get("model"), None);
    // Structured outputs are forbidden there unless an organization allows them.
    assert_eq!(sent.get("output_config"), None);
    assert_eq!(sent["tool_choice"]["name"], sent["tools"][0]["name"]);
    let answer = play.answer(
        &json!({
            "id": "m", "type": "message", "role": "assistant", "model": "claude-opus-4-6",
            "content": [{"type": "tool_use", "id": "t", "name": sent["tools"][0]["name"], "input": {"a": 1}}],
            "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1},
        }),
        &notes,
    );
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"a":1}"#);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_strict_tool_is_not_refused_for_its_strictness() {
    let settings = options(&json!({"vertex_project": "p"}));
    let sent = Play::with("vertex_ai/claude-opus-4-6", settings).sent(&json!({
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true}}],
    }));
    assert_eq!(sent["tools"][0].get("strict"), None);
    let sent = Play::new("anthropic/claude-opus-4-6").sent(&json!({
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true}}],
    }));
    assert_eq!(sent["tools"][0]["strict"], true);
}

#[test]
fn pictures_of_claude_are_fetched_and_those_of_buckets_are_not() {
    use toolbridge::llm::types::chat::ChatRequest as Chat;
    let needed = |model: &str, url: &str| {
        let play = Play::with(model, options(&json!({"vertex_project": "p"})));
        let members: Map<String, Value> = json!({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}}
        ]}]})
        .as_object()
        .unwrap()
        .clone();
        let request = Chat::read(members).unwrap();
        let conversion = play.endpoint.wire.conversion().unwrap();
        conversion.needs_bytes(&request.messages[0].content[0])
    };
    assert!(needed("vertex_ai/claude-opus-4-6", "https://h/a.png"));
    assert!(needed(GEMINI, "https://h/a.png"));
    assert!(!needed(GEMINI, "gs://bucket/a.png"));
    assert!(!needed("anthropic/claude-opus-4-6", "https://h/a.png"));
}
