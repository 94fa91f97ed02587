//! Whole answers over a real socket: what comes back, what is repeated, what each failure says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::client::{Answer, ChatClient, ChatRequest, Limits};

use crate::llm_endpoint::{Endpoint, GOOD, KEY, Reply, Step, answer, good, request};

async fn complete(request: &ChatRequest) -> Result<Answer, Error> {
    ChatClient::default().complete(request).await
}

async fn failure(reply: Reply) -> Error {
    let endpoint = Endpoint::start(vec![reply]).await;
    complete(&endpoint.request()).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_comes_back_as_it_was_sent() {
    let endpoint = Endpoint::start(vec![good()]).await;
    let answer = complete(&endpoint.request()).await.unwrap();
    assert_eq!(answer.body.as_bytes(), GOOD.as_bytes());
    assert_eq!(answer.context.retries, 0);
    assert_eq!(answer.context.api_base, format!("{}/v1", endpoint.origin));
    let sent = endpoint.requests().remove(0);
    assert!(
        sent.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(
        sent.contains(&format!("authorization: Bearer {KEY}\r\n")),
        "{sent}"
    );
    assert!(
        sent.ends_with(r#"{"model":"gpt-4o","messages":[]}"#),
        "{sent}"
    );
}

#[tokio::test]
async fn calls_share_their_connection() {
    let endpoint = Endpoint::start(vec![good(), good(), good()]).await;
    let client = ChatClient::default();
    for _ in 0..3 {
        client.complete(&endpoint.request()).await.unwrap();
    }
    assert_eq!((endpoint.requests().len(), endpoint.connections()), (3, 1));
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_for_as_long_as_the_peer_asks() {
    let limited = answer("429 Too Many Requests", "retry-after-ms: 1\r\n", "{}");
    let endpoint = Endpoint::start(vec![limited.clone(), limited, good()]).await;
    let request = ChatRequest {
        max_retries: 2,
        ..endpoint.request()
    };
    let answer = complete(&request).await.unwrap();
    assert_eq!((answer.context.retries, endpoint.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_rate_limit_that_lasts_is_an_error_that_says_how_long_to_wait() {
    let body = r#"{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    let headers = "retry-after-ms: 2\r\nx-request-id: req_7\r\n";
    let limited = answer("429 Too Many Requests", headers, body);
    let endpoint = Endpoint::start(vec![limited.clone(), limited]).await;
    let request = ChatRequest {
        max_retries: 1,
        ..endpoint.request()
    };
    let error = complete(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimit);
    assert!(error.message().contains("slow down"), "{error}");
    let context = error.context();
    assert_eq!(context.retry_after, Some(Duration::from_millis(2)));
    assert_eq!(context.request_id.as_deref(), Some("req_7"));
    assert_eq!(context.code.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(context.body.as_deref(), Some(body));
    assert_eq!((context.status, context.retries), (Some(429), 1));
}

#[tokio::test]
async fn a_rate_limit_without_retry_after_says_none() {
    let error = failure(answer("429 Too Many Requests", "", "{}")).await;
    assert_eq!(
        (error.kind(), error.context().retry_after),
        (ErrorKind::RateLimit, None)
    );
}

#[tokio::test]
async fn what_will_not_get_better_is_asked_once() {
    for (status, headers) in [
        ("400 Bad Request", ""),
        ("500 Internal Server Error", "x-should-retry: false\r\n"),
    ] {
        let endpoint = Endpoint::start(vec![answer(status, headers, "{}"), good()]).await;
        let request = ChatRequest {
            max_retries: 5,
            ..endpoint.request()
        };
        complete(&request).await.unwrap_err();
        assert_eq!(endpoint.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn x_should_retry_overrules_the_status() {
    let wanted = answer(
        "400 Bad Request",
        "x-should-retry: true\r\nretry-after: 0\r\n",
        "{}",
    );
    let endpoint = Endpoint::start(vec![wanted, good()]).await;
    let request = ChatRequest {
        max_retries: 1,
        ..endpoint.request()
    };
    assert_eq!(complete(&request).await.unwrap().context.retries, 1);
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_is_tried_again() {
    let endpoint = Endpoint::start(vec![vec![Step::Close], good()]).await;
    let request = ChatRequest {
        max_retries: 1,
        ..endpoint.request()
    };
    assert_eq!(complete(&request).await.unwrap().context.retries, 1);

    let error = failure(vec![Step::Close]).await;
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(
        error.message().contains("broke before an answer came"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_connection_names_the_origin_and_nothing_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = complete(&request(&format!("{origin}/path-with-key")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.message().contains(&origin), "{error}");
    assert!(error.message().contains("refused"), "{error}");
    let everything = format!("{error} {:?} {:?}", error.context(), error.causes());
    assert!(
        !everything.contains("path-with-key") && !everything.contains(KEY),
        "{everything}"
    );
}

#[tokio::test]
async fn a_body_that_is_cut_short_says_so() {
    let cut = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":[".to_vec()),
        Step::Close,
    ];
    let error = failure(cut).await;
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(
        error.message().contains("cut short after 12 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_an_answer_is_told_apart() {
    let html = "<!DOCTYPE html><title>Sign in</title>";
    for (headers, body, says) in [
        ("content-type: text/html\r\n", html, "HTML page"),
        (
            "content-type: application/json\r\n",
            "hello",
            "not JSON; it begins with \"hello\"",
        ),
        ("", "", "empty body"),
        ("", "{\"id\":1}", "no list of choices"),
        ("", "[]", "no list of choices"),
    ] {
        let error = failure(answer("200 OK", headers, body)).await;
        assert_eq!(error.kind(), ErrorKind::ResponseValidation, "{body}");
        assert!(error.message().contains(says), "{error}");
        assert_eq!(error.context().body.as_deref(), Some(body));
        assert_eq!(error.context().status, Some(200));
    }
}

#[tokio::test]
async fn an_error_object_with_status_200_is_the_error_that_it_says() {
    let body = r#"{"error":{"message":"upstream is full","code":429}}"#;
    let error = failure(answer("200 OK", "", body)).await;
    assert_eq!(error.kind(), ErrorKind::RateLimit);
    assert!(error.message().contains("upstream is full"), "{error}");
}

#[tokio::test]
async fn a_provider_that_echoes_the_key_does_not_spread_it() {
    let body =
        format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}","code":"{KEY}"}}}}"#);
    let error = failure(answer(
        "401 Unauthorized",
        &format!("x-echo: {KEY}\r\n"),
        &body,
    ))
    .await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let everything = format!("{error} {:?} {:?}", error.context(), error.causes());
    assert!(
        everything.contains("Incorrect API key provided: [redacted]"),
        "{everything}"
    );
    assert!(!everything.contains(KEY), "{everything}");
}

#[tokio::test]
async fn an_endpoint_that_keeps_silent_runs_into_the_timeout() {
    let gone = Arc::new(Notify::new());
    let endpoint = Endpoint::start(vec![vec![Step::UntilGone(Arc::clone(&gone))]]).await;
    let limits = Limits {
        answer: Some(Duration::from_millis(50)),
        ..Limits::default()
    };
    let error = complete(&ChatRequest {
        limits,
        ..endpoint.request()
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("within 0.05 s"), "{error}");
    gone.notified().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let gone = Arc::new(Notify::new());
    let reply = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{".to_vec()),
        Step::UntilGone(Arc::clone(&gone)),
    ];
    let endpoint = Endpoint::start(vec![reply]).await;
    let request = endpoint.request();
    let call = tokio::spawn(async move { complete(&request).await.map(drop) });
    while endpoint.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    gone.notified().await;
}

#[tokio::test]
async fn the_key_does_not_follow_a_redirect_to_another_place() {
    let elsewhere = Endpoint::start(vec![good()]).await;
    let headers = format!("location: {}/v1/chat/completions\r\n", elsewhere.origin);
    let error = failure(answer("307 Temporary Redirect", &headers, "")).await;
    assert_eq!(error.kind(), ErrorKind::Status);
    assert!(error.message().contains("api_base"), "{error}");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_redirect_within_the_endpoint_is_followed() {
    let moved = answer(
        "308 Permanent Redirect",
        "location: /v1/chat/completions/\r\n",
        "",
    );
    let endpoint = Endpoint::start(vec![moved, good()]).await;
    complete(&endpoint.request()).await.unwrap();
    let sent = endpoint.requests().remove(1);
    assert!(sent.starts_with("POST /v1/chat/completions/ "), "{sent}");
    assert!(sent.ends_with(r#""messages":[]}"#), "{sent}");
}
