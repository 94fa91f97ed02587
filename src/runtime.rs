//! The tokio runtime of the process: made at the first use, told apart by process id so that a
//! forked child gets its own, ended at exit. Used by `python` alone; uses `error`.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};

/// One worker: the work between two awaits is microseconds, and a second one is woken for every
/// call only to find nothing, which makes a call that is made alone wait longer.
const WORKER_THREADS: usize = 1;

/// Work that reports its outcome by itself.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether the beginnings of several pieces of work may overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each runs where and when a worker is free.
    Free,
    /// Each runs as far as it gets without waiting before the next begins, so that what they send
    /// leaves in the order in which they were submitted.
    Kept,
}

enum State {
    NotStarted,
    Running {
        runtime: Runtime,
        submissions: mpsc::UnboundedSender<Work>,
        process: u32,
    },
    Ended {
        process: u32,
    },
}

static STATE: Mutex<State> = Mutex::new(State::NotStarted);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The id of this process, as it was last asked of the system; 0 before that.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// The id of this process. It is compared at every call, so the system is asked once.
pub fn process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => {
            let process = std::process::id();
            PROCESS.store(process, Ordering::Relaxed);
            process
        }
        known => known,
    }
}

/// Must be called in a forked child before anything else of the crate.
pub fn forked() {
    PROCESS.store(0, Ordering::Relaxed);
}

/// A handle of the runtime of this process; starts the runtime if there is none.
pub fn handle() -> Result<Handle> {
    running(|runtime, _| runtime.handle().clone())
}

/// Hands work to the runtime of this process; starts the runtime if there is none.
///
/// A burst of work whose order is kept wakes the runtime once: waking a worker costs a caller more
/// than all the rest of a call.
pub fn submit(work: Work, order: Order) -> Result<()> {
    running(|runtime, submissions| match order {
        Order::Free => drop(runtime.spawn(work)),
        // The receiver lives as long as the runtime.
        Order::Kept => drop(submissions.send(work)),
    })
}

fn running<T>(action: impl FnOnce(&Runtime, &mpsc::UnboundedSender<Work>) -> T) -> Result<T> {
    let current = process();
    let mut state = state();
    match &*state {
        State::Running {
            runtime,
            submissions,
            process,
        } if *process == current => return Ok(action(runtime, submissions)),
        State::Ended { process } if *process == current => {
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
    let (submissions, received) = mpsc::unbounded_channel();
    runtime.spawn(tokio::task::unconstrained(dispatch(received)));
    let outcome = action(&runtime, &submissions);
    let started = State::Running {
        runtime,
        submissions,
        process: current,
    };
    let inherited = std::mem::replace(&mut *state, started);
    if let State::Running { .. } = inherited {
        // A forked child inherits the bookkeeping of threads that it does not have: ending that
        // runtime, or closing the queue to it, would wait for them for ever.
        Box::leak(Box::new(inherited));
    }
    Ok(outcome)
}

/// Starts what is submitted, one after another. Outside of tokio's budget, because work that is
/// told to yield here would lose its place.
async fn dispatch(mut received: mpsc::UnboundedReceiver<Work>) {
    while let Some(mut work) = received.recv().await {
        // Whoever polls it again brings a waker of its own.
        let mut nobody = Context::from_waker(Waker::noop());
        if work.as_mut().poll(&mut nobody).is_pending() {
            tokio::spawn(work);
        }
    }
}

/// Ends the runtime of this process: waits `patience` for `last_work`, then drops what still runs.
pub fn shutdown(patience: Duration, last_work: impl Future<Output = ()>) {
    let process = process();
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
