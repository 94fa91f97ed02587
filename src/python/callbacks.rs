//! What the server says unasked, on its way to Python: listeners on the loop's thread, and the
//! answers of callbacks on their way back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use tokio::sync::oneshot;

use crate::json::RawJson;
use crate::mcp::{self, Backlog, Events, PeerError, Place};
use crate::python::bridge::LoopQueue;
use crate::python::convert::{from_json, to_json};

/// Adds the class of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Responder>()?;
    module.add_class::<Waiting>()
}

/// Counts something that the server said for as long as a callback for it is due or runs.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Waiting(#[expect(dead_code, reason = "kept for its end")] Place);

fn progress_listener(
    queue: Arc<LoopQueue>,
    listener: Py<PyAny>,
    backlog: Arc<Backlog>,
) -> mcp::session::ProgressListener {
    let listener = Arc::new(listener);
    Arc::new(move |params: RawJson| {
        let Some(place) = backlog.enter(params.as_bytes().len()) else {
            return;
        };
        let listener = Arc::clone(&listener);
        queue.push_event(move |py| {
            let report = from_json(py, params.as_bytes())?;
            listener.call1(py, (report, Waiting(place))).map(drop)
        });
    })
}

/// The Python functions that hear what the server says unasked.
pub(super) struct Listeners {
    queue: Arc<LoopQueue>,
    context: Py<PyAny>,
    on_notification: Py<PyAny>,
    on_garbage: Py<PyAny>,
    on_request: Py<PyAny>,
    backlog: Arc<Backlog>,
}

impl Listeners {
    /// For the running loop, with the context of the caller.
    pub(super) fn new(
        py: Python<'_>,
        on_notification: Py<PyAny>,
        on_garbage: Py<PyAny>,
        on_request: Py<PyAny>,
    ) -> PyResult<Arc<Self>> {
        let (_, queue) = LoopQueue::running(py)?;
        let context = py
            .import("contextvars")?
            .call_method0("copy_context")?
            .unbind();
        Ok(Arc::new(Self {
            queue,
            context,
            on_notification,
            on_garbage,
            on_request,
            backlog: Backlog::new("notifications of an MCP server"),
        }))
    }

    /// Who hears the progress of one call, on the running loop.
    pub(super) fn progress_listener(
        &self,
        py: Python<'_>,
        listener: Py<PyAny>,
    ) -> PyResult<mcp::session::ProgressListener> {
        let (_, queue) = LoopQueue::running(py)?;
        Ok(progress_listener(
            queue,
            listener,
            Arc::clone(&self.backlog),
        ))
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.on_notification)?;
        visit.call(&self.on_garbage)?;
        visit.call(&self.on_request)
    }

    pub(super) fn events(self: &Arc<Self>) -> Arc<dyn Events> {
        Arc::new(EventsForPython {
            listeners: Arc::downgrade(self),
            backlog: Arc::clone(&self.backlog),
        })
    }
}

struct EventsForPython {
    /// Weak, because the service loop must not keep the Python session alive.
    listeners: Weak<Listeners>,
    backlog: Arc<Backlog>,
}

fn length(params: Option<&RawJson>) -> usize {
    params.map_or(0, |params| params.as_bytes().len())
}

fn decoded<'py>(py: Python<'py>, params: Option<&RawJson>) -> PyResult<Option<Bound<'py, PyAny>>> {
    params
        .map(|params| from_json(py, params.as_bytes()))
        .transpose()
}

impl Events for EventsForPython {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        let Some(listeners) = self.listeners.upgrade() else {
            return;
        };
        let Some(place) = self.backlog.enter(method.len() + length(params.as_ref())) else {
            return;
        };
        let method = method.to_owned();
        let queue = Arc::clone(&listeners.queue);
        queue.push_event(move |py| {
            let context = &listeners.context;
            let called = match decoded(py, params.as_ref()) {
                Ok(params) => {
                    let arguments = (&listeners.on_notification, method, params, Waiting(place));
                    context.call_method1(py, "run", arguments)
                }
                Err(failure) => {
                    let reason = failure.to_string();
                    let arguments = (&listeners.on_garbage, method, reason, Waiting(place));
                    context.call_method1(py, "run", arguments)
                }
            };
            called.map(drop)
        });
    }

    fn backlog(&self) -> Option<&Backlog> {
        Some(&self.backlog)
    }

    fn garbage(&self, preview: &str, reason: &str) {
        let Some(listeners) = self.listeners.upgrade() else {
            return;
        };
        let Some(place) = self.backlog.enter(preview.len() + reason.len()) else {
            return;
        };
        let (preview, reason) = (preview.to_owned(), reason.to_owned());
        let queue = Arc::clone(&listeners.queue);
        queue.push_event(move |py| {
            let arguments = (&listeners.on_garbage, preview, reason, Waiting(place));
            listeners
                .context
                .call_method1(py, "run", arguments)
                .map(drop)
        });
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> mcp::session::PeerAnswer {
        let (sender, receiver) = oneshot::channel();
        let refusal = if self.listeners.strong_count() == 0 {
            PeerError::method_not_found(method)
        } else {
            PeerError::unanswered(method)
        };
        // A request that its sender takes back at once leaves its callback here for a while.
        if let Some(listeners) = self.listeners.upgrade()
            && let Some(place) = self.backlog.enter(method.len() + length(params.as_ref()))
        {
            let method = method.to_owned();
            let question = Arc::new(Question::new(sender));
            let responder = Responder {
                question: Arc::clone(&question),
                _place: place,
            };
            let queue = Arc::clone(&listeners.queue);
            let asked = Asked {
                question,
                queue: Arc::clone(&queue),
            };
            queue.push_event(move |py| {
                let params = match decoded(py, params.as_ref()) {
                    Ok(params) => params,
                    Err(failure) => {
                        responder
                            .question
                            .send(Err(PeerError::invalid_params(failure.to_string())));
                        return Ok(());
                    }
                };
                let arguments = (&listeners.on_request, method, params, responder);
                listeners
                    .context
                    .call_method1(py, "run", arguments)
                    .map(drop)
            });
            return Box::pin(async move {
                let outcome = receiver.await.unwrap_or(Err(refusal));
                drop(asked);
                outcome
            });
        }
        Box::pin(async move { Err(refusal) })
    }
}

/// A request of the server that waits for its answer.
struct Question {
    sender: Mutex<Option<oneshot::Sender<Result<RawJson, PeerError>>>>,
    /// What ends the callback; none before it runs.
    cancel: Mutex<Option<Py<PyAny>>>,
    is_given_up: AtomicBool,
}

impl Question {
    fn new(sender: oneshot::Sender<Result<RawJson, PeerError>>) -> Self {
        Self {
            sender: Mutex::new(Some(sender)),
            cancel: Mutex::default(),
            is_given_up: AtomicBool::new(false),
        }
    }

    fn take_sender(&self) -> Option<oneshot::Sender<Result<RawJson, PeerError>>> {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.take()
    }

    fn take_cancel(&self) -> Option<Py<PyAny>> {
        let mut cancel = self.cancel.lock().unwrap_or_else(PoisonError::into_inner);
        cancel.take()
    }

    fn send(&self, outcome: Result<RawJson, PeerError>) {
        if let Some(sender) = self.take_sender() {
            // The request may have been cancelled by its sender.
            let _ = sender.send(outcome);
        }
    }
}

/// Whoever waits for the answer; dropped without one, it ends the callback.
struct Asked {
    question: Arc<Question>,
    queue: Arc<LoopQueue>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.question.take_sender().is_none() {
            return;
        }
        self.question.is_given_up.store(true, Ordering::Release);
        let question = Arc::clone(&self.question);
        self.queue
            .push_event(move |py| match question.take_cancel() {
                Some(cancel) => cancel.call0(py).map(drop),
                None => Ok(()),
            });
    }
}

/// Answers one request of the server.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Responder {
    question: Arc<Question>,
    /// For as long as the callback may hold what it was asked.
    _place: Place,
}

impl Drop for Responder {
    /// A callback that ended without an answer leaves nothing to wait for.
    fn drop(&mut self) {
        drop(self.question.take_sender());
    }
}

#[pymethods]
impl Responder {
    /// Calls the function when nobody waits for the answer any more; on the loop's thread.
    fn when_given_up(&self, py: Python<'_>, cancel: Py<PyAny>) -> PyResult<()> {
        let mut slot = self
            .question
            .cancel
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.question.is_given_up.load(Ordering::Acquire) {
            *slot = Some(cancel);
            return Ok(());
        }
        drop(slot);
        cancel.call0(py).map(drop)
    }

    /// Sends the result.
    fn answer(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        self.question.send(Ok(to_json(result)?));
        Ok(())
    }

    /// Sends an error.
    #[pyo3(signature = (code, message, data))]
    fn refuse(&self, code: i32, message: String, data: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let data = data.map(to_json).transpose()?;
        self.question.send(Err(PeerError {
            code,
            message,
            data,
        }));
        Ok(())
    }
}
