//! Streams that are passed on as they came, split at every byte.

use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use toolbridge::error::ErrorKind;
use toolbridge::llm::chat_stream::StreamSource;
use toolbridge::llm::failure::FailureSite;
use toolbridge::llm::passage::Passage;
use toolbridge::llm::patience::Patience;

use crate::llm_endpoint::{event, request};

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

/// All that is passed on, and how it ended.
async fn passed(pieces: Vec<Bytes>) -> (String, Option<ErrorKind>) {
    let body = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
    let mut passage = Passage::new(body, source());
    let mut text = Vec::new();
    loop {
        match passage.next().await {
            None => return (String::from_utf8(text).unwrap(), None),
            Some(Ok(events)) => {
                assert!(!events.is_empty());
                text.extend_from_slice(&events);
            }
            Some(Err(error)) => {
                assert!(passage.next().await.is_none());
                return (String::from_utf8(text).unwrap(), Some(error.kind()));
            }
        }
    }
}

async fn split_everywhere(text: &Bytes, check: impl Fn(&str, Option<ErrorKind>)) {
    for split in 0..=text.len() {
        let pieces = vec![text.slice(..split), text.slice(split..)];
        let (found, error) = passed(pieces).await;
        check(&found, error);
    }
    let bytes = (0..text.len()).map(|place| text.slice(place..=place));
    let (found, error) = passed(bytes.collect()).await;
    check(&found, error);
}

fn recorded(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/streams")
        .join(name);
    Bytes::from(std::fs::read(path).unwrap())
}

#[tokio::test]
async fn a_whole_stream_comes_through_byte_for_byte() {
    for name in [
        "text_with_usage.sse",
        "parallel_tool_calls.sse",
        "interleaved_tool_calls.sse",
        "two_choices_refusal_logprobs.sse",
    ] {
        let text = recorded(name);
        let wanted = std::str::from_utf8(&text).unwrap();
        assert!(wanted.contains("[DONE]"), "{name}");
        split_everywhere(&text, |found, error| {
            assert_eq!(found, wanted, "{name}");
            assert_eq!(error, None, "{name}");
        })
        .await;
    }
}

#[tokio::test]
async fn comments_and_fields_that_nobody_knows_come_through() {
    let text = format!(
        ": hello\r\n\r\nid: 7\r\nx-new: 1\r\n{}: bye\n\ndata: [DONE]\n\n",
        event("a", Some("stop"))
    );
    let (found, error) = passed(vec![Bytes::from(text.clone())]).await;
    assert_eq!((found, error), (text, None));
}

#[tokio::test]
async fn what_comes_in_one_piece_is_not_copied() {
    let piece = Bytes::from(event("a", None));
    let body = stream::iter([Ok::<_, Infallible>(piece.clone())]);
    let mut passage = Passage::new(body, source());
    let passed = passage.next().await.unwrap().unwrap();
    assert_eq!(passed.as_ptr(), piece.as_ptr());
}

#[tokio::test]
async fn a_stream_that_ends_well_without_done_gets_one() {
    let text = Bytes::from(event("a", Some("stop")));
    let wanted = format!("{}data: [DONE]\n\n", event("a", Some("stop")));
    split_everywhere(&text, |found, error| {
        assert_eq!((found, error), (wanted.as_str(), None));
    })
    .await;
    // The last empty line is missing, the event is not.
    let text = text.slice(..text.len() - 1);
    split_everywhere(&text, |found, error| {
        assert_eq!((found, error), (wanted.as_str(), None));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_fails_ends_after_its_last_whole_event_without_done() {
    let good = event("a", None);
    for (rest, kind) in [
        ("", ErrorKind::Connection),
        ("data: {\"choices\":[{\"del", ErrorKind::Connection),
        (
            "data: {\"error\":{\"message\":\"x\",\"code\":429}}\n\ndata: [DONE]\n\n",
            ErrorKind::RateLimit,
        ),
        (
            "data: <html>\n\ndata: [DONE]\n\n",
            ErrorKind::ResponseValidation,
        ),
    ] {
        let text = Bytes::from(format!("{good}{rest}"));
        split_everywhere(&text, |found, error| {
            assert_eq!((found, error), (good.as_str(), Some(kind)), "{rest}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_chunk_that_is_repaired_takes_nothing_with_it() {
    let wrong = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":{\"a\":1}}}]}}]}\n\n";
    let repaired = wrong.replace("{\"a\":1}", "\"{\\\"a\\\":1}\"");
    let text = Bytes::from(format!(
        "{}{wrong}{}data: [DONE]\n\n",
        event("a", None),
        event("b", Some("stop"))
    ));
    let wanted = format!(
        "{}{repaired}{}data: [DONE]\n\n",
        event("a", None),
        event("b", Some("stop"))
    );
    split_everywhere(&text, |found, error| {
        assert_eq!((found, error), (wanted.as_str(), None));
    })
    .await;
}
