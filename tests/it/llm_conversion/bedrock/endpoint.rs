//! Where requests go, who they are from, and errors of AWS.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::failure::FailureSite;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint, Settings};

use super::claude;

fn endpoint(
    name: &str,
    options: Value,
    environment: &[(&str, &str)],
) -> Result<Endpoint, toolbridge::error::Error> {
    let Value::Object(options) = options else {
        panic!("options are an object")
    };
    let settings = Settings {
        options,
        ..Settings::default()
    };
    let id = ModelId::resolve(name, None, None).unwrap();
    Endpoint::resolve(&id, &settings, &|name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn every_form_of_a_model_has_its_url() {
    let region = [("AWS_DEFAULT_REGION", "eu-west-1")];
    let haiku = "anthropic.claude-3-haiku-20240307-v1:0";
    for (name, url) in [
        (
            format!("bedrock/{haiku}"),
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
        ),
        (
            format!("bedrock/converse/{haiku}"),
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
        ),
        (
            format!("bedrock/us-west-2/{haiku}"),
            "https://bedrock-runtime.us-west-2.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
        ),
        (
            "bedrock/arn:aws:bedrock:ap-south-1:123456789012:inference-profile/x.y".to_owned(),
            "https://bedrock-runtime.ap-south-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aap-south-1%3A123456789012%3Ainference-profile%2Fx.y/converse",
        ),
        (
            "sagemaker_chat/my-endpoint".to_owned(),
            "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/my-endpoint/invocations",
        ),
    ] {
        let found = endpoint(&name, json!({}), &region).unwrap();
        assert_eq!(found.url.as_str(), url, "{name}");
        assert!(found.authorizer.is_some(), "{name}");
        let streams = found.url_of(true).as_str();
        assert!(
            streams.ends_with("converse-stream")
                || streams.ends_with("invocations-response-stream"),
            "{streams}"
        );
    }
    let given = json!({"aws_region_name": "us-east-2", "aws_bedrock_runtime_endpoint": "https://vpce.example/x"});
    let found = endpoint("bedrock/amazon.nova-lite-v1:0", given, &region).unwrap();
    assert_eq!(
        found.url.as_str(),
        "https://vpce.example/x/model/amazon.nova-lite-v1%3A0/converse"
    );
    let arn = "arn:aws:bedrock:eu-north-1:123456789012:application-inference-profile/a1";
    let behind = json!({"model_id": arn});
    let found = endpoint("bedrock/anthropic.claude-opus-4-6-v1", behind, &[]).unwrap();
    assert_eq!(
        found.url.as_str(),
        "https://bedrock-runtime.eu-north-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-north-1%3A123456789012%3Aapplication-inference-profile%2Fa1/converse"
    );
    let error = endpoint("bedrock/invoke/x", json!({}), &region).unwrap_err();
    assert!(error.message().contains("bedrock/x"), "{error}");
    let error = endpoint(
        "bedrock/x",
        json!({"aws_region_name": "evil.example/"}),
        &region,
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[test]
fn a_bearer_key_is_used_unless_the_call_names_other_credentials() {
    let environment = [
        ("AWS_BEARER_TOKEN_BEDROCK", "a-bearer-key"),
        ("AWS_REGION", "us-east-1"),
    ];
    let name = "bedrock/amazon.nova-lite-v1:0";
    let found = endpoint(name, json!({}), &environment).unwrap();
    assert_eq!(found.headers["authorization"], "Bearer a-bearer-key");
    assert!(found.authorizer.is_none());
    let keys = json!({"aws_access_key_id": "AKID", "aws_secret_access_key": "a-secret-key"});
    let found = endpoint(name, keys, &environment).unwrap();
    assert!(found.authorizer.is_some());
    assert_eq!(found.headers.get("authorization"), None);
    assert_eq!(found.redactor.redact("of a-secret-key!"), "of [redacted]!");
    let error = endpoint(name, json!({"aws_access_key_id": "AKID"}), &environment).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.message().contains("aws_secret_access_key"), "{error}");
}

#[test]
fn errors_of_aws_have_their_kinds_whichever_way_they_are_told() {
    let play = claude();
    let site = FailureSite::new(&play.model, &play.endpoint);
    let kind = |status: u16, header: &str, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-requestid", "r-1".parse().unwrap());
        if !header.is_empty() {
            headers.insert("x-amzn-errortype", header.parse().unwrap());
        }
        let error = site.status_error(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        );
        assert_eq!(error.context().request_id.as_deref(), Some("r-1"));
        error.kind()
    };
    let said = r#"{"message":"no"}"#;
    assert_eq!(
        kind(429, "ThrottlingException:http://x/", said),
        ErrorKind::RateLimit
    );
    assert_eq!(
        kind(403, "AccessDeniedException", said),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        kind(403, "UnrecognizedClientException", said),
        ErrorKind::Authentication
    );
    assert_eq!(
        kind(
            403,
            "",
            r#"{"__type":"com.amazon.x#ExpiredTokenException","Message":"no"}"#
        ),
        ErrorKind::Authentication
    );
    assert_eq!(
        kind(400, "ValidationException", said),
        ErrorKind::BadRequest
    );
    assert_eq!(
        kind(
            400,
            "ValidationException",
            r#"{"message":"Input is too long for requested model."}"#
        ),
        ErrorKind::ContextWindowExceeded
    );
    assert_eq!(
        kind(424, "ModelErrorException", said),
        ErrorKind::InternalServer
    );
    assert_eq!(
        kind(
            424,
            "ModelError",
            r#"{"Message":"no","OriginalStatusCode":429}"#
        ),
        ErrorKind::RateLimit
    );
}
