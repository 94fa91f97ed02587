//! The tokio runtime of the process: made at the first use, told apart by process id so that a
//! forked child gets its own, ended at exit. Used by `python` alone; uses `error`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// Two workers keep a slow decode from holding up the pipes; more only adds wake-ups, because the
/// work between two awaits is microseconds.
const WORKER_THREADS: usize = 2;

enum State {
    NotStarted,
    Running { runtime: Runtime, process: u32 },
    Ended { process: u32 },
}

static STATE: Mutex<State> = Mutex::new(State::NotStarted);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle of the runtime of this process; starts the runtime if there is none.
pub fn handle() -> Result<Handle> {
    let process = std::process::id();
    let mut state = state();
    match &*state {
        State::Running {
            runtime,
            process: owner,
        } if *owner == process => {
            return Ok(runtime.handle().clone());
        }
        State::Ended { process: owner } if *owner == process => {
            return Err(Error::new(
                ErrorKind::Internal,
                "toolbridge was called while the interpreter exits; its connections are closed",
            ));
        }
        _ => {}
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .thread_name("toolbridge")
        .enable_all()
        .build()
        .map_err(|cause| {
            Error::new(
                ErrorKind::Internal,
                "the threads of toolbridge could not be started",
            )
            .with_source(cause)
        })?;
    let handle = runtime.handle().clone();
    let inherited = std::mem::replace(&mut *state, State::Running { runtime, process });
    if let State::Running { runtime, .. } = inherited {
        // A forked child inherits the bookkeeping of threads that it does not have: ending that
        // runtime would wait for them for ever.
        Box::leak(Box::new(runtime));
    }
    Ok(handle)
}

/// Ends the runtime of this process: waits `patience` for `last_work`, then drops what still runs.
pub fn shutdown(patience: Duration, last_work: impl Future<Output = ()>) {
    let process = std::process::id();
    let ended = {
        let mut state = state();
        match &*state {
            State::Running { process: owner, .. } if *owner != process => return,
            _ => std::mem::replace(&mut *state, State::Ended { process }),
        }
    };
    if let State::Running { runtime, .. } = ended {
        runtime.block_on(async { tokio::time::timeout(patience, last_work).await.ok() });
        runtime.shutdown_timeout(Duration::from_millis(100));
    }
}
