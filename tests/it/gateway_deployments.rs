//! Several deployments behind a gateway: who takes over, and how long anybody is waited for.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::gateway_client::{Connection, ask, gateway, get, model, post};
use crate::llm_endpoint::{Endpoint, GOOD, Step, answer, chunked_head, event, good, http_chunks};

const PATH: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"m","messages":[]}"#;
const STREAM: &str = r#"{"model":"m","stream":true}"#;

#[tokio::test]
async fn another_deployment_takes_over_what_one_fails_at() {
    let failing = || {
        answer(
            "500 Internal Server Error",
            "",
            r#"{"error":{"message":"x"}}"#,
        )
    };
    let bad = Endpoint::start((0..20).map(|_| failing()).collect()).await;
    let fine = Endpoint::start((0..20).map(|_| good()).collect()).await;
    let text = format!(
        "model_list:\n{}{}router_settings: {{cooldown_time: 3600}}\n",
        model("m", &bad.origin, ""),
        model("m", &fine.origin, "")
    );
    let gateway = gateway(&text).await;
    let mut retried = 0;
    for _ in 0..20 {
        let found = ask(&gateway, BODY).await;
        assert_eq!((found.status, found.body.as_str()), (200, GOOD));
        assert_eq!(found.header("x-litellm-model-id"), Some("m-2"));
        retried += found
            .header("x-litellm-attempted-retries")
            .unwrap()
            .parse::<usize>()
            .unwrap();
    }
    assert_eq!(bad.requests().len(), retried);
    assert_eq!(fine.requests().len(), 20);
    // It is left alone once it is known to fail.
    assert!(retried <= 5, "{retried}");
}

#[tokio::test]
async fn a_deployment_that_cannot_be_reached_is_passed_over() {
    let fine = Endpoint::start((0..4).map(|_| good()).collect()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let text = format!(
        "model_list:\n{}{}",
        model("m", &nobody, ""),
        model("m", &fine.origin, "")
    );
    let gateway = gateway(&text).await;
    for _ in 0..4 {
        assert_eq!(ask(&gateway, BODY).await.status, 200);
    }
}

#[tokio::test]
async fn fallbacks_are_asked_for_what_their_kind_of_error_is() {
    let long = r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#;
    let policy = r#"{"error":{"message":"x","code":"content_filter"}}"#;
    let endpoint = Endpoint::start(vec![
        answer("400 Bad Request", "", long),
        good(),
        answer("400 Bad Request", "", policy),
        good(),
        answer("404 Not Found", "", r#"{"error":{"message":"x"}}"#),
        good(),
    ])
    .await;
    let models: String = ["m", "large", "lax", "other"]
        .map(|name| model(name, &endpoint.origin, ""))
        .concat();
    let text = format!(
        "model_list:\n{models}router_settings:\n  fallbacks: [{{m: [other]}}]\n  \
         context_window_fallbacks: [{{m: [large]}}]\n  content_policy_fallbacks: [{{m: [lax]}}]\n"
    );
    let gateway = gateway(&text).await;
    for instead in ["large", "lax", "other"] {
        let found = ask(&gateway, BODY).await;
        assert_eq!(found.status, 200);
        assert_eq!(found.header("x-litellm-model-group"), Some(instead));
        assert_eq!(found.header("x-litellm-attempted-fallbacks"), Some("1"));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_given_up() {
    let silent = |gone: &Arc<Notify>| vec![Step::UntilGone(Arc::clone(gone))];
    let begun = |gone: &Arc<Notify>| {
        let first = http_chunks(&[&event("a", None)]);
        vec![chunked_head(), first, Step::UntilGone(Arc::clone(gone))]
    };
    let gone = Arc::new(Notify::new());
    let endpoint = Endpoint::start(vec![
        silent(&gone),
        silent(&gone),
        begun(&gone),
        silent(&gone),
    ])
    .await;
    let more = ", timeout: 0.05, stream_timeout: 0.04";
    let text = format!(
        "model_list:\n{}{}router_settings: {{num_retries: 0}}\n",
        model("m", &endpoint.origin, more),
        model("patient", &endpoint.origin, "")
    );
    let gateway = gateway(&text).await;
    for (body, limit) in [(BODY, "0.05 s"), (STREAM, "0.04 s")] {
        let found = ask(&gateway, body).await;
        assert_eq!(found.status, 504, "{}", found.body);
        assert!(found.body.contains(limit), "{}", found.body);
        gone.notified().await;
    }
    // Silence in the middle of a stream that has begun.
    let found = ask(&gateway, STREAM).await;
    assert_eq!(found.status, 200);
    assert!(found.body.starts_with(&event("a", None)), "{}", found.body);
    assert!(
        found.body.contains("sent nothing for 0.04 s"),
        "{}",
        found.body
    );
    assert!(!found.body.contains("[DONE]"), "{}", found.body);
    gone.notified().await;
    // The request's own limit.
    let found = ask(&gateway, r#"{"model":"patient","timeout":0.03}"#).await;
    assert!(
        found.status == 504 && found.body.contains("0.03 s"),
        "{}",
        found.body
    );
}

#[tokio::test]
async fn a_deployment_gets_no_more_requests_at_once_than_it_takes() {
    let gate = Arc::new(Notify::new());
    let mut held = vec![Step::Wait(Arc::clone(&gate))];
    held.extend(good());
    let endpoint = Endpoint::start(vec![held, good()]).await;
    let text = format!(
        "model_list:\n{}",
        model("m", &endpoint.origin, ", max_parallel_requests: 1")
    );
    let gateway = gateway(&text).await;
    let (mut first, mut second) = (
        Connection::open(&gateway).await,
        Connection::open(&gateway).await,
    );
    first.send(&post(PATH, "", BODY)).await;
    while endpoint.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    second.send(&post(PATH, "", BODY)).await;
    // The gateway serves others meanwhile, and is known to have read the second one.
    get(&gateway, "/v1/models").await;
    assert_eq!(endpoint.requests().len(), 1);
    gate.notify_one();
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(second.answer().await.status, 200);
    assert_eq!(endpoint.requests().len(), 2);
}
