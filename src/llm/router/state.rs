//! What a router remembers of its deployments: requests in flight, the counts of this minute,
//! latencies, cooldowns. Behind [`RouterState`], so that several processes can share it one day;
//! [`MemoryState`] keeps it in this one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// How many answers a latency is the mean of.
const REMEMBERED: usize = 10;
/// What a timeout counts as, in seconds: slower than anything that answers.
const TIMEOUT_SECONDS: f64 = 1000.0;
/// The window of the counts.
const WINDOW: Duration = Duration::from_mins(1);

/// The memory of a router. Asked when a router is made, not by requests.
pub trait RouterState: Send + Sync + fmt::Debug {
    /// What is remembered of the deployment with this id; the same for everybody who asks.
    fn tally(&self, id: &str) -> Arc<dyn Tally>;
}

/// What is remembered of one deployment. Never waits: one that is kept elsewhere answers with what
/// it last heard.
pub trait Tally: Send + Sync + fmt::Debug {
    /// What is known; of latencies, those that are not older than `memory`.
    fn load(&self, memory: Duration) -> Load;
    /// A request is sent.
    fn began(&self);
    /// A request is over, however it ended.
    fn ended(&self);
    /// The first piece of a stream came after this time.
    fn first_piece(&self, elapsed: Duration);
    /// An answer came whole after this time; it took so many tokens.
    fn succeeded(&self, elapsed: Duration, tokens: u64);
    /// A request failed. Failures count together as long as none is further than `memory` from the
    /// one before.
    fn failed(&self, is_timeout: bool, memory: Duration) -> Failures;
    /// It is to be left alone for this time.
    fn cool(&self, time: Duration);
}

/// What is known of one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Requests that are not over.
    pub in_flight: u64,
    /// Requests that were sent in this minute.
    pub requests: u64,
    /// Tokens that were answered in this minute.
    pub tokens: u64,
    /// Seconds that an answer takes of late.
    pub latency: Option<f64>,
    /// Seconds until the first piece of a stream, of late.
    pub first_piece: Option<f64>,
    /// For how long it is still left alone.
    pub cooling: Option<Duration>,
}

/// The failures of one deployment, the newest included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// Answers in this minute.
    pub successes: u64,
    /// Failures in this minute.
    pub failures: u64,
    /// Failures that count together.
    pub recent: u32,
}

/// The memory of this process. What no router uses any more is forgotten.
#[derive(Debug, Default)]
pub struct MemoryState {
    tallies: Mutex<HashMap<String, Weak<MemoryTally>>>,
}

impl RouterState for MemoryState {
    fn tally(&self, id: &str) -> Arc<dyn Tally> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tallies.get(id).and_then(Weak::upgrade) {
            return known;
        }
        tallies.retain(|_, tally| tally.strong_count() > 0);
        let made = Arc::<MemoryTally>::default();
        tallies.insert(id.to_owned(), Arc::downgrade(&made));
        made
    }
}

#[derive(Debug, Default)]
struct MemoryTally(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    in_flight: u64,
    window: Option<Window>,
    latencies: Recent,
    first_pieces: Recent,
    /// How many, and until when they count.
    failures: Option<(u32, Instant)>,
    cool_at: Option<Instant>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    requests: u64,
    tokens: u64,
    successes: u64,
    failures: u64,
}

#[derive(Debug, Default)]
struct Recent(VecDeque<(Instant, f64)>);

impl Recent {
    fn push(&mut self, seconds: f64) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now(), seconds));
    }

    fn mean(&self, now: Instant, memory: Duration) -> Option<f64> {
        let young = |at: &Instant| now.duration_since(*at) <= memory;
        let young = self.0.iter().filter(|(at, _)| young(at));
        let (count, sum) = young.fold((0_u32, 0.0), |(count, sum), (_, seconds)| {
            (count + 1, sum + seconds)
        });
        (count > 0).then(|| sum / f64::from(count))
    }
}

impl Numbers {
    /// The counts of the minute that it is.
    fn window(&mut self, now: Instant) -> &mut Window {
        let current = self.window.take();
        let current = current.filter(|window| now.duration_since(window.since) < WINDOW);
        self.window.insert(current.unwrap_or(Window {
            since: now,
            requests: 0,
            tokens: 0,
            successes: 0,
            failures: 0,
        }))
    }
}

impl MemoryTally {
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally for MemoryTally {
    fn load(&self, memory: Duration) -> Load {
        let now = Instant::now();
        let mut numbers = self.lock();
        let Window {
            requests, tokens, ..
        } = *numbers.window(now);
        let cooling = numbers.cool_at.map(|at| at.saturating_duration_since(now));
        Load {
            in_flight: numbers.in_flight,
            requests,
            tokens,
            latency: numbers.latencies.mean(now, memory),
            first_piece: numbers.first_pieces.mean(now, memory),
            cooling: cooling.filter(|left| !left.is_zero()),
        }
    }

    fn began(&self) {
        let now = Instant::now();
        let mut numbers = self.lock();
        numbers.in_flight += 1;
        numbers.window(now).requests += 1;
    }

    fn ended(&self) {
        let mut numbers = self.lock();
        numbers.in_flight = numbers.in_flight.saturating_sub(1);
    }

    fn first_piece(&self, elapsed: Duration) {
        self.lock().first_pieces.push(elapsed.as_secs_f64());
    }

    fn succeeded(&self, elapsed: Duration, tokens: u64) {
        let now = Instant::now();
        let mut numbers = self.lock();
        numbers.latencies.push(elapsed.as_secs_f64());
        let window = numbers.window(now);
        window.successes += 1;
        window.tokens = window.tokens.saturating_add(tokens);
    }

    fn failed(&self, is_timeout: bool, memory: Duration) -> Failures {
        let now = Instant::now();
        let mut numbers = self.lock();
        if is_timeout {
            numbers.latencies.push(TIMEOUT_SECONDS);
        }
        let before = numbers.failures.filter(|(_, until)| now < *until);
        let recent = before.map_or(0, |(count, _)| count).saturating_add(1);
        numbers.failures = Some((recent, now + memory));
        let window = numbers.window(now);
        window.failures += 1;
        Failures {
            successes: window.successes,
            failures: window.failures,
            recent,
        }
    }

    fn cool(&self, time: Duration) {
        let at = Instant::now() + time;
        let mut numbers = self.lock();
        // One failure that asks for less does not end the wait that another asked for.
        numbers.cool_at = numbers.cool_at.max(Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn counts_end_with_their_minute_and_cooldowns_with_their_time() {
        let state = MemoryState::default();
        let tally = state.tally("a");
        tally.began();
        tally.succeeded(Duration::from_secs(2), 30);
        tally.cool(Duration::from_secs(5));
        tally.cool(Duration::from_secs(1));
        let load = tally.load(HOUR);
        assert_eq!((load.in_flight, load.requests, load.tokens), (1, 1, 30));
        assert_eq!(load.latency, Some(2.0));
        assert_eq!(load.cooling, Some(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(tally.load(HOUR).cooling, None);
        tokio::time::advance(Duration::from_secs(55)).await;
        tally.ended();
        let load = tally.load(HOUR);
        assert_eq!((load.in_flight, load.requests, load.tokens), (0, 0, 0));
        assert_eq!(load.latency, Some(2.0));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_count_together_while_they_are_near_each_other() {
        let tally = MemoryState::default().tally("a");
        let memory = Duration::from_secs(5);
        let failed = |tally: &Arc<dyn Tally>| tally.failed(false, memory);
        assert_eq!(failed(&tally).recent, 1);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(failed(&tally).recent, 2);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(failed(&tally).recent, 3);
        tokio::time::advance(Duration::from_secs(5)).await;
        let failures = failed(&tally);
        assert_eq!((failures.recent, failures.failures), (1, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn latencies_are_forgotten_in_time() {
        let tally = MemoryTally::default();
        tally.succeeded(Duration::from_secs(4), 0);
        tokio::time::advance(Duration::from_mins(59)).await;
        tally.succeeded(Duration::from_secs(2), 0);
        assert_eq!(tally.load(HOUR).latency, Some(3.0));
        tokio::time::advance(Duration::from_mins(2)).await;
        assert_eq!(tally.load(HOUR).latency, Some(2.0));
        assert_eq!(tally.load(Duration::from_mins(1)).latency, None);
    }

    #[tokio::test(start_paused = true)]
    async fn latencies_are_the_mean_of_the_last_ones() {
        let tally = MemoryTally::default();
        for seconds in 0..20 {
            tally.succeeded(Duration::from_secs(seconds), 0);
        }
        assert_eq!(tally.load(HOUR).latency, Some(14.5));
        tally.failed(true, Duration::ZERO);
        assert!(tally.load(HOUR).latency.unwrap() > 100.0);
    }

    #[test]
    fn a_tally_is_the_same_for_all_and_forgotten_with_its_last_user() {
        let state = MemoryState::default();
        let first = state.tally("a");
        state.tally("a").began();
        assert_eq!(first.load(HOUR).in_flight, 1);
        drop(first);
        assert_eq!(state.tally("a").load(HOUR).in_flight, 0);
        assert_eq!(state.tallies.lock().unwrap().len(), 1);
    }
}
