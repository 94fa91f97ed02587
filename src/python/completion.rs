//! The completion call for Python: thin functions and classes over `llm`. The public signatures
//! are in `python/toolbridge/main.py`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use crate::agent::model::checked::misfit;
use crate::error::{Error, ErrorContext, ErrorKind};
use crate::llm::chat_stream::{ChatStream as CoreStream, Taken};
use crate::llm::client::{AnswerContext, ChatClient, StreamedAnswer};
use crate::llm::failure::snippet;
use crate::llm::model_id::ModelId;
use crate::python::bridge;
use crate::python::convert::{from_json, to_json};
use crate::python::error::to_py;
use crate::runtime;

mod options;

pub(super) use options::request;

/// How long a loop that reads a stream faster than it is sent goes without a turn for its other
/// tasks.
const LONGEST_TURN: Duration = Duration::from_millis(10);

/// Adds the classes and functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ChatStream>()?;
    module.add_class::<ChatStreamSource>()?;
    module.add_function(wrap_pyfunction!(chat_completion, module)?)?;
    module.add_function(wrap_pyfunction!(chat_completion_sync, module)?)?;
    module.add_function(wrap_pyfunction!(chat_stream, module)?)?;
    module.add_function(wrap_pyfunction!(chat_stream_sync, module)?)?;
    module.add_function(wrap_pyfunction!(json_misfit, module)?)?;
    module.add_function(wrap_pyfunction!(model_provider, module)?)?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections of this process: a forked child does not use those of its parent.
pub(super) fn client() -> Arc<ChatClient> {
    static CLIENT: Mutex<Option<(u32, Arc<ChatClient>)>> = Mutex::new(None);
    let process = runtime::process();
    let mut client = lock(&CLIENT);
    match &*client {
        Some((owner, client)) if *owner == process => Arc::clone(client),
        _ => {
            let made = Arc::<ChatClient>::default();
            if let Some((_, inherited)) = client.replace((process, Arc::clone(&made))) {
                // Its connections belong to threads that a forked child does not have.
                Box::leak(Box::new(inherited));
            }
            made
        }
    }
}

/// Asks for a whole answer; the future gives `(response, facts about the call)`.
#[pyfunction]
fn chat_completion<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyAny>,
    body: &Bound<'py, PyDict>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = options::request(model, body, options)?;
    let client = client();
    let name = request.model.given.clone();
    bridge::spawn(
        py,
        async move { client.complete(&request).await },
        move |py, answer| whole(py, answer.body.as_bytes(), &answer.context, &name),
    )
}

/// As `chat_completion`, for a caller that waits.
#[pyfunction]
fn chat_completion_sync(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    body: &Bound<'_, PyDict>,
    options: &Bound<'_, PyDict>,
) -> PyResult<Py<PyAny>> {
    let request = options::request(model, body, options)?;
    let client = client();
    let name = request.model.given.clone();
    bridge::block_on(
        py,
        async move { client.complete(&request).await },
        |py, answer| whole(py, answer.body.as_bytes(), &answer.context, &name),
    )
}

/// Asks for a stream; the future gives `(ChatStreamSource, facts about the call)` when it begins.
#[pyfunction]
fn chat_stream<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyAny>,
    body: &Bound<'py, PyDict>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = options::request(model, body, options)?;
    let client = client();
    let name = request.model.given.clone();
    bridge::spawn(
        py,
        async move { client.stream(&request).await },
        move |py, answer| begun(py, answer, name),
    )
}

/// As `chat_stream`, for a caller that waits.
#[pyfunction]
fn chat_stream_sync(
    py: Python<'_>,
    model: &Bound<'_, PyAny>,
    body: &Bound<'_, PyDict>,
    options: &Bound<'_, PyDict>,
) -> PyResult<Py<PyAny>> {
    let request = options::request(model, body, options)?;
    let client = client();
    let name = request.model.given.clone();
    bridge::block_on(
        py,
        async move { client.stream(&request).await },
        |py, answer| begun(py, answer, name),
    )
}

/// Where a JSON text does not fit a schema, as a sentence; None where it does.
#[pyfunction]
fn json_misfit(schema: &Bound<'_, PyAny>, text: &str) -> PyResult<Option<String>> {
    let schema = to_json(schema)?;
    let schema = String::from_utf8_lossy(schema.as_bytes());
    Ok(misfit(&schema, text).err())
}

/// The provider and the wire name of a model.
#[pyfunction]
fn model_provider(
    py: Python<'_>,
    model: &str,
    custom_llm_provider: Option<&str>,
    api_base: Option<&str>,
) -> PyResult<(&'static str, String)> {
    ModelId::resolve(model, custom_llm_provider, api_base)
        .map(|id| (id.provider.name, id.name))
        .map_err(|error| to_py(py, &error))
}

pub(super) fn whole(
    py: Python<'_>,
    body: &[u8],
    context: &AnswerContext,
    model: &str,
) -> PyResult<Py<PyAny>> {
    let response = from_json(py, body)
        .map_err(|cause| undecodable(py, "the answer", context.provider, model, body, &cause))?;
    let facts = facts(py, context, model)?;
    Ok((response, facts).into_pyobject(py)?.into_any().unbind())
}

pub(super) fn begun(py: Python<'_>, answer: StreamedAnswer, model: String) -> PyResult<Py<PyAny>> {
    let facts = facts(py, &answer.context, &model)?;
    let source = ChatStreamSource(Arc::new(Reader {
        core: answer.stream,
        buffered: Mutex::default(),
        provider: answer.context.provider,
        model,
    }));
    Ok((source, facts).into_pyobject(py)?.into_any().unbind())
}

fn undecodable(
    py: Python<'_>,
    what: &str,
    provider: &str,
    model: &str,
    text: &[u8],
    cause: &PyErr,
) -> PyErr {
    let message = format!(
        "{what} of {provider} is {}; it begins with {}",
        cause.value(py),
        snippet(text)
    );
    let error = Error::new(ErrorKind::ResponseValidation, message).with_context(ErrorContext {
        provider: Some(provider.to_owned()),
        model: Some(model.to_owned()),
        ..ErrorContext::default()
    });
    to_py(py, &error)
}

/// What `_hidden_params` of a response holds.
pub(super) fn facts<'py>(
    py: Python<'py>,
    context: &AnswerContext,
    model: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let headers = PyDict::new(py);
    let mut prefixed = String::with_capacity(64);
    for (name, value) in &context.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if name.as_str().starts_with("x-ratelimit-") {
            headers.set_item(name.as_str(), &*value)?;
        }
        prefixed.clear();
        prefixed.push_str("llm_provider-");
        prefixed.push_str(name.as_str());
        headers.set_item(prefixed.as_str(), value)?;
    }
    let facts = PyDict::new(py);
    facts.set_item(intern!(py, "custom_llm_provider"), context.provider)?;
    facts.set_item(intern!(py, "litellm_model_name"), model)?;
    facts.set_item(intern!(py, "api_base"), &context.api_base)?;
    facts.set_item(intern!(py, "model_id"), py.None())?;
    facts.set_item(intern!(py, "response_cost"), py.None())?;
    facts.set_item(intern!(py, "litellm_call_id"), context.call_id.to_string())?;
    facts.set_item(
        intern!(py, "_response_ms"),
        context.elapsed.as_secs_f64() * 1000.0,
    )?;
    facts.set_item(intern!(py, "num_retries"), context.retries)?;
    facts.set_item(intern!(py, "additional_headers"), headers)?;
    Ok(facts)
}

/// The Rust half of a stream that Python reads.
struct Reader {
    core: CoreStream,
    buffered: Mutex<Buffered>,
    provider: &'static str,
    model: String,
}

#[derive(Default)]
struct Buffered {
    chunks: VecDeque<Bytes>,
    /// The choices whose role was told.
    told_roles: Vec<u64>,
    /// Since when the loop reads without having waited.
    turn: Option<Instant>,
}

enum Found {
    Chunk(Bytes),
    /// There are chunks, but it is the turn of others.
    Later,
    Nothing,
    End(Option<Error>),
}

impl Reader {
    fn find(&self, is_shared: bool) -> Found {
        let mut buffered = lock(&self.buffered);
        if let Some(chunk) = buffered.chunks.pop_front() {
            return Found::Chunk(chunk);
        }
        match self.core.take() {
            Taken::Nothing => Found::Nothing,
            Taken::End(error) => Found::End(error),
            Taken::Chunks(mut chunks) => {
                let now = Instant::now();
                let turn = *buffered.turn.get_or_insert(now);
                if is_shared && now.duration_since(turn) > LONGEST_TURN {
                    buffered.chunks = chunks;
                    return Found::Later;
                }
                let first = chunks.pop_front();
                buffered.chunks = chunks;
                first.map_or(Found::Nothing, Found::Chunk)
            }
        }
    }

    fn begin_turn(&self) {
        lock(&self.buffered).turn = Some(Instant::now());
    }

    /// The next chunk after a wait; None at the end.
    fn after_wait(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.begin_turn();
        match self.find(false) {
            Found::Chunk(chunk) => self.decode(py, &chunk).map(Some),
            Found::End(None) => Ok(None),
            Found::End(Some(error)) => Err(to_py(py, &error)),
            Found::Nothing | Found::Later => Err(PyRuntimeError::new_err(
                "another task is reading this stream at the same time; read it in one place",
            )),
        }
    }

    fn decode(&self, py: Python<'_>, chunk: &[u8]) -> PyResult<Py<PyAny>> {
        static WRAP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let decoded = from_json(py, chunk).map_err(|cause| {
            self.core.close();
            undecodable(
                py,
                "a chunk of the stream",
                self.provider,
                &self.model,
                chunk,
                &cause,
            )
        })?;
        if memchr::memmem::find(chunk, b"\"role\"").is_some() {
            self.tell_roles_once(&decoded)?;
        }
        let wrap = WRAP.get_or_try_init(py, || {
            let module = py.import("toolbridge.types.chat")?;
            module
                .getattr("ModelResponseStream")?
                .getattr("_wrap")
                .map(Bound::unbind)
        })?;
        wrap.call1(py, (decoded,))
    }

    /// Some servers repeat the role in every chunk; readers count on it in the first one alone.
    fn tell_roles_once(&self, chunk: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = chunk.py();
        let Ok(choices) = chunk.get_item(intern!(py, "choices")) else {
            return Ok(());
        };
        let Ok(choices) = choices.cast::<PyList>() else {
            return Ok(());
        };
        for choice in choices {
            let Ok(delta) = choice.get_item(intern!(py, "delta")) else {
                continue;
            };
            let Ok(delta) = delta.cast::<PyDict>() else {
                continue;
            };
            if !delta.contains(intern!(py, "role"))? {
                continue;
            }
            let index = choice
                .get_item(intern!(py, "index"))
                .and_then(|index| index.extract());
            let index: u64 = index.unwrap_or_default();
            let mut buffered = lock(&self.buffered);
            if buffered.told_roles.contains(&index) {
                delta.del_item(intern!(py, "role"))?;
            } else {
                buffered.told_roles.push(index);
            }
        }
        Ok(())
    }
}

/// A stream that has begun, to be given to a `ChatStream`.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct ChatStreamSource(Arc<Reader>);

/// Iterates over the chunks of a stream, in a loop or without one.
#[pyclass(frozen, subclass, module = "toolbridge._toolbridge")]
struct ChatStream {
    reader: Option<Arc<Reader>>,
    process: u32,
}

#[pymethods]
impl ChatStream {
    /// Over `source`; without one it is over from the start.
    #[new]
    #[pyo3(signature = (source=None))]
    fn new(source: Option<&Bound<'_, ChatStreamSource>>) -> Self {
        let reader = source.map(|source| Arc::clone(&source.get().0));
        Self {
            reader,
            process: runtime::process(),
        }
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// An awaitable that is done when a chunk is buffered, a future of the loop otherwise.
    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(reader) = self.reader(py)? else {
            return Done::awaitable(py, Err(PyStopAsyncIteration::new_err(())));
        };
        match reader.find(true) {
            Found::Chunk(chunk) => Done::awaitable(py, reader.decode(py, &chunk)),
            Found::End(None) => Done::awaitable(py, Err(PyStopAsyncIteration::new_err(()))),
            Found::End(Some(error)) => Done::awaitable(py, Err(to_py(py, &error))),
            Found::Later => next_in_loop(py, reader, async {}),
            Found::Nothing => next_in_loop(py, reader, reader.core.ready()),
        }
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(reader) = self.reader(py)? else {
            return Ok(None);
        };
        match reader.find(false) {
            Found::Chunk(chunk) => reader.decode(py, &chunk).map(Some),
            Found::End(None) => Ok(None),
            Found::End(Some(error)) => Err(to_py(py, &error)),
            Found::Nothing | Found::Later => {
                let ready = reader.core.ready();
                let wait = async move {
                    ready.await;
                    Ok(())
                };
                let next = bridge::block_on(py, wait, |py, ()| {
                    Ok(reader.after_wait(py)?.into_pyobject(py)?.unbind())
                })?;
                Ok(Some(next).filter(|next| !next.is_none(py)))
            }
        }
    }

    /// Ends the request; the iteration is over.
    fn close(&self) {
        if let Some(reader) = &self.reader {
            reader.core.close();
            lock(&reader.buffered).chunks.clear();
            while matches!(reader.core.take(), Taken::Chunks(_)) {}
        }
    }
}

impl ChatStream {
    fn reader(&self, py: Python<'_>) -> PyResult<Option<&Arc<Reader>>> {
        if self.process == runtime::process() {
            return Ok(self.reader.as_ref());
        }
        Err(to_py(py, &bridge::forked("this stream", self.process)))
    }
}

fn next_in_loop<'py>(
    py: Python<'py>,
    reader: &Arc<Reader>,
    ready: impl Future<Output = ()> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let reader = Arc::clone(reader);
    let wait = async move {
        ready.await;
        Ok(())
    };
    bridge::spawn(py, wait, move |py, ()| {
        reader
            .after_wait(py)?
            .ok_or_else(|| PyStopAsyncIteration::new_err(()))
    })
}

/// An awaitable that never waits: its outcome is known.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Done(Mutex<Option<PyResult<Py<PyAny>>>>);

impl Done {
    fn awaitable(py: Python<'_>, outcome: PyResult<Py<PyAny>>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, Self(Mutex::new(Some(outcome))))?.into_any())
    }
}

#[pymethods]
impl Done {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        let outcome = lock(&self.0).take();
        match outcome {
            Some(Ok(value)) => Err(PyStopIteration::new_err((value,))),
            Some(Err(error)) => Err(error),
            None => Err(PyRuntimeError::new_err("this chunk was awaited already")),
        }
    }
}
