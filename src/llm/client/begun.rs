//! Work that a provider has begun and that goes on without its caller: a prediction is paid for until
//! it is over. Owns [`Begun`], which ends it when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, header};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use url::Url;

use super::read_body;

/// How long the order to end it may take, with the answer that says where it goes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read for it.
const MAX_BYTES: usize = 1024 * 1024;

/// Dropped before [`Self::is_over`], it tells the provider to stop; as well as that goes: nobody waits
/// for what comes of it.
#[derive(Debug)]
pub(super) struct Begun {
    pool: reqwest::Client,
    /// Where the API is, and its headers with the key: the key goes nowhere else.
    home: Url,
    headers: HeaderMap,
    cancel: fn(&[u8]) -> Option<String>,
    runtime: Handle,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is asked for, and its answer will say where it is ended. The request goes on when its caller
    /// does not.
    Asked(JoinHandle<reqwest::Result<reqwest::Response>>),
    /// It runs, and is ended here.
    Runs(Url),
    /// There is nothing to end.
    Over,
}

impl Begun {
    /// Sends the request that begins it. `cancel` says where it is ended, out of an answer.
    pub(super) fn new(
        pool: &reqwest::Client,
        message: reqwest::Request,
        cancel: fn(&[u8]) -> Option<String>,
    ) -> Self {
        let mut headers = message.headers().clone();
        headers.remove(header::CONTENT_TYPE);
        let (pool, home) = (pool.clone(), message.url().clone());
        let sent = pool.execute(message);
        Self {
            state: State::Asked(tokio::spawn(sent)),
            runtime: Handle::current(),
            pool,
            home,
            headers,
            cancel,
        }
    }

    /// The answer to that request. To be asked for once.
    pub(super) async fn answer(&mut self) -> Option<reqwest::Result<reqwest::Response>> {
        let State::Asked(sent) = &mut self.state else {
            return None;
        };
        let answer = sent.await.ok();
        self.state = State::Over;
        answer
    }

    /// It runs, and this is what was said of it last.
    pub(super) fn runs(&mut self, body: &[u8]) {
        self.state = cancel_url(self.cancel, body, &self.home).map_or(State::Over, State::Runs);
    }

    /// Nothing is left to be ended.
    pub(super) fn is_over(&mut self) {
        self.state = State::Over;
    }
}

/// At the address of the API alone.
fn cancel_url(cancel: fn(&[u8]) -> Option<String>, body: &[u8], home: &Url) -> Option<Url> {
    let url = Url::parse(&cancel(body)?).ok()?;
    (url.origin() == home.origin()).then_some(url)
}

impl Drop for Begun {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Over);
        if matches!(state, State::Over) {
            return;
        }
        let (pool, home, cancel) = (self.pool.clone(), self.home.clone(), self.cancel);
        let headers = std::mem::take(&mut self.headers);
        let end = async move {
            let url = match state {
                State::Asked(sent) => {
                    let response = sent.await.ok()?.ok()?;
                    let body = read_body(response, MAX_BYTES).await.ok()?;
                    cancel_url(cancel, &body, &home)?
                }
                State::Runs(url) => url,
                State::Over => return None,
            };
            let mut message = reqwest::Request::new(Method::POST, url);
            *message.headers_mut() = headers;
            let ended = pool.execute(message).await;
            tracing::debug!(
                is_ended = ended.is_ok_and(|answer| answer.status().is_success()),
                "work that nobody waits for any more was to be ended"
            );
            Some(())
        };
        self.runtime.spawn(tokio::time::timeout(PATIENCE, end));
    }
}

/// The body of a stream, with the work that it is of.
#[derive(Debug)]
pub(super) struct WithWork<S> {
    body: S,
    work: Option<Begun>,
}

impl<S> WithWork<S> {
    pub(super) fn new(body: S, work: Option<Begun>) -> Self {
        Self { body, work }
    }
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Stream for WithWork<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        if let (Poll::Ready(None), Some(work)) = (&next, &mut self.work) {
            work.is_over();
        }
        next
    }
}
