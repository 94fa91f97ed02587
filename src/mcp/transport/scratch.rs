//! Reads without a buffer of the reader's own: a connection that waits for its peer holds no memory for
//! what may come. Used by `stdio` and `stderr`.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::ready;

use tokio::io::{AsyncRead, ReadBuf};

/// How much one read takes; as much as a pipe holds unless it was made larger.
pub(super) const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    /// Empty between two polls, so one for each worker is enough.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Waits for bytes and hands them to `take`; none of them at the end of the stream.
pub(super) async fn read_with<T>(
    source: &mut (impl AsyncRead + Unpin),
    mut take: impl FnMut(&[u8]) -> T,
) -> io::Result<T> {
    std::future::poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(SCRATCH_BYTES, 0);
            let mut piece = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *source).poll_read(context, &mut piece))?;
            Ok(take(piece.filled())).into()
        })
    })
    .await
}
