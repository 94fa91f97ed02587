//! Streams: recorded ones split at every byte, and live ones over a real socket.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::chat_stream::{ChatStream, StreamSource, Taken};
use toolbridge::llm::client::{ChatClient, ChatRequest, Limits};
use toolbridge::llm::failure::FailureSite;
use toolbridge::llm::patience::Patience;

use crate::llm_endpoint::{
    Endpoint, KEY, Reply, Step, answer, chunked_head, event, good, http_chunks, request,
    stream_head,
};

fn source() -> StreamSource {
    let request = request("http://127.0.0.1:1");
    StreamSource {
        translation: None,
        site: FailureSite::new(&request.model, &request.endpoint),
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        patience: Patience::default(),
    }
}

async fn collect(stream: &ChatStream) -> (Vec<String>, Option<Error>) {
    let mut chunks = Vec::new();
    loop {
        match stream.next_chunks().await {
            Ok(Some(more)) => {
                chunks.extend(
                    more.iter()
                        .map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()),
                );
            }
            Ok(None) => return (chunks, None),
            Err(error) => return (chunks, Some(error)),
        }
    }
}

async fn replay(pieces: Vec<Bytes>) -> (Vec<String>, Option<(ErrorKind, String)>) {
    let body = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
    let (chunks, error) = collect(&ChatStream::start(body, source())).await;
    (
        chunks,
        error.map(|error| (error.kind(), error.message().to_owned())),
    )
}

fn recorded(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/streams")
        .join(name);
    std::fs::read(path).unwrap().into()
}

/// The name, how many chunks it has, and how it ends.
const RECORDED: [(&str, usize, Option<ErrorKind>); 8] = [
    ("text_with_usage.sse", 11, None),
    ("parallel_tool_calls.sse", 8, None),
    ("interleaved_tool_calls.sse", 8, None),
    ("reasoning_crlf_comments.sse", 5, None),
    ("multi_line_without_done.sse", 4, None),
    ("two_choices_refusal_logprobs.sse", 8, None),
    ("error_in_the_middle.sse", 3, Some(ErrorKind::Api)),
    ("cut_in_the_middle.sse", 4, Some(ErrorKind::Connection)),
];

#[tokio::test]
async fn a_recorded_stream_split_at_any_byte_gives_the_same_chunks_and_the_same_end() {
    for (name, count, end) in RECORDED {
        let text = recorded(name);
        let whole = replay(vec![text.clone()]).await;
        assert_eq!(
            (whole.0.len(), whole.1.as_ref().map(|(kind, _)| *kind)),
            (count, end),
            "{name}"
        );
        for chunk in &whole.0 {
            serde_json::from_str::<serde_json::Value>(chunk).unwrap();
        }
        for at in 1..text.len() {
            let split = replay(vec![text.slice(..at), text.slice(at..)]).await;
            assert_eq!(split, whole, "{name} split at {at}");
        }
        let bytes = (0..text.len()).map(|at| text.slice(at..=at)).collect();
        assert_eq!(replay(bytes).await, whole, "{name} byte by byte");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_says_what_the_provider_said() {
    let (_, end) = replay(vec![recorded("error_in_the_middle.sse")]).await;
    let (_, message) = end.unwrap();
    assert!(
        message.contains("in the middle of the stream: The server had an error"),
        "{message}"
    );
}

#[tokio::test]
async fn a_stream_that_ends_without_a_reason_ended_early() {
    let (_, end) = replay(vec![recorded("cut_in_the_middle.sse")]).await;
    let (_, message) = end.unwrap();
    assert!(message.contains("ended early: 4 chunks came"), "{message}");
    assert_eq!(replay(vec![]).await.1.unwrap().0, ErrorKind::Connection);
}

#[tokio::test]
async fn an_event_of_type_error_is_an_error_whatever_it_holds() {
    let (chunks, end) = replay(vec![Bytes::from(
        "event: error\ndata: {\"message\":\"no more\"}\n\n",
    )])
    .await;
    assert_eq!((chunks.len(), end.unwrap().0), (0, ErrorKind::Api));
}

#[tokio::test]
async fn a_chunk_that_is_no_object_is_refused() {
    let (chunks, end) = replay(vec![Bytes::from(event("a", None) + "data: hello\n\n")]).await;
    let (kind, message) = end.unwrap();
    assert_eq!((chunks.len(), kind), (1, ErrorKind::ResponseValidation));
    assert!(message.contains("\"hello\""), "{message}");
}

#[tokio::test]
async fn reading_ahead_is_bounded_and_goes_on_when_there_is_room() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let piece = Bytes::from(event(&"x".repeat(64 * 1024), None));
    let body = stream::iter(0..200)
        .map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(piece.clone())
        })
        .chain(stream::iter([Ok(Bytes::from(event("", Some("stop"))))]));
    let stream = ChatStream::start(body, source());
    stream.ready().await;
    let mut before = 0;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    // 1 MiB, and the piece that went over it.
    assert!(
        (16..=18).contains(&before),
        "{before} pieces of 64 KiB were read ahead"
    );
    let (chunks, error) = collect(&stream).await;
    assert!(error.is_none());
    assert_eq!(chunks.len(), 201);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let gate = Arc::new(Notify::new());
    let released = Arc::clone(&gate);
    let body = stream::once(async move {
        released.notified().await;
        Ok::<_, Infallible>(Bytes::from(event("a", Some("stop"))))
    });
    let stream = ChatStream::start(body, source());
    for _ in 0..3 {
        let mut wait = Box::pin(stream.ready());
        assert!(futures_util::poll!(&mut wait).is_pending());
    }
    gate.notify_one();
    let given_up = stream.ready();
    drop(given_up);
    assert_eq!(collect(&stream).await.0.len(), 1);
}

async fn live(replies: Vec<Reply>) -> (Endpoint, ChatClient) {
    (Endpoint::start(replies).await, ChatClient::default())
}

#[tokio::test]
async fn chunks_are_handed_out_before_the_stream_ends_and_the_connection_is_used_again() {
    let gate = Arc::new(Notify::new());
    let reply = vec![
        chunked_head(),
        http_chunks(&[&event("a", None)]),
        Step::Wait(Arc::clone(&gate)),
        http_chunks(&[&event("b", Some("stop")), "data: [DONE]\n\n", ""]),
    ];
    let (endpoint, client) = live(vec![reply.clone(), good()]).await;
    let answer = client.stream(&endpoint.request()).await.unwrap();
    let first = answer.stream.next_chunks().await.unwrap().unwrap();
    assert_eq!(first.len(), 1);
    gate.notify_one();
    assert_eq!(collect(&answer.stream).await.0.len(), 1);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    client.complete(&endpoint.request()).await.unwrap();
    assert_eq!((endpoint.requests().len(), endpoint.connections()), (2, 1));
}

#[tokio::test]
async fn a_stream_that_is_dropped_or_closed_ends_its_request() {
    for close in [false, true] {
        let gone = Arc::new(Notify::new());
        let reply = vec![
            stream_head(),
            Step::Send(event("a", None).into_bytes()),
            Step::UntilGone(Arc::clone(&gone)),
        ];
        let (endpoint, client) = live(vec![reply]).await;
        let answer = client.stream(&endpoint.request()).await.unwrap();
        answer.stream.next_chunks().await.unwrap().unwrap();
        if close {
            answer.stream.close();
            assert!(matches!(answer.stream.take(), Taken::End(None)));
        } else {
            drop(answer);
        }
        gone.notified().await;
    }
}

#[tokio::test]
async fn a_stream_is_repeated_until_it_begins_and_never_after() {
    let limited = answer("429 Too Many Requests", "retry-after-ms: 1\r\n", "{}");
    let broken = vec![
        stream_head(),
        Step::Send(event("a", None).into_bytes()),
        Step::Close,
    ];
    let (endpoint, client) = live(vec![limited, broken, good()]).await;
    let request = ChatRequest {
        max_retries: 3,
        ..endpoint.request()
    };
    let answer = client.stream(&request).await.unwrap();
    assert_eq!(answer.context.retries, 1);
    let (chunks, error) = collect(&answer.stream).await;
    assert_eq!(
        (chunks.len(), error.unwrap().kind()),
        (1, ErrorKind::Connection)
    );
    assert_eq!(endpoint.requests().len(), 2);
}

#[tokio::test]
async fn a_connection_that_breaks_says_so_unless_the_answer_was_finished() {
    for (finish, is_whole) in [(None, false), (Some("stop"), true)] {
        let reply = vec![
            chunked_head(),
            http_chunks(&[&event("a", finish)]),
            Step::Close,
        ];
        let (endpoint, client) = live(vec![reply]).await;
        let answer = client.stream(&endpoint.request()).await.unwrap();
        let (chunks, error) = collect(&answer.stream).await;
        assert_eq!(chunks.len(), 1);
        assert_eq!(error.is_none(), is_whole, "{error:?}");
        if let Some(error) = error {
            assert_eq!(error.kind(), ErrorKind::Connection);
            assert!(!error.causes().is_empty());
        }
    }
}

#[tokio::test]
async fn silence_in_the_middle_of_a_stream_is_a_timeout() {
    let gone = Arc::new(Notify::new());
    let reply = vec![
        stream_head(),
        Step::Send(event("a", None).into_bytes()),
        Step::UntilGone(Arc::clone(&gone)),
    ];
    let (endpoint, client) = live(vec![reply]).await;
    let limits = Limits {
        answer: Some(Duration::from_millis(100)),
        ..Limits::default()
    };
    let answer = client
        .stream(&ChatRequest {
            limits,
            ..endpoint.request()
        })
        .await
        .unwrap();
    let (chunks, error) = collect(&answer.stream).await;
    let error = error.unwrap();
    assert_eq!((chunks.len(), error.kind()), (1, ErrorKind::Timeout));
    assert!(error.message().contains("nothing for 0.1 s"), "{error}");
    gone.notified().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_stream_is_told_so() {
    let (endpoint, client) = live(vec![good()]).await;
    let error = client.stream(&endpoint.request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseValidation);
    assert!(error.message().contains("does not stream"), "{error}");

    let page = answer(
        "200 OK",
        "content-type: text/html; charset=utf-8\r\n",
        "<html>",
    );
    let (endpoint, client) = live(vec![page]).await;
    let error = client.stream(&endpoint.request()).await.unwrap_err();
    assert!(error.message().contains("HTML page"), "{error}");
}

#[tokio::test]
async fn an_error_in_a_stream_does_not_spread_the_key() {
    let told = format!("data: {{\"error\":{{\"message\":\"bad {KEY}\",\"code\":401}}}}\n\n");
    let reply = vec![stream_head(), Step::Send(told.into_bytes()), Step::Close];
    let (endpoint, client) = live(vec![reply]).await;
    let answer = client.stream(&endpoint.request()).await.unwrap();
    let error = collect(&answer.stream).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(!format!("{error} {:?}", error.context()).contains(KEY));
}
