//! What a peer says unasked and nobody has taken yet. A peer talks as fast as it likes and a callback of
//! the user's takes as long as it likes, so what waits between them is bounded, for each session.
//!
//! Reading cannot simply stop until there is room: the callback may itself wait for an answer, which
//! comes through the same connection, and the loop that it runs on may be stopped while others call.
//! So a connection that finds its backlog full is read no further for a moment only. That is enough for
//! a burst. If there is still no room then, what comes is left out, with a warning that counts it, and
//! answers pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How many things wait, and how many bytes, before reading pauses. What was read by then is still
/// taken, up to twice as much. A single one may be as large as a message may be.
const MAXIMUM_WAITING: usize = 10_000;
const MAXIMUM_BYTES: usize = 16 << 20;
/// How long reading pauses.
const PATIENCE: Duration = Duration::from_secs(1);

/// What waits for one listener.
#[derive(Debug)]
pub struct Backlog {
    /// What it is called in a warning.
    what: &'static str,
    state: Mutex<State>,
    is_full: AtomicBool,
    has_room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    bytes: usize,
    full_since: Option<Instant>,
    /// There was no room in time: nothing is taken until there is.
    is_stuck: bool,
    lost: u64,
}

impl State {
    fn exceeds(&self, times: usize) -> bool {
        self.waiting >= MAXIMUM_WAITING * times || self.bytes >= MAXIMUM_BYTES * times
    }
}

/// One thing that waits, until it is dropped.
#[derive(Debug)]
pub struct Place {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let backlog = &self.backlog;
        let mut state = backlog.state();
        state.waiting -= 1;
        state.bytes -= self.bytes;
        let has_room = state.waiting <= MAXIMUM_WAITING / 2 && state.bytes <= MAXIMUM_BYTES / 2;
        if !has_room || state.full_since.take().is_none() {
            return;
        }
        state.is_stuck = false;
        let lost = std::mem::take(&mut state.lost);
        backlog.is_full.store(false, Ordering::Release);
        drop(state);
        backlog.has_room.notify_waiters();
        if lost > 0 {
            tracing::warn!(
                target: "toolbridge::mcp",
                "{lost} {} were left out, because those before them were not taken in time",
                backlog.what
            );
        }
    }
}

impl Backlog {
    /// `what` is the plural of what waits.
    pub fn new(what: &'static str) -> Arc<Self> {
        Arc::new(Self {
            what,
            state: Mutex::default(),
            is_full: AtomicBool::new(false),
            has_room: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; none if there is no room, which is counted.
    pub fn enter(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let mut state = self.state();
        if state.is_stuck || state.exceeds(2) {
            let is_first = state.lost == 0;
            state.lost += 1;
            drop(state);
            if is_first {
                tracing::warn!(
                    target: "toolbridge::mcp",
                    "{} come faster than they are taken: some are left out from now on",
                    self.what
                );
            }
            return None;
        }
        state.waiting += 1;
        state.bytes += bytes;
        if state.exceeds(1) && state.full_since.is_none() {
            state.full_since = Some(Instant::now());
            self.is_full.store(true, Ordering::Release);
        }
        drop(state);
        Some(Place {
            backlog: Arc::clone(self),
            bytes,
        })
    }

    /// Whether reading should pause.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// Waits until there is room, or until it was waited for long enough since there was none.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            let has_room = self.has_room.notified();
            let since = self.state().full_since;
            let Some(deadline) = since.map(|since| since + PATIENCE) else {
                return;
            };
            if tokio::time::timeout_at(deadline, has_room).await.is_err() {
                let mut state = self.state();
                state.is_stuck = state.full_since.is_some();
                self.is_full.store(false, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(backlog: &Arc<Backlog>) -> Vec<Place> {
        let mut places = Vec::new();
        while !backlog.is_full() {
            places.push(backlog.enter(1).unwrap());
        }
        places
    }

    #[tokio::test(start_paused = true)]
    async fn reading_pauses_for_a_moment_and_what_comes_then_is_left_out_until_there_is_room() {
        let backlog = Backlog::new("things");
        let mut places = fill(&backlog);
        assert_eq!(places.len(), MAXIMUM_WAITING);
        // What was read already is taken.
        places.push(backlog.enter(1).unwrap());
        let began = Instant::now();
        backlog.room().await;
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(backlog.enter(1).is_none());
        backlog.room().await;
        assert_eq!(began.elapsed(), PATIENCE);
        places.truncate(MAXIMUM_WAITING / 2 + 1);
        assert!(backlog.enter(1).is_none());
        places.pop();
        assert!(backlog.enter(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_is_taken_in_time_loses_nothing() {
        let backlog = Backlog::new("things");
        let mut places = fill(&backlog);
        let waiting = Arc::clone(&backlog);
        let began = Instant::now();
        let reader = tokio::spawn(async move { waiting.room().await });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        places.truncate(MAXIMUM_WAITING / 2);
        reader.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(backlog.enter(1).is_some());
    }

    #[test]
    fn one_large_thing_is_taken_and_a_third_is_not() {
        let backlog = Backlog::new("things");
        let first = backlog.enter(MAXIMUM_BYTES).unwrap();
        let second = backlog.enter(MAXIMUM_BYTES).unwrap();
        assert!(backlog.enter(1).is_none());
        drop((first, second));
        assert!(backlog.enter(MAXIMUM_BYTES * 3).is_some());
    }
}
