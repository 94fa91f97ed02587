//! The standard error of a server: always read, so that the server never blocks on it; its last
//! lines kept for the error of a connection that ends; the rest forwarded. Used by `stdio` alone.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{mpsc, oneshot};

use super::scratch::read_with;

/// How much of the end is kept for an error.
const TAIL_BYTES: usize = 4 << 10;
const TAIL_LINES: usize = 20;
/// How many pieces wait for a slow reader, such as a stopped terminal, before some are left out.
const WAITING_PIECES: usize = 64;
/// How long a server is held up by a log that takes nothing, once, before output is left out.
const STALL_PATIENCE: Duration = Duration::from_millis(250);

/// Where the standard error of a server goes.
pub enum ErrorLog {
    /// Nowhere.
    Discard,
    /// To a file or terminal, from a thread of its own because writing to either may block.
    File(std::fs::File),
    /// To a function, which must not block.
    Lines(Box<dyn Fn(String) + Send>),
}

impl std::fmt::Debug for ErrorLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Discard => "Discard",
            Self::File(_) => "File",
            Self::Lines(_) => "Lines",
        })
    }
}

/// The last bytes of a standard error.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn push(&self, piece: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(piece);
        let excess = kept.len().saturating_sub(TAIL_BYTES);
        kept.drain(..excess);
    }

    /// The last lines, as text.
    pub(super) fn lines(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// Reads a standard error until it ends, and waits until the log has taken it.
pub(super) async fn forward(mut source: impl AsyncRead + Unpin, log: ErrorLog, tail: Tail) {
    let mut sink = Sink::new(log);
    while let Ok(piece) = read_with(&mut source, <[u8]>::to_vec).await {
        if piece.is_empty() {
            break;
        }
        tail.push(&piece);
        sink.write(piece).await;
    }
    sink.finish().await;
}

enum Sink {
    Discard,
    Thread(LogThread),
    Lines {
        listener: Box<dyn Fn(String) + Send>,
        rest: Vec<u8>,
    },
}

/// The thread that writes to a file or terminal.
struct LogThread {
    pieces: mpsc::Sender<Vec<u8>>,
    written: oneshot::Receiver<()>,
    /// The file takes nothing at the moment: what does not fit in the queue is left out.
    stalled: bool,
}

impl LogThread {
    fn start(mut file: std::fs::File) -> std::io::Result<Self> {
        let (pieces, mut receiver) = mpsc::channel::<Vec<u8>>(WAITING_PIECES);
        let (done, written) = oneshot::channel();
        let thread = std::thread::Builder::new().name("toolbridge-errlog".into());
        thread.spawn(move || {
            while let Some(piece) = receiver.blocking_recv() {
                if file.write_all(&piece).is_err() {
                    break;
                }
            }
            drop(done);
        })?;
        Ok(Self {
            pieces,
            written,
            stalled: false,
        })
    }

    /// A slow file holds the server up for a moment; one that takes nothing loses output rather
    /// than stopping the server.
    async fn write(&mut self, piece: Vec<u8>) {
        if self.stalled {
            self.stalled = matches!(self.pieces.try_send(piece), Err(TrySendError::Full(_)));
        } else {
            let sent = self.pieces.send_timeout(piece, STALL_PATIENCE).await;
            self.stalled = matches!(sent, Err(SendTimeoutError::Timeout(_)));
        }
    }
}

impl Sink {
    fn new(log: ErrorLog) -> Self {
        match log {
            ErrorLog::Discard => Self::Discard,
            ErrorLog::Lines(listener) => Self::Lines {
                listener,
                rest: Vec::new(),
            },
            ErrorLog::File(file) => LogThread::start(file).map_or(Self::Discard, Self::Thread),
        }
    }

    async fn write(&mut self, piece: Vec<u8>) {
        match self {
            Self::Discard => {}
            Self::Thread(thread) => thread.write(piece).await,
            Self::Lines { listener, rest } => {
                rest.extend_from_slice(&piece);
                // A character may be cut between two pieces: whole ones are handed on.
                let whole = match std::str::from_utf8(rest) {
                    Ok(text) => text.len(),
                    Err(failure) if failure.error_len().is_none() => failure.valid_up_to(),
                    Err(_) => rest.len(),
                };
                let ready: Vec<u8> = rest.drain(..whole).collect();
                if !ready.is_empty() {
                    listener(String::from_utf8_lossy(&ready).into_owned());
                }
            }
        }
    }

    /// Hands over what is left and waits until it is written, unless the file takes nothing.
    async fn finish(self) {
        match self {
            Self::Thread(thread) if !thread.stalled => {
                drop(thread.pieces);
                // The sender is dropped, never used: an error is the sign of the end.
                let _ = thread.written.await;
            }
            Self::Lines { listener, rest } if !rest.is_empty() => {
                listener(String::from_utf8_lossy(&rest).into_owned());
            }
            Self::Discard | Self::Thread(_) | Self::Lines { .. } => {}
        }
    }
}
