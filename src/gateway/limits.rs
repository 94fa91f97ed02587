//! Bodies of requests in their limits: of size, and of the time that a client takes to send them. The
//! layer around every route; a handler has limits of its own beside it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Duration, Sleep};

use super::Current;
use super::failure::Failure;

/// What became too much of a body.
#[derive(Debug, Default)]
struct Exceeded {
    size: AtomicBool,
    time: AtomicBool,
}

/// The layer around every route.
pub(super) async fn layer<F: Future<Output = Response>>(
    current: Current,
    request: Request,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return inner(request).await;
    }
    let limits = current.get().limits.clone();
    let most = limits.body_bytes.unwrap_or(u64::MAX);
    if request.body().size_hint().lower() > most {
        return too_large(most).into_response();
    }
    let exceeded = Arc::new(Exceeded::default());
    let noticed = Arc::clone(&exceeded);
    let request = request.map(|inner| {
        Body::new(Limited {
            inner,
            left: most,
            patience: limits.body_timeout,
            timer: None,
            exceeded: noticed,
        })
    });
    let response = inner(request).await;
    // The handler only knows that the body broke off.
    if exceeded.size.load(Ordering::Relaxed) {
        return too_large(most).into_response();
    }
    if exceeded.time.load(Ordering::Relaxed) {
        let seconds = limits.body_timeout.as_secs_f64();
        let message = format!("the body was not there after {seconds} s");
        return Failure::new(StatusCode::REQUEST_TIMEOUT, message).into_response();
    }
    response
}

fn too_large(most: u64) -> Failure {
    let message = format!("the body is longer than {most} bytes, which is the most that is taken");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// A body that ends with an error when it is too large or too slow.
struct Limited {
    inner: Body,
    left: u64,
    patience: Duration,
    /// Begun when the body lets wait for itself.
    timer: Option<Pin<Box<Sleep>>>,
    exceeded: Arc<Exceeded>,
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                if let Some(left) = self.left.checked_sub(length) {
                    self.left = left;
                    return Poll::Ready(Some(Ok(frame)));
                }
                self.exceeded.size.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(
                    "too large",
                )))))
            }
            Poll::Pending => {
                let patience = self.patience;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.exceeded.time.store(true, Ordering::Relaxed);
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Poll::Ready(Some(Err(axum::Error::new(late))))
            }
            other @ Poll::Ready(_) => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
