//! What the engine has to say beside errors, handed to Python's `logging`: the target
//! `toolbridge::mcp` is the logger `toolbridge.mcp`. Whole messages of rmcp are not among it.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::cli::Log;
use crate::runtime;

/// How many lines wait for Python; those beyond are lost, as the engine must not wait for it.
const WAITING_LINES: usize = 256;
/// How long the end of the interpreter waits for the lines that are left.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Who writes instead of Python, in a process that is a command.
static COMMAND: OnceLock<Log> = OnceLock::new();

static WRITER: Mutex<Writer> = Mutex::new(Writer::Idle);

enum Writer {
    Idle,
    Running {
        lines: SyncSender<Line>,
        /// Disconnected once the last line is written.
        finished: Receiver<()>,
        process: u32,
    },
    Ended,
}

struct Line {
    logger: String,
    level: u8,
    text: String,
}

/// Sends the engine's events to Python; once in a process.
pub(super) fn install() {
    // A module that is imported a second time has its subscriber already.
    let _ = tracing::subscriber::set_global_default(ToPython);
}

/// From now on the events are written by a command line that took this process over.
pub(super) fn hand_over(log: Log) {
    // A process is one command.
    if COMMAND.set(log).is_ok() {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Writes what is left; nothing is taken after it.
pub(super) fn finish() {
    let writer = match WRITER.lock() {
        Ok(mut writer) => std::mem::replace(&mut *writer, Writer::Ended),
        Err(_) => return,
    };
    if let Writer::Running {
        lines,
        finished,
        process,
    } = writer
        && process == runtime::process()
    {
        drop(lines);
        // A handler that hangs must not keep the interpreter.
        let _ = finished.recv_timeout(LAST_PATIENCE);
    }
}

fn take(line: Line) {
    // A forked child may have inherited the lock in use; a line less is better than a hang.
    let Ok(mut writer) = WRITER.try_lock() else {
        return;
    };
    let current = runtime::process();
    match &*writer {
        Writer::Ended => return,
        Writer::Running { process, .. } if *process == current => {}
        _ => {
            let (lines, received) = sync_channel(WAITING_LINES);
            let (done, finished) = sync_channel(1);
            let started = thread::Builder::new()
                .name("toolbridge-log".to_owned())
                .spawn(move || {
                    write_all(&received);
                    drop(done);
                });
            if started.is_err() {
                return;
            }
            *writer = Writer::Running {
                lines,
                finished,
                process: current,
            };
        }
    }
    if let Writer::Running { lines, .. } = &*writer {
        // Full: the line is lost.
        let _ = lines.try_send(line);
    }
}

/// A thread of its own, so that no worker of the runtime waits for the interpreter.
fn write_all(lines: &Receiver<Line>) {
    for line in lines {
        let written = Python::try_attach(|py| {
            let outcome = py
                .import("logging")
                .and_then(|logging| logging.call_method1("getLogger", (line.logger,)))
                .and_then(|logger| logger.call_method1("log", (line.level, "%s", line.text)));
            if let Err(failure) = outcome {
                failure.write_unraisable(py, None);
            }
        });
        if written.is_none() {
            return;
        }
    }
}

struct ToPython;

impl Subscriber for ToPython {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match COMMAND.get() {
            Some(log) => log.max_level_hint(),
            None => Some(LevelFilter::INFO),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if let Some(log) = COMMAND.get() {
            return log.enabled(metadata);
        }
        metadata.is_event()
            && *metadata.level() <= Level::INFO
            && metadata.target().starts_with("toolbridge")
    }

    fn event(&self, event: &Event<'_>) {
        if let Some(log) = COMMAND.get() {
            return log.event(event);
        }
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        // The levels of Python's logging.
        let level = match *metadata.level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            _ => 20,
        };
        take(Line {
            logger: metadata.target().replace("::", "."),
            level,
            text: text.message + &text.fields,
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The sentence of an event, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " [{}: {value:?}]", field.name())
        };
    }
}
