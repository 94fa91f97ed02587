//! How long to wait between attempts: exponential, with full jitter.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::mcp::config::Endurance;

/// Where the randomness comes from: a number of at least 0 and below 1.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn() -> f64 + Send + Sync>);

impl fmt::Debug for Jitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Jitter")
    }
}

impl Default for Jitter {
    fn default() -> Self {
        // Nothing secret hangs on it: the keys of std's hash maps are random enough.
        Self::new(|| {
            let high = u32::try_from(RandomState::new().build_hasher().finish() >> 32);
            f64::from(high.unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
        })
    }
}

impl Jitter {
    /// Randomness of the caller's.
    pub fn new(source: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// The wait before an attempt; `failures` counts those before it, and is at least 1.
    pub(in crate::mcp) fn wait(&self, endurance: &Endurance, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let longest = endurance
            .first_wait
            .saturating_mul(doubled)
            .min(endurance.longest_wait);
        longest.mul_f64((self.0)().clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_a_random_part_of_it() {
        let endurance = Endurance::default();
        let waits = |jitter: &Jitter| {
            [1, 2, 3, 7, 8, 4_000_000_000]
                .map(|failures| jitter.wait(&endurance, failures).as_millis())
        };
        assert_eq!(
            waits(&Jitter::new(|| 1.0)),
            [500, 1000, 2000, 30_000, 30_000, 30_000]
        );
        assert_eq!(
            waits(&Jitter::new(|| 0.5)),
            [250, 500, 1000, 15_000, 15_000, 15_000]
        );
        let numbers: Vec<_> = (0..100).map(|_| (Jitter::default().0)()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(
            numbers
                .iter()
                .any(|number| (number - numbers[0]).abs() > 0.0)
        );
    }
}
