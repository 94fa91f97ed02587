//! Answers that only say where the real one is, or that it is not there yet: they are followed until
//! it is. The time limit of the call holds for all of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use url::Url;

use super::begun::Begun;
use super::prepare::Prepared;
use super::{
    Call, Failed, MAX_ANSWER_BYTES, Unread, checked_status, execute, read_body, root_cause,
    unreachable,
};
use crate::error::{Error, ErrorKind};
use crate::llm::conversion::{FollowUp, Next};

/// How long the first wait is; each is half as long again as the one before, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// How often a question is asked again: about an hour, for calls without a time limit.
const MAX_QUESTIONS: u32 = 1200;
/// How many questions in a row may fail on their way.
const MAX_FAILURES: u32 = 3;

/// Sends the message that begins the work, and follows its answer to the real one, with the work where
/// that goes on beside its answer. What fails after the begin is never repeated from the start: the
/// work would be done and paid for twice. When this is dropped, the work is ended.
pub(super) async fn to_the_end(
    pool: &reqwest::Client,
    call: &Call<'_>,
    prepared: &Prepared<'_>,
    follow_up: FollowUp,
    message: reqwest::Request,
) -> Result<(reqwest::Response, Option<Begun>), Failed> {
    let mut work = Begun::new(pool, message, follow_up.cancel);
    let Some(answer) = work.answer().await else {
        let message = "the request was given up, because its runtime ends";
        return Err(call.site.error(ErrorKind::Connection, message).into());
    };
    let response = answer.map_err(|cause| unreachable(cause, call.site))?;
    let response = checked_status(response, call.site).await?;
    let followed = follow(pool, call, prepared, follow_up, response, &mut work).await;
    let (response, goes_on) = followed.map_err(|failed| failed.error)?;
    Ok((response, goes_on.then_some(work)))
}

/// The real answer, and whether the work goes on beside it.
async fn follow(
    pool: &reqwest::Client,
    call: &Call<'_>,
    prepared: &Prepared<'_>,
    follow_up: FollowUp,
    mut response: reqwest::Response,
    work: &mut Begun,
) -> Result<(reqwest::Response, bool), Failed> {
    let mut wait = FIRST_WAIT;
    for _ in 0..MAX_QUESTIONS {
        let (whole, body) = read(response, call).await?;
        work.runs(&body);
        let url = match (follow_up.next)(&body, prepared.streams) {
            None => {
                work.is_over();
                return Ok((whole, false));
            }
            Some(Next::Stream(url)) => return Ok((get(pool, call, &url, true).await?, true)),
            Some(Next::Again(url)) => url,
        };
        let mut failures = 0;
        response = loop {
            tokio::time::sleep(wait).await;
            wait = (wait + wait / 2).min(LONGEST_WAIT);
            match get(pool, call, &url, false).await {
                Ok(response) => break response,
                // The question may be asked again: it changes nothing.
                Err(failed) if failed.is_retryable && failures < MAX_FAILURES => failures += 1,
                Err(failed) => return Err(failed),
            }
        };
    }
    let message = format!(
        "{} had no answer after {MAX_QUESTIONS} questions",
        call.site.peer()
    );
    Err(call.site.error(ErrorKind::Timeout, message).into())
}

/// The body, and the response with it as if it were not read.
async fn read(
    mut response: reqwest::Response,
    call: &Call<'_>,
) -> Result<(reqwest::Response, Bytes), Failed> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = read_body(response, MAX_ANSWER_BYTES).await;
    let body = body.map_err(|unread| {
        let why = match unread {
            Unread::Broken { cause, .. } => format!("was cut short: {}", root_cause(&cause)),
            Unread::TooLong { .. } => format!("is longer than {MAX_ANSWER_BYTES} bytes"),
        };
        let message = format!("the answer of {} {why}", call.site.peer());
        Failed::from(call.site.error(ErrorKind::Connection, message))
    })?;
    let mut whole = http::Response::new(body.clone());
    *whole.status_mut() = status;
    *whole.headers_mut() = headers;
    Ok((whole.into(), body))
}

async fn get(
    pool: &reqwest::Client,
    call: &Call<'_>,
    url: &str,
    streams: bool,
) -> Result<reqwest::Response, Failed> {
    let url = checked(url, call)?;
    let mut headers = call.endpoint.headers.clone();
    headers.remove(header::CONTENT_TYPE);
    if url.origin() != call.endpoint.url.origin() {
        // The key is for the API alone; elsewhere the URL itself is what allows to read.
        let agent = headers.remove(header::USER_AGENT);
        headers.clear();
        headers.extend(agent.map(|agent| (header::USER_AGENT, agent)));
    }
    if streams {
        let kind = HeaderValue::from_static("text/event-stream");
        headers.insert(header::ACCEPT, kind);
    }
    let mut message = reqwest::Request::new(Method::GET, url);
    *message.headers_mut() = headers;
    execute(pool, message, call.site).await
}

/// A URL of the provider's, which has to be at its API or at least encrypted.
fn checked(url: &str, call: &Call<'_>) -> Result<Url, Error> {
    let parsed = Url::parse(url).ok();
    let home = call.endpoint.url.origin();
    let good = parsed.filter(|url| url.scheme() == "https" || url.origin() == home);
    good.ok_or_else(|| {
        let message = format!(
            "{} says that its answer is at a URL that is neither https nor at its own address",
            call.site.peer()
        );
        call.site.error(ErrorKind::ResponseValidation, message)
    })
}
