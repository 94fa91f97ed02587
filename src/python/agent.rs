//! The tool loop for Python. Its public face is `python/toolbridge/agent.py`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

use crate::agent::completion::Detail;
use crate::agent::model::Watched;
use crate::agent::{
    self, Approver, Call, Choice, Conversation, Decision, Event, Listener, Outcome, Run, Search,
    Settings, Stop, Toolbox, elements,
};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::llm::chat_stream::{ChatStream, StreamSource};
use crate::llm::client::{AnswerContext, StreamedAnswer};
use crate::llm::patience::Patience;
use crate::llm::rebuild::Rebuild;
use crate::python::bridge::{self, LoopQueue};
use crate::python::completion;
use crate::python::convert::{from_json, to_json};
use crate::python::error::{from_py, to_py};
use crate::python::group::Group;
use crate::python::models::{Built, Models, Names, PyWitness, Told};
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

    /// Whoever was asked failed with this exception; it ends the run.
    fn fail(&self, py: Python<'_>, failure: Bound<'_, PyAny>) {
        self.send(Err(from_py(py, PyErr::from_value(failure))));
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
    names: Arc<Names>,
    events: Arc<tokio::sync::Mutex<mpsc::Receiver<Event>>>,
    outcome: Mutex<Option<JoinHandle<Outcome>>>,
    task: AbortHandle,
    owner: u32,
}

/// What a run is made of, as Python gives it: the group whose tools are called, the models, the
/// messages; `watch` is told of the calls of the model; `settings` are `max_rounds`, `max_parallel`, `tool_timeout` and
/// `streams`; `choice` the names of tools or None, and the caller's own; `approve` is asked about
/// calls; `left` is what another run left: calls, decisions, rounds, usage.
#[derive(FromPyObject)]
struct Given<'py> {
    group: Bound<'py, Group>,
    models: Models<'py>,
    watch: Option<Py<PyAny>>,
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
    fn run(self, py: Python<'_>) -> PyResult<(Run, Told)> {
        let group = self.group.get();
        same_process(py, "this client", group.owner())?;
        let raise = |error: Error| to_py(py, &error);
        let Built {
            mut model,
            request,
            told,
        } = self.models.build(py)?;
        let messages = elements(&to_json(&self.messages)?, "messages").map_err(raise)?;
        let conversation = Conversation::new(request, messages).map_err(raise)?;
        let settings = read_settings(&self.settings)?;
        let (names, functions) = self.choice;
        let functions = to_json(&functions)?.to_value().map_err(raise)?;
        let choice = Choice {
            names,
            functions: functions.as_array().cloned().unwrap_or_default(),
        };
        let mut toolbox: Arc<dyn Toolbox> = group.tool_box();
        if let Some(cassette) = &self.cassette {
            let cassette = &cassette.get().0;
            model = cassette.model(model);
            toolbox = cassette.toolbox(toolbox);
        }
        if let Some(watcher) = self.watch {
            let witness = PyWitness::new(py, watcher, told.names())?;
            model = Arc::new(Watched::new(model, Arc::new(witness)));
        }
        let mut run = Run::new(model, toolbox, conversation, settings).offering(choice);
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
        Ok((run, told))
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
    let (mut run, told) = given.run(py)?;
    let (listener, events) = Listener::new(false);
    if listens {
        run = run.heard_by(listener);
    }
    let runtime = runtime::handle().map_err(|error| to_py(py, &error))?;
    let task = runtime.spawn(run.go());
    Ok(AgentRun {
        names: told.names(),
        events: Arc::new(tokio::sync::Mutex::new(events)),
        task: task.abort_handle(),
        outcome: Mutex::new(Some(task)),
        owner: runtime::process(),
    })
}

/// A run as one answer: the future gives `(response, facts about the call)`.
#[pyfunction]
fn run_completion<'py>(py: Python<'py>, given: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
    let (run, told) = given.run(py)?;
    let started = Instant::now();
    bridge::spawn(
        py,
        async move { Box::pin(agent::completion::whole(run)).await },
        move |py, (answer, origin)| {
            let names = told.names();
            let mut context = origin
                .context
                .as_deref()
                .map_or(told.context, AnswerContext::clone);
            // All rounds, and the calls between them.
            context.elapsed = started.elapsed();
            let given = completion::whole(py, answer.as_bytes(), &context, &names.of(&origin))?;
            names.add_to(py, &given, &origin)?;
            Ok(given)
        },
    )
}

/// A run as one stream: the future gives `(ChatStreamSource, facts about the first call)` when the
/// model has begun to answer; `shown` is `final`, `answer` or `everything`.
#[pyfunction]
fn run_completion_stream<'py>(
    py: Python<'py>,
    given: Given<'py>,
    shown: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let (run, told) = given.run(py)?;
    let detail = match shown {
        "everything" => Detail::Everything,
        "answer" => Detail::Answer,
        _ => Detail::Final,
    };
    bridge::spawn(
        py,
        async move {
            let (origin, events) = Box::pin(agent::completion::begun(run, detail)).await?;
            let names = told.names();
            let source = StreamSource {
                site: told.site,
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                // The limits of each request are kept where it is read.
                patience: Patience::default(),
                translation: None,
            };
            let context = origin
                .context
                .as_deref()
                .map_or(told.context, AnswerContext::clone);
            let stream = ChatStream::start(events, source);
            Ok((StreamedAnswer { stream, context }, origin, names))
        },
        move |py, (answer, origin, names)| {
            let given = completion::begun(py, answer, names.of(&origin))?;
            names.add_to(py, &given, &origin)?;
            Ok(given)
        },
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

    /// How it ended: a dict, the exception that ended it or None, and facts about the call that gave the
    /// last answer or None. Given once.
    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this run", self.owner)?;
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let task = outcome.take();
        let names = Arc::clone(&self.names);
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
            move |py, outcome: Outcome| {
                let data = from_json(py, &outcome.to_json())?;
                let error = match &outcome.stop {
                    Stop::Failed(error) => Some(to_py(py, error).into_value(py)),
                    _ => None,
                };
                let facts = names.facts(py, &outcome.origin)?;
                let ended = (data, error, facts);
                Ok(ended.into_pyobject(py)?.into_any().unbind())
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
