//! How a request is answered over HTTP: with JSON if its answer comes soon and alone, with a stream
//! of events else. Owns [`Exchange`] and the answers that are no stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::client::Outlet;
use super::headers::Accepts;
use super::message::{self, INVALID_REQUEST, RpcError};
use super::session::{Lease, Session};
use super::stream::{Reader, response};
use crate::json::RawJson;

/// After how long an answer begins as a stream although nothing is there yet.
const OPENING: Duration = Duration::from_secs(2);

/// What one request wants its answer to be like.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) accepts: Accepts,
    pub(super) session: Option<Arc<Session>>,
    /// Whether the client takes an event without content.
    pub(super) is_primed: bool,
}

/// What a request ends with.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of an answer that is no stream.
    pub(super) status: StatusCode,
    pub(super) text: Bytes,
}

impl Exchange {
    /// Answers with what `work` ends with. What it sends to its outlet until then goes before it, on
    /// one stream. The work is dropped when the client is gone.
    pub(super) async fn carry<W>(self, work: impl FnOnce(Arc<dyn Outlet>) -> W) -> Response
    where
        W: Future<Output = Answer> + Send + 'static,
    {
        // A session that ends with the gateway ends after its answers.
        let hold = self.session.as_ref().map(Session::hold);
        if !self.accepts.stream {
            let answer = work(Arc::new(Nobody)).await;
            return json(answer.status, answer.text);
        }
        let lease = match &self.session {
            Some(session) => session.stream(),
            None => Lease::single(),
        };
        let stream = Arc::clone(&lease.stream);
        let outlet: Arc<dyn Outlet> = Arc::<super::stream::Stream>::clone(&stream);
        let mut work = Box::pin(work(outlet));
        let mut answer = None;
        if self.accepts.json {
            tokio::select! {
                biased;
                ended = &mut work => answer = Some(ended),
                () = stream.begun() => {}
                () = tokio::time::sleep(OPENING) => {}
            }
        }
        if let Some(answer) = answer {
            if !stream.has_begun() {
                return json(answer.status, answer.text);
            }
            stream.finish(answer.text);
        } else {
            tokio::spawn(async move {
                tokio::select! {
                    answer = work => stream.finish(answer.text),
                    () = stream.given_up() => stream.end(),
                }
                drop(hold);
            });
        }
        self.begin(lease.keep().reader())
    }

    /// A stream that is there from now on.
    pub(super) fn begin(&self, mut reader: Reader) -> Response {
        let is_primed = self.is_primed && self.session.is_some();
        let first = is_primed.then(|| reader.priming());
        response(first, reader, ())
    }
}

/// Hears nothing: the client takes one JSON answer.
#[derive(Debug)]
pub(super) struct Nobody;

impl Outlet for Nobody {
    fn send(&self, _message: Bytes) -> bool {
        false
    }
}

pub(super) fn json(status: StatusCode, text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The answer to what wants none.
pub(super) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// A refusal of the transport.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    text: Bytes,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: &str) -> Self {
        Self::with(status, RpcError::new(INVALID_REQUEST, message))
    }

    pub(super) fn with(status: StatusCode, error: RpcError) -> Self {
        Self {
            status,
            text: message::refusal(error),
        }
    }

    /// The refusal of one request.
    pub(super) fn of(status: StatusCode, id: &RawJson, error: RpcError) -> Self {
        Self {
            status,
            text: message::answer(id, &Err(error)),
        }
    }

    /// A path that no server answers to; it is not told which ones do.
    pub(super) fn nowhere() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no MCP server that this key may use is called so",
        )
    }

    /// The client has to begin anew.
    pub(super) fn unknown_session() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "the session is not known, or has ended: begin a new one with initialize",
        )
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        json(self.status, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Accepts = Accepts {
        json: true,
        stream: true,
    };

    fn answer() -> Answer {
        Answer {
            status: StatusCode::NOT_FOUND,
            text: Bytes::from_static(b"{\"answer\":1}"),
        }
    }

    async fn carried(accepts: Accepts, said: &'static [&'static str]) -> (StatusCode, String) {
        let exchange = Exchange {
            accepts,
            session: None,
            is_primed: false,
        };
        let carried = exchange.carry(|outlet| async move {
            for one in said {
                outlet.send(Bytes::from_static(one.as_bytes()));
            }
            answer()
        });
        let response = carried.await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let body = body.unwrap_or_default().to_vec();
        (status, String::from_utf8(body).unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_alone_is_json_with_its_own_status() {
        let (status, body) = carried(BOTH, &[]).await;
        assert_eq!((status.as_u16(), body.as_str()), (404, "{\"answer\":1}"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_just_before_the_answer_is_not_lost() {
        let (status, body) = carried(BOTH, &["{\"said\":1}", "{\"said\":2}"]).await;
        let events = "event: message\ndata: {\"said\":1}\n\nevent: message\ndata: {\"said\":2}\n\n\
                      event: message\ndata: {\"answer\":1}\n\n";
        assert_eq!((status.as_u16(), body.as_str()), (200, events));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_only_a_stream_does_not_wait_for_its_opening() {
        let begun = tokio::time::Instant::now();
        let accepts = Accepts {
            json: false,
            stream: true,
        };
        let (_, body) = carried(accepts, &[]).await;
        assert_eq!(body, "event: message\ndata: {\"answer\":1}\n\n");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_long_begins_as_a_stream_and_ends_with_its_client() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let exchange = Exchange {
            accepts: BOTH,
            session: None,
            is_primed: false,
        };
        let begun = tokio::time::Instant::now();
        let carried = exchange.carry(|_| async move {
            let _held = sender;
            std::future::pending().await
        });
        let response = carried.await;
        assert_eq!(begun.elapsed(), OPENING);
        drop(response);
        // The sender goes away with the work.
        assert!(receiver.await.is_err());
        assert_eq!(begun.elapsed(), OPENING);
    }
}
