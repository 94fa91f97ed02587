//! How long a stream may keep its reader waiting: for its first chunk, between two chunks, and
//! altogether. Owns [`Patience`]; uses the clock alone.

use std::time::Duration;

use tokio::time::Instant;

/// A limit that began to count at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The end.
    pub at: Instant,
    /// How long it was.
    pub limit: Duration,
}

impl Deadline {
    /// A limit that counts from `start`; one that no clock can hold is none.
    pub fn from(start: Instant, limit: Duration) -> Option<Self> {
        let at = start.checked_add(limit)?;
        Some(Self { at, limit })
    }
}

/// The limits of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// Until the first chunk.
    pub first: Option<Deadline>,
    /// The longest silence.
    pub idle: Option<Duration>,
    /// Until the end.
    pub total: Option<Deadline>,
}

/// Which limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    First(Duration),
    Silence(Duration),
    Total(Duration),
}

impl Patience {
    /// Until when the next piece may come after so many chunks, and what it means when it does not.
    fn next(&self, chunks: usize) -> Option<(Instant, Late)> {
        let first = self.first.filter(|_| chunks == 0);
        let near = match first {
            Some(first) => Some((first.at, Late::First(first.limit))),
            None => self.idle.and_then(|idle| {
                let at = Instant::now().checked_add(idle)?;
                Some((at, Late::Silence(idle)))
            }),
        };
        let total = self.total.map(|total| (total.at, Late::Total(total.limit)));
        near.into_iter().chain(total).min_by_key(|(at, _)| *at)
    }

    /// Waits as long as these limits allow.
    pub(super) async fn wait<T>(
        &self,
        chunks: usize,
        work: impl Future<Output = T>,
    ) -> Result<T, Late> {
        match self.next(chunks) {
            None => Ok(work.await),
            Some((at, late)) => tokio::time::timeout_at(at, work).await.map_err(|_| late),
        }
    }

    /// Whether there is no time left although pieces keep coming.
    pub(super) fn is_over(&self) -> Option<Late> {
        let total = self.total?;
        (Instant::now() >= total.at).then_some(Late::Total(total.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(first: u32, idle: u32, total: u32) -> Patience {
        let now = Instant::now();
        Patience {
            first: Deadline::from(now, SECOND * first),
            idle: Some(SECOND * idle),
            total: Deadline::from(now, SECOND * total),
        }
    }

    async fn late(patience: Patience, chunks: usize) -> Option<Late> {
        patience
            .wait(chunks, std::future::pending::<()>())
            .await
            .err()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_limit_counts_until_a_chunk_has_come_and_the_silence_after_it() {
        let limits = patience(5, 2, 60);
        assert_eq!(late(limits, 0).await, Some(Late::First(SECOND * 5)));
        assert_eq!(late(limits, 1).await, Some(Late::Silence(SECOND * 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_counts_from_the_call_on_whatever_comes() {
        let limits = patience(5, 2, 3);
        assert_eq!(late(limits, 0).await, Some(Late::Total(SECOND * 3)));
        assert_eq!(limits.is_over(), Some(Late::Total(SECOND * 3)));
        assert_eq!(patience(1, 1, 9).is_over(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_no_clock_can_hold_is_none() {
        assert_eq!(Deadline::from(Instant::now(), Duration::MAX), None);
    }
}
