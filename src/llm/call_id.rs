//! What a completion call is known by to whoever is told of it. Owns [`CallId`].

use std::fmt;

use super::retry::random_bits;

/// A random UUID, version 4 (RFC 9562); its text is made where somebody wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(u64, u64);

impl CallId {
    /// Of a call that is new.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Self {
        Self(random_bits(), random_bits())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(high, low) = self;
        write!(
            formatter,
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_its_version_and_its_variant() {
        let all = CallId(u64::MAX, u64::MAX).to_string();
        assert_eq!(all, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(
            CallId(0, 0).to_string(),
            "00000000-0000-4000-8000-000000000000"
        );
        assert_ne!(CallId::new(), CallId::new());
    }
}
