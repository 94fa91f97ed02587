//! The bridge to asyncio. Owns the completion queue of each event loop; uses `runtime`, `error`.
//!
//! A call makes a real `asyncio.Future` of the running loop and spawns on the runtime. What comes
//! back is pushed as a Rust value to the queue of that loop; the first push of a burst wakes the
//! loop, and the drain builds the Python objects on the loop's own thread. No worker thread of the
//! runtime ever waits for the interpreter lock.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};
use pyo3::exceptions::{PyException, PyNotImplementedError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::{Error, ErrorKind, Result};
use crate::python::error::to_py;
use crate::runtime::{self, Order};

mod wake;

use wake::Wake;

/// How many completions one turn of the loop delivers before other callbacks get their turn.
const DELIVERIES_PER_TURN: usize = 512;
/// How often a blocking call looks for signals such as Ctrl-C.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

type Delivery = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

struct Item {
    /// The future that gets the outcome; without one the delivery is an event.
    future: Option<u64>,
    delivery: Delivery,
}

/// The Rust half of a loop's queue, shared with the tasks of the runtime.
pub(crate) struct LoopQueue {
    items: Mutex<VecDeque<Item>>,
    futures: Mutex<HashMap<u64, Py<PyAny>>>,
    next: AtomicU64,
    awake: AtomicBool,
    closed: AtomicBool,
    wake: Wake,
    process: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LoopQueue {
    /// The queue of the loop that runs in this thread; made at the first use of the loop.
    pub(crate) fn running(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Arc<Self>)> {
        static GET_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let get_loop = GET_LOOP.import(py, "asyncio", "get_running_loop")?;
        let event_loop = get_loop.call0()?;
        let name = intern!(py, "_toolbridge_queue");
        if let Ok(found) = event_loop.getattr(name) {
            let queue = Arc::clone(&found.cast::<QueueOwner>()?.get().0);
            if queue.process != runtime::process() {
                return Err(to_py(py, &forked("this event loop", queue.process)));
            }
            return Ok((event_loop, queue));
        }
        let queue = Arc::new(Self {
            items: Mutex::default(),
            futures: Mutex::default(),
            next: AtomicU64::new(0),
            awake: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            wake: Wake::new()?,
            process: runtime::process(),
        });
        queue
            .wake
            .attach(py, &event_loop, Py::new(py, Drain(Arc::clone(&queue)))?)?;
        event_loop.setattr(name, QueueOwner(Arc::clone(&queue)).into_pyobject(py)?)?;
        Ok((event_loop, queue))
    }

    /// Runs `event` on the loop's thread, after everything that was pushed before it.
    pub(crate) fn push_event(
        &self,
        event: impl FnOnce(Python<'_>) -> PyResult<()> + Send + 'static,
    ) {
        self.push(Item {
            future: None,
            delivery: Box::new(move |py| event(py).map(|()| py.None())),
        });
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn push(&self, item: Item) {
        if self.is_closed() {
            return;
        }
        lock(&self.items).push_back(item);
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    fn register(&self, future: &Bound<'_, PyAny>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.futures).insert(id, future.clone().unbind());
        id
    }

    fn put_back(&self, rest: impl DoubleEndedIterator<Item = Item>) {
        let mut items = lock(&self.items);
        for item in rest.rev() {
            items.push_front(item);
        }
        if !items.is_empty() && !self.awake.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.wake.clear();
        self.awake.store(false, Ordering::Release);
        let burst: Vec<Item> = {
            let mut items = lock(&self.items);
            let count = items.len().min(DELIVERIES_PER_TURN);
            let burst = items.drain(..count).collect();
            if !items.is_empty() && !self.awake.swap(true, Ordering::AcqRel) {
                self.wake.wake();
            }
            burst
        };
        let mut burst = burst.into_iter();
        while let Some(item) = burst.next() {
            let Some(id) = item.future else {
                match (item.delivery)(py) {
                    Err(failure) if !failure.is_instance_of::<PyException>(py) => {
                        // Ctrl-C ends the loop; whoever runs it again gets the rest.
                        self.put_back(burst);
                        return Err(failure);
                    }
                    Err(failure) => failure.write_unraisable(py, None),
                    Ok(_) => {}
                }
                continue;
            };
            let Some(future) = lock(&self.futures).remove(&id) else {
                continue;
            };
            let future = future.bind(py);
            if future.call_method0(intern!(py, "done"))?.is_truthy()? {
                continue;
            }
            match (item.delivery)(py) {
                Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
                Err(failure) => {
                    future.call_method1(intern!(py, "set_exception"), (failure.into_value(py),))?
                }
            };
        }
        Ok(())
    }
}

/// What hangs on the loop object, so that the queue lives and dies with the loop.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct QueueOwner(Arc<LoopQueue>);

#[pymethods]
impl QueueOwner {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(futures) = self.0.futures.try_lock() {
            futures.values().try_for_each(|future| visit.call(future))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let futures = std::mem::take(&mut *lock(&self.0.futures));
        drop(futures);
    }
}

impl Drop for QueueOwner {
    fn drop(&mut self) {
        if self.0.process != runtime::process() {
            // A lock may have been held by a thread that a forked child does not have.
            Box::leak(Box::new(Arc::clone(&self.0)));
            return;
        }
        self.0.closed.store(true, Ordering::Release);
        self.0.wake.wake();
        let forgotten = std::mem::take(&mut *lock(&self.0.items));
        drop(forgotten);
        let futures = std::mem::take(&mut *lock(&self.0.futures));
        drop(futures);
    }
}

/// What the loop calls when the queue woke it.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Drain(Arc<LoopQueue>);

#[pymethods]
impl Drain {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.0.drain(py)
    }
}

/// The done callback of a future: a cancelled future ends its task.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct EndTask {
    queue: Arc<LoopQueue>,
    future: u64,
    task: AbortHandle,
}

#[pymethods]
impl EndTask {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        let waiting = lock(&self.queue.futures).remove(&self.future);
        drop(waiting);
    }
}

impl Drop for EndTask {
    /// Runs after the call above, and also when the loop was closed and the future is collected.
    fn drop(&mut self) {
        if self.queue.process == runtime::process() {
            self.task.abort();
        }
    }
}

/// As all that is done with the future of a call, it adds to it and does not take it into a block of
/// its own: each block would have room for it twice, and be copied with it.
fn caught<T>(future: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    AssertUnwindSafe(future).catch_unwind().map(|outcome| {
        outcome.unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(Error::new(
                ErrorKind::Internal,
                format!("a defect of toolbridge stopped the call: {what}"),
            ))
        })
    })
}

/// The error for an object that a forked child inherited.
pub(crate) fn forked(what: &str, owner: u32) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!(
            "{what} belongs to process {owner}, and this is its forked child {}: threads and \
             connections do not survive os.fork(); open new ones in the child, or start it with \
             the multiprocessing method 'spawn'",
            runtime::process()
        ),
    )
}

/// Starts `future` on the runtime and gives the `asyncio.Future` of its outcome.
///
/// `convert` runs on the thread of the loop. Cancelling the asyncio future drops `future`.
pub(crate) fn spawn<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    submit(py, Order::Free, future, convert)
}

/// As [`spawn`], and what several calls send leaves in the order in which they were made.
pub(crate) fn spawn_in_order<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    submit(py, Order::Kept, future, convert)
}

fn submit<T: Send + 'static>(
    py: Python<'_>,
    order: Order,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    let (event_loop, queue) = LoopQueue::running(py)?;
    let waiting = event_loop.call_method0(intern!(py, "create_future"))?;
    let id = queue.register(&waiting);
    let (task, registration) = AbortHandle::new_pair();
    let end = EndTask {
        queue: Arc::clone(&queue),
        future: id,
        task,
    };
    waiting.call_method1(intern!(py, "add_done_callback"), (end,))?;
    let work = caught(future).map(move |outcome| {
        queue.push(Item {
            future: Some(id),
            delivery: Box::new(move |py| match outcome {
                Ok(value) => convert(py, value),
                Err(error) => Err(to_py(py, &error)),
            }),
        });
    });
    let work = Abortable::new(work, registration).map(drop);
    match runtime::submit(Box::pin(work), order) {
        Ok(()) => Ok(waiting),
        Err(error) => Err(to_py(py, &error)),
    }
}

/// Runs `future` on the runtime and waits for it without the interpreter lock; Ctrl-C ends it.
pub(crate) fn block_on<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let runtime = runtime::handle().map_err(|error| to_py(py, &error))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let receiver = Mutex::new(receiver);
    // The receiver is gone only when the waiting thread was interrupted.
    let work = caught(future).map(move |outcome| drop(sender.send(outcome)));
    let task = runtime.spawn(work);
    loop {
        match py.detach(|| lock(&receiver).recv_timeout(SIGNAL_INTERVAL)) {
            Ok(Ok(value)) => return convert(py, value),
            Ok(Err(error)) => return Err(to_py(py, &error)),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                py.check_signals().inspect_err(|_| task.abort())?;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let ended = Error::new(ErrorKind::Internal, "the call was dropped at exit");
                return Err(to_py(py, &ended));
            }
        }
    }
}

/// The event loop that `add_reader` is missing from says so with this.
fn lacks_add_reader(py: Python<'_>, failure: &PyErr) -> bool {
    failure.is_instance_of::<PyNotImplementedError>(py)
}
