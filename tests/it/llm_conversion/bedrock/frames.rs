//! Streams in the frames of AWS.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::framing::{Framer, Framing};

use super::{claude, event, exception, frame, model, stream};
use crate::llm_conversion::play::{calls_of, text_of};

fn whole() -> Vec<Value> {
    vec![
        json!({"messageStart": {"role": "assistant", "p": "abcd"}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}}),
        json!({"contentBlockStop": {"contentBlockIndex": 0}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "Grüße "}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "\"aus\" 🦀"}}}),
        json!({"contentBlockStop": {"contentBlockIndex": 1}}),
        json!({"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "c1", "name": "look"}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{\"at\""}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": ":1}"}}}}),
        json!({"contentBlockStop": {"contentBlockIndex": 2}}),
        json!({"contentBlockStart": {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "c2", "name": "now"}}}}),
        json!({"contentBlockStop": {"contentBlockIndex": 3}}),
        json!({"messageStop": {"stopReason": "tool_use"}}),
        json!({"metadata": {"usage": {"inputTokens": 3, "outputTokens": 9, "totalTokens": 12}, "metrics": {"latencyMs": 5}}}),
    ]
}

#[tokio::test]
async fn a_stream_gives_the_same_chunks_wherever_it_is_split() {
    let play = claude();
    let chunks = play
        .split_everywhere(&stream(&whole()), &play.notes())
        .await;
    assert_eq!(text_of(&chunks), "Grüße \"aus\" 🦀");
    assert_eq!(
        calls_of(&chunks),
        [
            ("c1".to_owned(), "look".to_owned(), "{\"at\":1}".to_owned()),
            ("c2".to_owned(), "now".to_owned(), "{}".to_owned()),
        ]
    );
    let deltas: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(
        deltas
            .iter()
            .filter(|delta| delta.get("role").is_some())
            .count(),
        1
    );
    let find = |name: &str| deltas.iter().find_map(|delta| delta.get(name)).unwrap();
    assert_eq!(find("reasoning_content"), "hm");
    assert_eq!(
        find("thinking_blocks"),
        &json!([{"type": "thinking", "thinking": "hm", "signature": "s"}])
    );
    let [.., finish, usage] = chunks.as_slice() else {
        panic!("no chunks")
    };
    assert_eq!(finish["metrics"]["latencyMs"], 5);
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 9);
}

#[tokio::test]
async fn a_json_answer_through_a_tool_streams_as_text() {
    let play = model("bedrock/anthropic.claude-3-haiku-20240307-v1:0");
    let (sent, notes) = play
        .request(&json!({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}))
        .unwrap();
    let name = &sent["toolConfig"]["tools"][0]["toolSpec"]["name"];
    let text = stream(&[
        json!({"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "c1", "name": name}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"a\":1}"}}}}),
        json!({"contentBlockStop": {"contentBlockIndex": 0}}),
        json!({"messageStop": {"stopReason": "tool_use"}}),
    ]);
    let (chunks, error) = play.stream(vec![text.into()], &notes).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text_of(&chunks), "{\"a\":1}");
    assert!(
        chunks
            .iter()
            .any(|chunk| chunk["choices"][0]["finish_reason"] == "stop")
    );
}

async fn failure(last: Vec<u8>) -> Error {
    let play = claude();
    let mut text = stream(&whole()[..6]);
    text.extend(last);
    let (chunks, error) = play.stream(vec![text.into()], &play.notes()).await;
    assert_eq!(text_of(&chunks), "Grüße \"aus\" 🦀");
    error.unwrap()
}

#[tokio::test]
async fn an_exception_in_the_middle_of_a_stream_has_its_kind_and_its_sentence() {
    for (kind, payload, wanted) in [
        (
            "throttlingException",
            json!({"message": "slow down"}),
            ErrorKind::RateLimit,
        ),
        (
            "validationException",
            json!({"message": "slow down"}),
            ErrorKind::BadRequest,
        ),
        (
            "validationException",
            json!({"message": "Input is too long: slow down"}),
            ErrorKind::ContextWindowExceeded,
        ),
        (
            "serviceUnavailableException",
            json!({"message": "slow down"}),
            ErrorKind::ServiceUnavailable,
        ),
        (
            "internalServerException",
            json!({"message": "slow down"}),
            ErrorKind::InternalServer,
        ),
        (
            "modelStreamErrorException",
            json!({"message": "slow down"}),
            ErrorKind::InternalServer,
        ),
        (
            "modelStreamErrorException",
            json!({"message": "slow down", "originalStatusCode": 429}),
            ErrorKind::RateLimit,
        ),
        (
            "modelTimeoutException",
            json!({"message": "slow down"}),
            ErrorKind::Timeout,
        ),
    ] {
        let error = failure(exception(kind, &payload)).await;
        assert!(error.message().contains("slow down"), "{error}");
        assert_eq!(error.kind(), wanted, "{kind} {payload}");
        assert_eq!(error.context().error_type.as_deref(), Some(kind));
    }
    let headers = [
        (":message-type", "error"),
        (":error-code", "ThrottlingException"),
        (":error-message", "slow down"),
    ];
    let error = failure(frame(&headers, b"")).await;
    assert_eq!(error.kind(), ErrorKind::RateLimit);
    assert!(error.message().contains("slow down"), "{error}");
}

#[tokio::test]
async fn a_damaged_frame_is_said_to_be_one() {
    let good = event("contentBlockStop", b"{\"contentBlockIndex\":1}");
    // Both lengths are left: what follows would be taken for a part of the frame.
    for place in 8..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        let error = failure(bad).await;
        assert_eq!(
            error.kind(),
            ErrorKind::ResponseValidation,
            "{place}: {error}"
        );
        assert!(error.message().contains("damaged"), "{error}");
    }
    let error = failure(vec![0, 0, 0, 5, 0, 0, 0, 0]).await;
    assert!(error.message().contains("5 bytes"), "{error}");
    let error = failure(vec![0xff; 16]).await;
    assert!(error.message().contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_stream_that_is_cut_short_is_no_answer() {
    let play = claude();
    let text = stream(&whole());
    let cut = text[..text.len() - 40].to_vec();
    let (chunks, error) = play.stream(vec![cut.into()], &play.notes()).await;
    // The reason to end came before the cut: the answer is whole, its usage is not known.
    assert!(error.is_none() && !chunks.is_empty(), "{error:?}");
    let cut = stream(&whole()[..13]);
    let (_, error) = play.stream(vec![cut.into()], &play.notes()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
}

async fn sagemaker(pieces: Vec<Bytes>) -> (Vec<Value>, Option<Error>) {
    let play = model("sagemaker_chat/mine");
    play.stream(pieces, &play.notes()).await
}

#[tokio::test]
async fn chunks_in_parts_are_put_together_wherever_parts_and_bytes_are_split() {
    let chunk = |text: &str, finish: Value| json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]});
    let events = format!(
        "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
        chunk("Grü", Value::Null),
        chunk("ße", json!("stop"))
    );
    for part in 1..events.len() {
        let (first, second) = events.as_bytes().split_at(part);
        let frames = [event("PayloadPart", first), event("PayloadPart", second)].concat();
        let (chunks, error) = sagemaker(vec![frames.into()]).await;
        assert!(error.is_none(), "{part}: {error:?}");
        assert_eq!(text_of(&chunks), "Grüße");
    }
    let frames = event("PayloadPart", events.as_bytes());
    for place in 1..frames.len() {
        let pieces = vec![
            Bytes::copy_from_slice(&frames[..place]),
            Bytes::copy_from_slice(&frames[place..]),
        ];
        assert_eq!(text_of(&sagemaker(pieces).await.0), "Grüße", "{place}");
    }
    let broken = [
        event("PayloadPart", &events.as_bytes()[..60]),
        exception(
            "ModelStreamError",
            &json!({"Message": "worker died", "ErrorCode": "ModelInvocationTimeExceeded"}),
        ),
    ];
    let (_, error) = sagemaker(vec![broken.concat().into()]).await;
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::InternalServer);
    assert!(error.message().contains("worker died"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_events_or_an_error_and_never_a_panic(
        good in 0..3usize,
        rest in prop::collection::vec(any::<u8>(), 0..80),
        flips in prop::collection::vec((0..2000usize, any::<u8>()), 0..3),
        piece in 1..64usize,
    ) {
        let mut text = stream(&whole()[..good]);
        text.extend(rest);
        for (place, mask) in flips {
            if let Some(byte) = text.get_mut(place) {
                *byte ^= mask;
            }
        }
        for framing in [Framing::AwsEvents, Framing::AwsParts] {
            let mut framer = Framer::new(framing);
            let mut events = Vec::new();
            let mut fed = text.chunks(piece).map(|piece| framer.feed(&Bytes::copy_from_slice(piece), &mut events));
            let _ = fed.find(Result::is_err);
            framer.finish();
        }
    }
}
