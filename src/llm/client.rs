//! The calls.
//!
//! | module | owns |
//! |---|---|
//! | `fetch` | what a request names by URL and its protocol carries as bytes |
//! | `reach` | which addresses may be asked for that |
//! | `media` | what the bytes are |
//! | `follow` | answers that only say where the real one is |
//! | `begun` | work that goes on without its caller, and how it is ended |
//! | `pool` | the connections |
//! | `prepare` | a request as its provider gets it, and its answer as a chat completion |
//! | `tries` | how long one call may take, and how often it is repeated |

mod begun;
pub mod fetch;
mod follow;
mod media;
mod pool;
mod prepare;
mod reach;
mod tries;

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::json::RawJson;

use super::answer::NotAnAnswer;
use super::call_id::CallId;
use super::chat_stream::{ChatStream, StreamSource};
use super::conversion::parameters::Policy;
use super::failure::{FailureSite, snippet};
use super::model_id::ModelId;
use super::passage::Passage;
use super::patience::Patience;
use super::provider::Endpoint;
use super::provider::authorize::Outgoing;
use super::retry;
pub use super::trust::Trust;
use begun::{Begun, WithWork};
use fetch::Fetcher;
use pool::Pools;
use prepare::Prepared;
pub use reach::Reach;
use tries::{Failed, Tries};

/// How long an answer may take when the caller does not say, as in the `openai` package.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a connection may take to be made when the caller does not say.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer.
const MAX_ANSWER_BYTES: usize = 512 * 1024 * 1024;
/// The longest body of an error that is read.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the connection is made.
    pub connect: Duration,
    /// Until the whole answer is there; of a stream, until it begins and between two pieces of it.
    /// It counts for each repetition anew.
    pub answer: Option<Duration>,
    /// Until the first chunk of a stream, where that is not what `answer` says.
    pub first_token: Option<Duration>,
    /// Between two pieces of a stream, where that is not what `answer` says.
    pub between_tokens: Option<Duration>,
    /// From the call to the end of the answer or of the stream, with every repetition.
    pub total: Option<Duration>,
}

impl Limits {
    /// Until a stream begins, and the argument that says so.
    fn begin(&self) -> Option<(Duration, &'static str)> {
        let first = self.first_token.map(|limit| (limit, "first_token"));
        first.or(self.answer.map(|limit| (limit, "timeout")))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: DEFAULT_CONNECT_TIMEOUT,
            answer: Some(DEFAULT_TIMEOUT),
            first_token: None,
            between_tokens: None,
            total: None,
        }
    }
}

/// One completion to ask for.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// The model.
    pub model: ModelId,
    /// Where it goes.
    pub endpoint: Endpoint,
    /// The JSON body, in OpenAI's form.
    pub body: Bytes,
    /// What becomes of parameters that the provider does not take.
    pub policy: Policy,
    /// How long it may take.
    pub limits: Limits,
    /// How often it is repeated.
    pub max_retries: u32,
    /// Whom to trust.
    pub trust: Trust,
}

/// The same, borrowed from whoever asks for many.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// What errors say about it.
    pub site: &'a FailureSite,
    /// The model.
    pub model: &'a ModelId,
    /// Where it goes.
    pub endpoint: &'a Endpoint,
    /// The JSON body, in OpenAI's form.
    pub body: Bytes,
    /// Headers beside those of the endpoint. No signature is over them.
    pub headers: Option<&'a HeaderMap>,
    /// What becomes of parameters that the provider does not take.
    pub policy: &'a Policy,
    /// How long it may take.
    pub limits: Limits,
    /// How often it is repeated.
    pub max_retries: u32,
    /// Whom to trust.
    pub trust: &'a Trust,
}

impl ChatRequest {
    fn call<'a>(&'a self, site: &'a FailureSite) -> Call<'a> {
        Call {
            site,
            model: &self.model,
            endpoint: &self.endpoint,
            body: self.body.clone(),
            headers: None,
            policy: &self.policy,
            limits: self.limits,
            max_retries: self.max_retries,
            trust: &self.trust,
        }
    }
}

/// What is known about an answer beside its body.
#[derive(Debug, Clone)]
pub struct AnswerContext {
    /// What whoever is told of the call knows it by.
    pub call_id: CallId,
    /// The provider.
    pub provider: &'static str,
    /// The base URL that was asked, fit to be shown.
    pub api_base: String,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// From the call to the answer; of a stream, to its beginning.
    pub elapsed: Duration,
    /// How often the request was repeated.
    pub retries: u32,
}

impl AnswerContext {
    /// Of a call of which nothing but this is known yet.
    pub fn new(provider: &'static str, api_base: &str) -> Self {
        Self {
            call_id: CallId::new(),
            provider,
            api_base: api_base.to_owned(),
            headers: HeaderMap::new(),
            elapsed: Duration::ZERO,
            retries: 0,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The body: a JSON object with a non-empty list `choices`.
    pub body: RawJson,
    /// What else is known.
    pub context: AnswerContext,
}

/// A stream that has begun.
#[derive(Debug)]
pub struct StreamedAnswer {
    /// The chunks.
    pub stream: ChatStream,
    /// What else is known.
    pub context: AnswerContext,
}

/// The connections to providers. One for all calls of a process; it belongs to the runtime that
/// its calls run in.
#[derive(Debug, Default)]
pub struct ChatClient {
    pools: Pools,
    fetcher: Fetcher,
}

impl ChatClient {
    /// One that fetches what requests name by URL from other addresses than the public ones too.
    pub fn with_reach(reach: Reach) -> Self {
        Self {
            pools: Pools::default(),
            fetcher: Fetcher::new(reach),
        }
    }

    /// Asks for a whole answer.
    pub async fn complete(&self, request: &ChatRequest) -> Result<Answer, Error> {
        let site = FailureSite::new(&request.model, &request.endpoint);
        self.answer(&request.call(&site)).await
    }

    /// As [`Self::complete`].
    pub async fn answer(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let pool = self.pools.of(call)?;
        let mut tries = Tries::new(call);
        let prepared = Prepared::new(call, &self.fetcher, false).await?;
        let limit = call.limits.answer.map(|limit| (limit, "timeout"));
        let (body, headers) = loop {
            // Pinned here, it is neither copied nor given room for twice on its way down.
            let whole = pin!(async {
                let (response, _) = send(&pool, call, &prepared).await?;
                read_answer(response, call.site, &prepared).await
            });
            match tries.within(limit, whole).await {
                Ok(answer) => break answer,
                Err(failed) => tries.wait(failed).await?,
            }
        };
        Ok(Answer {
            body: RawJson::trusted(body),
            context: context(call, headers, tries.started, tries.retries),
        })
    }

    /// Asks for a stream; returns when it begins. Nothing is repeated after that.
    pub async fn stream(&self, request: &ChatRequest) -> Result<StreamedAnswer, Error> {
        let site = FailureSite::new(&request.model, &request.endpoint);
        let call = request.call(&site);
        let pool = self.pools.of(&call)?;
        let mut tries = Tries::new(&call);
        let prepared = Prepared::new(&call, &self.fetcher, true).await?;
        let (patience, (response, headers, work)) = loop {
            let patience = tries.patience();
            let opened = pin!(open(&pool, &call, &prepared));
            match tries.within(call.limits.begin(), opened).await {
                Ok(begun) => break (patience, begun),
                Err(failed) => tries.wait(failed).await?,
            }
        };
        let context = context(&call, headers.clone(), tries.started, tries.retries);
        let source = source(&call, &prepared, &response, headers, patience);
        Ok(StreamedAnswer {
            stream: ChatStream::start(WithWork::new(response.bytes_stream(), work), source),
            context,
        })
    }

    /// Asks for a stream that is passed on as it comes; returns with its first events. Never
    /// repeated.
    pub async fn pass(&self, call: &Call<'_>) -> Result<(Passage, AnswerContext), Error> {
        let pool = self.pools.of(call)?;
        let tries = Tries::new(call);
        let prepared = Prepared::new(call, &self.fetcher, true).await?;
        let patience = tries.patience();
        let begun = pin!(async {
            let (response, headers, work) = open(&pool, call, &prepared).await?;
            let source = source(call, &prepared, &response, headers.clone(), patience);
            let body = WithWork::new(response.bytes_stream(), work);
            let mut passage = Passage::new(body, source);
            passage.begin().await?;
            Ok((passage, headers))
        });
        match tries.within(call.limits.begin(), begun).await {
            Ok((passage, headers)) => Ok((passage, context(call, headers, tries.started, 0))),
            Err(failed) => Err(failed.error),
        }
    }
}

/// Sends a request for a stream and waits until its answer is known to be one.
async fn open(
    pool: &reqwest::Client,
    call: &Call<'_>,
    prepared: &Prepared<'_>,
) -> Result<(reqwest::Response, HeaderMap, Option<Begun>), Failed> {
    let (response, work) = send(pool, call, prepared).await?;
    let mut response = check_is_stream(response, call.site, prepared).await?;
    let headers = std::mem::take(response.headers_mut());
    Ok((response, headers, work))
}

fn source(
    call: &Call<'_>,
    prepared: &Prepared<'_>,
    response: &reqwest::Response,
    headers: HeaderMap,
    patience: Patience,
) -> StreamSource {
    StreamSource {
        translation: prepared.translation(call),
        site: call.site.clone(),
        status: response.status(),
        headers,
        patience,
    }
}

fn context(call: &Call<'_>, headers: HeaderMap, started: Instant, retries: u32) -> AnswerContext {
    AnswerContext {
        headers,
        elapsed: started.elapsed(),
        retries,
        ..AnswerContext::new(call.site.provider(), &call.endpoint.base)
    }
}

/// Sends a request. Gives its answer, and the work that goes on beside it.
async fn send(
    pool: &reqwest::Client,
    call: &Call<'_>,
    prepared: &Prepared<'_>,
) -> Result<(reqwest::Response, Option<Begun>), Failed> {
    let site = call.site;
    let mut headers = call.endpoint.headers.clone();
    if let Some(authorizer) = &call.endpoint.authorizer {
        let outgoing = Outgoing {
            url: prepared.url,
            headers: &mut headers,
            body: &prepared.body,
            trust: call.trust,
        };
        authorizer
            .authorize(outgoing)
            .await
            .map_err(|error| site.placed(error))?;
    }
    for (name, value) in call.headers.into_iter().flatten() {
        headers.insert(name.clone(), value.clone());
    }
    let mut message = reqwest::Request::new(Method::POST, prepared.url.clone());
    prepared.ask_at_once(&mut headers);
    *message.headers_mut() = headers;
    *message.body_mut() = Some(prepared.body.clone().into());
    match prepared.follow_up() {
        None => Ok((execute(pool, message, site).await?, None)),
        // Few providers have it, and all calls would have room for it.
        Some(follow_up) => {
            Box::pin(follow::to_the_end(pool, call, prepared, follow_up, message)).await
        }
    }
}

/// Sends a message, and makes an error of an answer that says that it failed.
async fn execute(
    pool: &reqwest::Client,
    message: reqwest::Request,
    site: &FailureSite,
) -> Result<reqwest::Response, Failed> {
    let response = pool
        .execute(message)
        .await
        .map_err(|cause| unreachable(cause, site))?;
    checked_status(response, site).await
}

async fn checked_status(
    response: reqwest::Response,
    site: &FailureSite,
) -> Result<reqwest::Response, Failed> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = response.headers().clone();
    let body = match read_body(response, MAX_ERROR_BYTES).await {
        Ok(body) => body,
        // What the status says stands without the rest of the body.
        Err(Unread::Broken { read, .. } | Unread::TooLong { read }) => read,
    };
    let mut error = site.status_error(status, &headers, &body);
    if status.is_redirection() {
        let message = format!(
            "{} answered {status}, a redirect to another place, which is not followed: give the right \
             api_base",
            site.peer()
        );
        error = site.error_with_answer(ErrorKind::Status, message, status, &headers, &body);
    }
    Err(Failed {
        error,
        is_retryable: retry::is_retryable(status, &headers),
    })
}

fn unreachable(cause: reqwest::Error, site: &FailureSite) -> Failed {
    let peer = site.peer();
    let root = root_cause(&cause);
    let (kind, message) = if cause.is_timeout() {
        (
            ErrorKind::Timeout,
            format!("the connection to {peer} was not made in time"),
        )
    } else if cause.is_connect() {
        (
            ErrorKind::Connection,
            format!("cannot connect to {peer}: {root}"),
        )
    } else {
        (
            ErrorKind::Connection,
            format!("the connection to {peer} broke before an answer came: {root}"),
        )
    };
    Failed {
        error: site.error(kind, message).with_source(cause.without_url()),
        is_retryable: true,
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

enum Unread {
    TooLong { read: Bytes },
    Broken { read: Bytes, cause: reqwest::Error },
}

/// The body; without a copy when it came in one piece.
async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<Bytes, Unread> {
    let mut read = BytesMut::new();
    let mut first = Bytes::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if first.is_empty() && read.is_empty() => first = piece,
            Ok(Some(piece)) => {
                if read.is_empty() {
                    read = BytesMut::from(std::mem::take(&mut first));
                }
                read.extend_from_slice(&piece);
            }
            Ok(None) => break,
            Err(cause) => {
                let read = if read.is_empty() {
                    first
                } else {
                    read.freeze()
                };
                return Err(Unread::Broken { read, cause });
            }
        }
        if first.len() + read.len() > limit {
            let mut read = if read.is_empty() {
                first
            } else {
                read.freeze()
            };
            read.truncate(limit);
            return Err(Unread::TooLong { read });
        }
    }
    Ok(if read.is_empty() {
        first
    } else {
        read.freeze()
    })
}

async fn read_answer(
    mut response: reqwest::Response,
    site: &FailureSite,
    prepared: &Prepared<'_>,
) -> Result<(Bytes, HeaderMap), Failed> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = match read_body(response, MAX_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(Unread::Broken { read, cause }) => {
            let message = format!(
                "the answer of {} was cut short after {} bytes: {}",
                site.peer(),
                read.len(),
                root_cause(&cause)
            );
            let error = site
                .error_with_answer(ErrorKind::Connection, message, status, &headers, &read)
                .with_source(cause.without_url());
            return Err(Failed {
                error,
                is_retryable: true,
            });
        }
        Err(Unread::TooLong { read }) => {
            let message = format!(
                "the answer of {} is longer than {MAX_ANSWER_BYTES} bytes",
                site.peer()
            );
            let kind = ErrorKind::ResponseValidation;
            return Err(site
                .error_with_answer(kind, message, status, &headers, &read)
                .into());
        }
    };
    match prepared.answer(body.clone()) {
        Ok(body) => Ok((body, headers)),
        Err(why) => Err(no_answer(why, site, status, &headers, &body).into()),
    }
}

fn no_answer(
    why: NotAnAnswer,
    site: &FailureSite,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Error {
    let peer = site.peer();
    let invalid = |message| {
        site.error_with_answer(
            ErrorKind::ResponseValidation,
            message,
            status,
            headers,
            body,
        )
    };
    match why {
        NotAnAnswer::Error => site.embedded_error("with status 200", status, headers, body),
        NotAnAnswer::NoChoices => invalid(format!(
            "{peer} answered {status} with JSON that has no list of choices, it begins with {}",
            snippet(body)
        )),
        NotAnAnswer::Incomplete(what) => invalid(format!(
            "{peer} answered {status} with JSON with {what}, it begins with {}",
            snippet(body)
        )),
        NotAnAnswer::NotJson(_) if body.is_empty() => {
            invalid(format!("{peer} answered {status} with an empty body"))
        }
        NotAnAnswer::NotJson(cause) => {
            let what = if is_html(headers, body) {
                "an HTML page, which hints at a wrong api_base"
            } else {
                "a body that is not JSON"
            };
            invalid(format!(
                "{peer} answered {status} with {what}; it begins with {}",
                snippet(body)
            ))
            .with_source(cause)
        }
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    content_type(headers).eq_ignore_ascii_case("text/html")
        || body.trim_ascii_start().starts_with(b"<")
}

/// Servers send streams under many content types, but never under these two.
async fn check_is_stream(
    response: reqwest::Response,
    site: &FailureSite,
    prepared: &Prepared<'_>,
) -> Result<reqwest::Response, Failed> {
    let found = content_type(response.headers());
    if !["application/json", "text/html"]
        .iter()
        .any(|other| found.eq_ignore_ascii_case(other))
    {
        return Ok(response);
    }
    let status = response.status();
    match read_answer(response, site, prepared).await {
        Err(failed) => Err(failed),
        Ok((body, headers)) => {
            let message = format!(
                "{} answered a request with stream=True with one whole answer: it does not stream, leave \
                 stream out",
                site.peer()
            );
            let kind = ErrorKind::ResponseValidation;
            Err(site
                .error_with_answer(kind, message, status, &headers, &body)
                .into())
        }
    }
}
