//! Answers of ours that the peer has not taken yet. How many there are is up to the peer, which asks:
//! one that asks and never listens must not fill this process. Shared by every transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many answers may wait, however large they are.
const MAXIMUM_ANSWERS: usize = 256;
/// How many bytes may wait, in however many answers.
const MAXIMUM_BYTES: usize = 1 << 20;

/// The answers of one connection that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Answers {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// One answer that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Untaken {
    answers: Arc<Answers>,
    bytes: usize,
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.answers.count.fetch_sub(1, Ordering::Relaxed);
        self.answers.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Answers {
    /// Counts one more answer.
    ///
    /// # Errors
    /// Too many wait, with too many bytes: the end of a sentence about the peer.
    pub(super) fn add(self: &Arc<Self>, bytes: usize) -> Result<Untaken, String> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let sum = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let untaken = Untaken {
            answers: Arc::clone(self),
            bytes,
        };
        if count > MAXIMUM_ANSWERS && sum > MAXIMUM_BYTES {
            return Err(format!(
                "sent requests and did not take the answers: {count} of them with {sum} bytes \
                 wait, and the connection is ended beyond {MAXIMUM_ANSWERS} answers with \
                 {MAXIMUM_BYTES} bytes"
            ));
        }
        Ok(untaken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_answers_may_wait_and_few_large_ones_and_no_more() {
        let answers = Arc::<Answers>::default();
        let mut waiting: Vec<_> = (0..MAXIMUM_ANSWERS)
            .map(|_| answers.add(MAXIMUM_BYTES).unwrap())
            .collect();
        let refusal = answers.add(1).unwrap_err();
        assert!(refusal.contains("257 of them"), "{refusal}");
        waiting.clear();
        waiting.extend((0..MAXIMUM_BYTES / 40).map(|_| answers.add(40).unwrap()));
        answers.add(40).unwrap_err();
        waiting.pop();
        answers.add(1).unwrap();
    }
}
