//! How long one call may take, and how often it is repeated. Owns [`Tries`]; uses `retry` and the
//! clock.

use std::time::Duration;

use tokio::time::Instant;

use super::Call;
use crate::error::{Error, ErrorKind};
use crate::llm::failure::FailureSite;
use crate::llm::patience::{Deadline, Patience};
use crate::llm::retry;

/// Why a try came to nothing.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// Whether another try is worth its while.
    pub(super) is_retryable: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_retryable: false,
        }
    }
}

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    site: &'a FailureSite,
    /// When the call began.
    pub(super) started: Instant,
    /// How often it was repeated.
    pub(super) retries: u32,
    max_retries: u32,
    first: Option<Duration>,
    idle: Option<Duration>,
    total: Option<Deadline>,
}

impl<'a> Tries<'a> {
    pub(super) fn new(call: &Call<'a>) -> Self {
        let (started, limits) = (Instant::now(), call.limits);
        Self {
            site: call.site,
            started,
            retries: 0,
            max_retries: call.max_retries,
            first: limits.first_token,
            idle: limits.between_tokens.or(limits.answer),
            total: limits
                .total
                .and_then(|total| Deadline::from(started, total)),
        }
    }

    /// The limits of a stream that is asked for now.
    pub(super) fn patience(&self) -> Patience {
        let now = Instant::now();
        Patience {
            first: self.first.and_then(|first| Deadline::from(now, first)),
            idle: self.idle,
            total: self.total,
        }
    }

    /// One try: as long as it may take itself, and no longer than the call may.
    pub(super) async fn within<T>(
        &self,
        limit: Option<(Duration, &'static str)>,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let one = limit.and_then(|(limit, name)| {
            let end = Deadline::from(Instant::now(), limit)?;
            Some((end, name, true))
        });
        let all = self.total.map(|total| (total, "timeout, total", false));
        let nearest = one.into_iter().chain(all).min_by_key(|(end, ..)| end.at);
        let Some((end, name, is_retryable)) = nearest else {
            return work.await;
        };
        tokio::time::timeout_at(end.at, work)
            .await
            .unwrap_or_else(|_| {
                let message = format!(
                    "{} did not answer within {} s ({name})",
                    self.site.peer(),
                    end.limit.as_secs_f64()
                );
                Err(Failed {
                    error: self.site.error(ErrorKind::Timeout, message),
                    is_retryable,
                })
            })
    }

    /// Waits before the next try, or gives the error where there is none.
    pub(super) async fn wait(&mut self, failed: Failed) -> Result<(), Error> {
        let asked = failed.error.context().retry_after;
        let delay = retry::delay(self.retries, asked, retry::chance());
        // A wait beyond the end of the call would hide what went wrong.
        let has_time = self
            .total
            .is_none_or(|total| Instant::now() + delay < total.at);
        if !failed.is_retryable || self.retries >= self.max_retries || !has_time {
            let retries = self.retries;
            return Err(failed
                .error
                .map_context(|context| context.retries = retries));
        }
        self.retries += 1;
        tracing::debug!(
            retry = self.retries, ?delay, reason = %failed.error, "the request is repeated"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
