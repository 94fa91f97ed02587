//! The tool loop for Python. Its public face is `python/toolbridge/agent.py`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

use crate::agent::completion::Detail;
use crate::agent::{
    self, Approver, Call, Choice, Conversation, Decision, Event, Listener, Model, Outcome,
    Provider, Run, Search, Settings, Stop, Toolbox, elements,
};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::llm::chat_stream::{ChatStream, StreamSource};
use crate::llm::client::{AnswerContext, ChatRequest, StreamedAnswer};
use crate::llm::failure::FailureSite;
use crate::llm::patience::Patience;
use crate::llm::rebuild::Rebuild;
use crate::python::bridge::{self, LoopQueue};
use crate::python::completion;
use crate::python::convert::{from_json, to_json};
use crate::python::error::to_py;
use crate::python::group::Group;
use crate::python::session::same_process;
use crate::runtime;

/// How many events cross at once.
const EVENTS_AT_ONCE: usize = 64;

/// Adds the classes and functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<AgentRun>()?;
    module.add_class::<Cassette>()?;
    module.add_class::<Verdict>()?;
    module.add_function(wrap_pyfunction!(start_run, module)?)?;
    module.add_function(wrap_pyfunction!(run_completion, module)?)?;
    module.add_function(wrap_pyfunction!(run_completion_stream, module)?)?;
    module.add_function(wrap_pyfunction!(rebuild_chunks, module)?)
}

/// One whole answer out of the chunks of a stream, each a dict.
#[pyfunction]
fn rebuild_chunks<'py>(
    py: Python<'py>,
    chunks: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut rebuild = Rebuild::default();
    for chunk in chunks {
        let chunk = to_json(&chunk)?.to_value();
        rebuild.add(chunk.map_err(|error| to_py(py, &error))?);
    }
    from_json(py, rebuild.finish().to_string().as_bytes())
}

/// What an approval callback answers through.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Verdict(Mutex<Option<oneshot::Sender<Result<Decision>>>>);

impl Verdict {
    fn send(&self, decision: Result<Decision>) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.take() {
            // The run may have been given up meanwhile.
            let _ = sender.send(decision);
        }
    }
}

#[pymethods]
impl Verdict {
    /// `allow`, `refuse` with a reason or None, or `defer`; `arguments` replace those of the model.
    #[pyo3(signature = (decision, reason=None, arguments=None))]
    fn give(
        &self,
        decision: &str,
        reason: Option<String>,
        arguments: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let decision = read_decision(decision, reason, arguments)?;
        self.send(Ok(decision));
        Ok(())
    }

    /// Whoever was asked failed.
    fn fail(&self) {
        let error = Error::new(ErrorKind::Internal, "the approval callback failed");
        self.send(Err(error));
    }
}

fn read_decision(
    decision: &str,
    reason: Option<String>,
    arguments: Option<&Bound<'_, PyAny>>,
) -> PyResult<Decision> {
    Ok(match (decision, arguments) {
        ("allow", Some(arguments)) => Decision::AllowWith(to_json(arguments)?),
        ("allow", None) => Decision::Allow,
        ("defer", _) => Decision::Defer,
        _ => Decision::Refuse(reason),
    })
}

/// Asks a Python function, on the thread of the loop.
struct PyApprover {
    queue: Arc<LoopQueue>,
    ask: Arc<Py<PyAny>>,
}

impl Approver for PyApprover {
    fn decide(&self, call: &Call) -> BoxFuture<'_, Result<Decision>> {
        let call = serde_json::to_vec(call).unwrap_or_default();
        async move {
            let (sender, decided) = oneshot::channel();
            let ask = Arc::clone(&self.ask);
            self.queue.push_event(move |py| {
                let verdict = Verdict(Mutex::new(Some(sender)));
                let call = from_json(py, &call)?;
                ask.call1(py, (call, verdict)).map(drop)
            });
            decided.await.unwrap_or_else(|_| {
                let message = "the approval callback ended without a decision";
                Err(Error::new(ErrorKind::Internal, message))
            })
        }
        .boxed()
    }
}

/// A run that is under way.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct AgentRun {
    events: Arc<tokio::sync::Mutex<mpsc::Receiver<Event>>>,
    outcome: Mutex<Option<JoinHandle<Outcome>>>,
    task: AbortHandle,
    owner: u32,
}

/// What a run is made of, as Python gives it: the group whose tools are called, the request without
/// messages and tools, the messages; `settings` are `max_rounds`, `max_parallel`, `tool_timeout` and
/// `streams`; `choice` the names of tools or None, and the caller's own; `approve` is asked about
/// calls; `left` is what another run left: calls, decisions, rounds, usage.
#[derive(FromPyObject)]
struct Given<'py> {
    group: Bound<'py, Group>,
    model: Bound<'py, PyAny>,
    body: Bound<'py, PyDict>,
    options: Bound<'py, PyDict>,
    messages: Bound<'py, PyAny>,
    settings: Bound<'py, PyDict>,
    choice: (Option<Vec<String>>, Bound<'py, PyAny>),
    approve: Option<Py<PyAny>>,
    left: Option<Left<'py>>,
    cassette: Option<Bound<'py, Cassette>>,
}

type Left<'py> = (
    Bound<'py, PyAny>,
    Vec<LeftDecision<'py>>,
    u32,
    Bound<'py, PyAny>,
);

impl Given<'_> {
    fn run(self, py: Python<'_>) -> PyResult<(Run, Asked)> {
        let group = self.group.get();
        same_process(py, "this client", group.owner())?;
        let raise = |error: Error| to_py(py, &error);
        let request = completion::request(&self.model, &self.body, &self.options)?;
        let head =
            serde_json::from_slice::<Map<String, Value>>(&request.body).map_err(|cause| {
                raise(
                    Error::new(ErrorKind::Internal, "the request is no object").with_source(cause),
                )
            })?;
        let messages = elements(&to_json(&self.messages)?, "messages").map_err(raise)?;
        let conversation = Conversation::new(head, messages).map_err(raise)?;
        let settings = read_settings(&self.settings)?;
        let (names, functions) = self.choice;
        let functions = to_json(&functions)?.to_value().map_err(raise)?;
        let choice = Choice {
            names,
            functions: functions.as_array().cloned().unwrap_or_default(),
        };
        let asked = Asked::of(&request);
        let mut provider: Arc<dyn Model> = Arc::new(Provider::new(completion::client(), request));
        let mut toolbox: Arc<dyn Toolbox> = group.tool_box();
        if let Some(cassette) = &self.cassette {
            let cassette = &cassette.get().0;
            provider = cassette.model(provider);
            toolbox = cassette.toolbox(toolbox);
        }
        let mut run = Run::new(provider, toolbox, conversation, settings).offering(choice);
        if let Some(ask) = self.approve {
            let (_, queue) = LoopQueue::running(py)?;
            let ask = Arc::new(ask);
            run = run.approved_by(Arc::new(PyApprover { queue, ask }));
        }
        if let Some((calls, decisions, rounds, usage)) = self.left {
            let calls: Vec<Call> =
                serde_json::from_slice(to_json(&calls)?.as_bytes()).map_err(|cause| {
                    let message = "the calls that the other run left cannot be read";
                    raise(Error::new(ErrorKind::Configuration, message).with_source(cause))
                })?;
            let usage = to_json(&usage)?.to_value().map_err(raise)?;
            let usage = usage.as_object().cloned().unwrap_or_default();
            let mut decided = Vec::with_capacity(decisions.len());
            for (id, decision, reason, arguments) in decisions {
                decided.push((id, read_decision(&decision, reason, arguments.as_ref())?));
            }
            run = run.resumed(calls, decided, rounds, usage);
        }
        Ok((run, asked))
    }
}

/// What is known of the calls of a run before there is any.
struct Asked {
    site: FailureSite,
    context: AnswerContext,
}

impl Asked {
    fn of(request: &ChatRequest) -> Self {
        let site = FailureSite::new(&request.model, &request.endpoint);
        let context = AnswerContext {
            provider: site.provider(),
            api_base: request.endpoint.base.clone(),
            headers: HeaderMap::new(),
            elapsed: Duration::ZERO,
            retries: 0,
        };
        Self { site, context }
    }
}

/// Runs that are recorded or replayed.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Cassette(Arc<agent::Cassette>);

#[pymethods]
impl Cassette {
    /// Over the file at `path`, which is replayed if `replays` and written by `written` else.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, replays: bool) -> PyResult<Self> {
        let cassette = if replays {
            agent::Cassette::replay(path).map_err(|error| to_py(py, &error))?
        } else {
            agent::Cassette::record(path)
        };
        Ok(Self(Arc::new(cassette)))
    }

    /// Whether it replays.
    #[getter]
    fn is_replaying(&self) -> bool {
        self.0.is_replaying()
    }

    /// Says which texts are secrets.
    fn hide(&self, secrets: Vec<String>) {
        self.0.hide(secrets);
    }

    /// What is to be written; None where nothing was recorded.
    fn written(&self) -> Option<String> {
        self.0.written()
    }
}

/// Starts a run; `listens` says whether its events are read.
#[pyfunction]
fn start_run(py: Python<'_>, given: Given<'_>, listens: bool) -> PyResult<AgentRun> {
    let (mut run, _) = given.run(py)?;
    let (listener, events) = Listener::new(false);
    if listens {
        run = run.heard_by(listener);
    }
    let runtime = runtime::handle().map_err(|error| to_py(py, &error))?;
    let task = runtime.spawn(run.go());
    Ok(AgentRun {
        events: Arc::new(tokio::sync::Mutex::new(events)),
        task: task.abort_handle(),
        outcome: Mutex::new(Some(task)),
        owner: runtime::process(),
    })
}

/// A run as one answer: the future gives `(response, facts about the call)`.
#[pyfunction]
fn run_completion<'py>(py: Python<'py>, given: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
    let name: String = given.model.extract()?;
    let (run, mut asked) = given.run(py)?;
    let started = Instant::now();
    bridge::spawn(
        py,
        async move { Box::pin(agent::completion::whole(run)).await },
        move |py, answer| {
            asked.context.elapsed = started.elapsed();
            completion::whole(py, answer.as_bytes(), &asked.context, &name)
        },
    )
}

/// A run as one stream: the future gives `(ChatStreamSource, facts about the call)`.
#[pyfunction]
fn run_completion_stream<'py>(
    py: Python<'py>,
    given: Given<'py>,
    shows_everything: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let name: String = given.model.extract()?;
    let (run, asked) = given.run(py)?;
    let detail = if shows_everything {
        Detail::Everything
    } else {
        Detail::Answer
    };
    bridge::spawn(
        py,
        async move {
            let source = StreamSource {
                site: asked.site,
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                // The limits of each request are kept where it is read.
                patience: Patience::default(),
                translation: None,
            };
            let stream = ChatStream::start(agent::completion::stream(run, detail), source);
            Ok(StreamedAnswer {
                stream,
                context: asked.context,
            })
        },
        move |py, answer| completion::begun(py, answer, name),
    )
}

/// The id of a call, `allow`, `refuse` or `defer`, the reason, and other arguments.
type LeftDecision<'py> = (String, String, Option<String>, Option<Bound<'py, PyAny>>);

fn read_settings(given: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    for (name, value) in given {
        let name: String = name.extract()?;
        match name.as_str() {
            "max_rounds" => settings.max_rounds = value.extract()?,
            "max_parallel" => settings.max_parallel = value.extract()?,
            "tool_timeout" => {
                let seconds: f64 = value.extract()?;
                settings.tool_timeout = Duration::try_from_secs_f64(seconds).ok();
            }
            "streams" => settings.streams = value.extract()?,
            "max_result_tokens" => settings.result_tokens = Some(value.extract()?),
            "search" => {
                settings.search = match value.cast::<PyBool>() {
                    Ok(truth) if truth.is_true() => Search::Always,
                    Ok(_) => Search::Never,
                    Err(_) => Search::Above(value.extract()?),
                };
            }
            _ => {}
        }
    }
    Ok(settings)
}

#[pymethods]
impl AgentRun {
    /// The next events, each a dict; None once there are no more.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this run", self.owner)?;
        let events = Arc::clone(&self.events);
        bridge::spawn(
            py,
            async move {
                let mut batch = Vec::new();
                events
                    .lock()
                    .await
                    .recv_many(&mut batch, EVENTS_AT_ONCE)
                    .await;
                if batch.is_empty() {
                    return Ok(None);
                }
                RawJson::from_serialize(&batch).map(Some)
            },
            |py, batch| match batch {
                Some(batch) => Ok(from_json(py, batch.as_bytes())?.unbind()),
                None => Ok(py.None()),
            },
        )
    }

    /// How it ended: a dict, and the exception that ended it or None. Given once.
    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this run", self.owner)?;
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let task = outcome.take();
        bridge::spawn(
            py,
            async move {
                let ended = "this run was ended before it was over";
                let ended = Error::new(ErrorKind::ConnectionClosed, ended);
                match task {
                    Some(task) => task.await.map_err(|cause| ended.with_source(cause)),
                    None => Err(ended),
                }
            },
            |py, outcome: Outcome| {
                let data = from_json(py, &outcome.to_json())?;
                let error = match &outcome.stop {
                    Stop::Failed(error) => Some(to_py(py, error).into_value(py)),
                    _ => None,
                };
                Ok((data, error).into_pyobject(py)?.into_any().unbind())
            },
        )
    }

    /// Ends it: the model and the tools are told that nothing more is wanted.
    fn close(&self) {
        if self.owner == runtime::process() {
            self.task.abort();
        }
    }
}

impl Drop for AgentRun {
    fn drop(&mut self) {
        self.close();
    }
}
