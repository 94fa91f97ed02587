//! The body of a request, in its limits.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;

use crate::gateway::failure::Failure;
use crate::llm::router::NotARequest;

/// The largest request.
const MAXIMUM_BODY_BYTES: usize = 64 << 20;
/// How long a client may be silent in the middle of its body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// Reads a body; without a copy when it came in one piece.
pub(super) async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Failure> {
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAXIMUM_BODY_BYTES) {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match body.frame().now_or_never() {
            Some(frame) => frame,
            None => tokio::time::timeout(BODY_PATIENCE, body.frame())
                .await
                .map_err(|_| silent())?,
        };
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|failure| Failure::invalid(format!("the body cannot be read: {failure}")))?;
        // Trailers are nothing of ours.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + piece.len() > MAXIMUM_BODY_BYTES {
            return Err(too_large());
        }
        if first.is_empty() && rest.is_empty() {
            first = piece;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(declared.unwrap_or_default());
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&piece);
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

fn too_large() -> Failure {
    let message = format!("the body is larger than {MAXIMUM_BODY_BYTES} bytes");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn silent() -> Failure {
    let seconds = BODY_PATIENCE.as_secs();
    let message = format!("nothing more of the body came for {seconds} s");
    Failure::new(StatusCode::REQUEST_TIMEOUT, message)
}

/// What a body that is no request is answered with.
pub(super) fn refused(why: &NotARequest) -> Failure {
    let failure = Failure::invalid(why.to_string());
    match why.param() {
        Some(param) => failure.with_param(param),
        None => failure,
    }
}
