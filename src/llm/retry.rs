//! Whether and when a request is repeated. Pure: the clock and the chance are arguments.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

/// How often a request is repeated when the caller does not say.
pub const DEFAULT_MAX_RETRIES: u32 = 2;
/// The longest wait that a peer may ask for; with a longer one our own backoff is used, as in the
/// `openai` package.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(8);

/// Whether an answer with this status is worth another try. `x-should-retry` overrules the status.
pub fn is_retryable(status: StatusCode, headers: &HeaderMap) -> bool {
    match headers
        .get("x-should-retry")
        .map(http::HeaderValue::as_bytes)
    {
        Some(b"true") => true,
        Some(b"false") => false,
        _ => matches!(status.as_u16(), 408 | 409 | 429 | 500..=599),
    }
}

/// How long to wait before try number `retry` (from 0). `chance` is in 0..1.
pub fn delay(retry: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    if let Some(asked) = retry_after.filter(|asked| *asked <= MAX_RETRY_AFTER) {
        return asked;
    }
    let full = FIRST_DELAY
        .saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX))
        .min(MAX_DELAY);
    // Up to a quarter off, so that clients that failed together do not come back together.
    full.mul_f64(1.0 - 0.25 * chance)
}

/// What the peer asks for: `retry-after-ms`, or `Retry-After` as seconds or as a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after_at(headers, SystemTime::now())
}

fn retry_after_at(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let number = |text: &str| text.parse::<f64>().ok();
    if let Some(milliseconds) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = text(header::RETRY_AFTER.as_str())?;
    match number(value) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        // A date in the past asks for nothing.
        None => httpdate::parse_http_date(value)
            .ok()
            .map(|date| date.duration_since(now).unwrap_or(Duration::ZERO)),
    }
}

/// A number in 0..1, from the seed of the standard library's hash maps.
pub fn chance() -> f64 {
    let bits = u32::try_from(random_bits() >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// 64 random bits: for jitter and for ids, not for secrets.
pub fn random_bits() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn the_delay_doubles_up_to_its_cap_and_jitter_only_shortens_it() {
        let seconds: Vec<_> = (0..6)
            .map(|retry| delay(retry, None, 0.0).as_secs_f64())
            .collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]);
        assert_eq!(delay(40, None, 0.0), MAX_DELAY);
        assert_eq!(delay(1, None, 1.0), Duration::from_millis(750));
    }

    #[test]
    fn the_peers_wish_is_honoured_up_to_a_minute() {
        assert_eq!(
            delay(0, Some(Duration::from_mins(1)), 0.5),
            Duration::from_mins(1)
        );
        assert_eq!(delay(0, Some(Duration::from_secs(61)), 0.0), FIRST_DELAY);
        assert_eq!(delay(3, Some(Duration::ZERO), 0.0), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_read_in_all_its_spellings() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |pairs: &[(&'static str, &'static str)]| retry_after_at(&headers(pairs), now);
        assert_eq!(
            read(&[("retry-after", "20")]),
            Some(Duration::from_secs(20))
        );
        assert_eq!(
            read(&[("retry-after", "0.25")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            read(&[("retry-after-ms", "1500"), ("retry-after", "20")]),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")]),
            Some(Duration::ZERO)
        );
        assert_eq!(read(&[("retry-after", "soon")]), None);
        assert_eq!(read(&[("retry-after", "-1")]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn only_passing_troubles_are_retried() {
        let status = |code| StatusCode::from_u16(code).unwrap();
        for code in [408, 409, 429, 500, 503, 529] {
            assert!(is_retryable(status(code), &HeaderMap::new()), "{code}");
        }
        for code in [400, 401, 403, 404, 422] {
            assert!(!is_retryable(status(code), &HeaderMap::new()), "{code}");
        }
        assert!(is_retryable(
            status(400),
            &headers(&[("x-should-retry", "true")])
        ));
        assert!(!is_retryable(
            status(500),
            &headers(&[("x-should-retry", "false")])
        ));
    }

    #[test]
    fn chance_is_a_fraction_and_varies() {
        let draws: Vec<_> = (0..64).map(|_| chance()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(
            draws
                .windows(2)
                .any(|pair| (pair[0] - pair[1]).abs() > f64::EPSILON)
        );
    }
}
