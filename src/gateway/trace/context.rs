//! The text of W3C Trace Context. Pure.

use std::fmt;

/// The longest `tracestate` that is passed on.
const MAXIMUM_STATE_BYTES: usize = 512;
const SAMPLED: u8 = 1;

/// A place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) flags: u8,
    /// What other systems say of the trace, as they wrote it.
    pub(in crate::gateway) state: Option<String>,
}

impl Context {
    /// Reads a `traceparent` and the `tracestate` beside it; what breaks the rules is none.
    pub(in crate::gateway) fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let (version, rest) = parent.trim().split_once('-')?;
        let version = hexadecimal(version, 2)?;
        let mut parts = rest.splitn(4, '-');
        let mut part = |length| hexadecimal(parts.next()?, length);
        let (trace, span, flags) = (part(32)?, part(16)?, part(2)?);
        // Later versions may say more; this one does not, and 255 is none.
        let has_more = parts.next().is_some();
        if trace == 0 || span == 0 || version == 0xff || (version == 0 && has_more) {
            return None;
        }
        let state = state.filter(|state| {
            let is_printable = |byte: u8| (0x20..=0x7e).contains(&byte);
            (1..=MAXIMUM_STATE_BYTES).contains(&state.len()) && state.bytes().all(is_printable)
        });
        Some(Self {
            trace,
            span: u64::try_from(span).ok()?,
            flags: u8::try_from(flags).ok()?,
            state: state.map(str::to_owned),
        })
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

fn hexadecimal(text: &str, length: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_whole = text.len() == length && text.bytes().all(is_digit);
    is_whole.then(|| u128::from_str_radix(text, 16).ok())?
}

/// The `traceparent`.
impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace, span, flags, ..
        } = self;
        write!(formatter, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context = Context::read(GOOD, Some("vendor=1")).unwrap();
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(context.state.as_deref(), Some("vendor=1"));
        assert!(context.is_sampled());
    }

    #[test]
    fn what_breaks_the_rules_is_no_context() {
        for wrong in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4bf9", "ff-4bf9"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("{GOOD}-more"),
            &GOOD[..54],
            &GOOD.replace("00f0", "+0f0"),
        ] {
            assert_eq!(Context::read(wrong, None), None, "{wrong}");
        }
        let later = format!("{}-more", GOOD.replacen("00", "01", 1));
        assert_eq!(Context::read(&later, None).unwrap().to_string(), GOOD);
        let long = "x".repeat(600);
        for state in ["", "a\nb", &long] {
            assert_eq!(Context::read(GOOD, Some(state)).unwrap().state, None);
        }
    }
}
