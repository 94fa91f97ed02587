//! The standard error of a server: always read, so that the server never blocks on it; its last
//! lines kept for the error of a connection that ends; the rest forwarded. Used by `stdio` alone.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of the end is kept for an error.
const TAIL_BYTES: usize = 4 << 10;
const TAIL_LINES: usize = 20;
/// How many pieces wait for a slow reader, such as a stopped terminal, before some are left out.
const WAITING_PIECES: usize = 256;

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

/// Reads a standard error until it ends.
pub(super) async fn forward(mut source: impl AsyncRead + Unpin, log: ErrorLog, tail: Tail) {
    let mut sink = Sink::new(log);
    let mut piece = vec![0; 8 << 10];
    while let Ok(count) = source.read(&mut piece).await {
        if count == 0 {
            break;
        }
        tail.push(&piece[..count]);
        sink.write(&piece[..count]);
    }
}

enum Sink {
    Discard,
    Thread(mpsc::SyncSender<Vec<u8>>),
    Lines {
        listener: Box<dyn Fn(String) + Send>,
        rest: Vec<u8>,
    },
}

impl Sink {
    fn new(log: ErrorLog) -> Self {
        match log {
            ErrorLog::Discard => Self::Discard,
            ErrorLog::Lines(listener) => Self::Lines {
                listener,
                rest: Vec::new(),
            },
            ErrorLog::File(mut file) => {
                let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(WAITING_PIECES);
                let writer = std::thread::Builder::new().name("toolbridge-errlog".into());
                let started = writer.spawn(move || {
                    while let Ok(piece) = receiver.recv() {
                        if file.write_all(&piece).is_err() {
                            break;
                        }
                    }
                });
                if started.is_ok() {
                    Self::Thread(sender)
                } else {
                    Self::Discard
                }
            }
        }
    }

    fn write(&mut self, piece: &[u8]) {
        match self {
            Self::Discard => {}
            // A reader that is too slow loses output rather than stopping the server.
            Self::Thread(sender) => drop(sender.try_send(piece.to_vec())),
            Self::Lines { listener, rest } => {
                rest.extend_from_slice(piece);
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
}
