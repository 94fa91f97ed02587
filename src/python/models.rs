//! Who answers the requests of a run, as Python gives it: a model, those that stand in for it, answers
//! that are known before, checks, and who is told of the calls. Made by
//! `python/toolbridge/_completion/models.py`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pyo3::exceptions::PyBaseException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use serde_json::{Map, Value};

use crate::agent::model::known::Answer;
use crate::agent::model::{Candidate, Checked, Fallbacks, Known, Witness};
use crate::agent::{Head, Model, Origin, Provider};
use crate::error::{Error, ErrorKind};
use crate::json::RawJson;
use crate::llm::client::{AnswerContext, ChatRequest};
use crate::llm::failure::FailureSite;
use crate::python::bridge::LoopQueue;
use crate::python::completion;
use crate::python::convert::{from_json, to_json};
use crate::python::error::{from_py, to_py};

/// The models that may be asked; `order` and `wider` are as in [`Fallbacks`].
#[derive(FromPyObject)]
pub(super) struct Models<'py> {
    candidates: Vec<Asked<'py>>,
    order: Vec<usize>,
    wider: HashMap<usize, usize>,
}

/// One of them: what it is asked, the JSON Schema that its answers have to fit, what is added to the
/// facts about them, and its answers themselves where they are known, with the seconds before each.
#[derive(FromPyObject)]
struct Asked<'py> {
    model: Bound<'py, PyAny>,
    body: Bound<'py, PyDict>,
    options: Bound<'py, PyDict>,
    schema: Option<Bound<'py, PyAny>>,
    facts: Option<Py<PyDict>>,
    answers: Option<Vec<Bound<'py, PyAny>>>,
    wait: f64,
}

/// What the engine asks.
pub(super) struct Built {
    pub(super) model: Arc<dyn Model>,
    /// The request to the first model, without its messages and tools.
    pub(super) request: Map<String, Value>,
    pub(super) told: Told,
}

/// What is known of the calls before there is any.
pub(super) struct Told {
    /// Where errors of the whole answer are placed.
    pub(super) site: FailureSite,
    /// What is said of an answer that nothing is known of.
    pub(super) context: AnswerContext,
    names: Arc<Names>,
}

/// The models by their names, with what is added to the facts about their answers.
pub(super) struct Names(Vec<(String, Option<Py<PyDict>>)>);

impl Models<'_> {
    pub(super) fn build(self, py: Python<'_>) -> PyResult<Built> {
        let is_alone = self.candidates.len() == 1;
        let mut candidates = Vec::with_capacity(self.candidates.len());
        let mut first = None;
        let mut names = Vec::with_capacity(self.candidates.len());
        for asked in self.candidates {
            let name: String = asked.model.extract()?;
            let (model, request, told) = asked.build(py, &name, is_alone)?;
            let head = Head::new(request.clone()).map_err(|error| to_py(py, &error))?;
            names.push((name.clone(), asked.facts));
            first.get_or_insert((request, told));
            candidates.push(Candidate { name, head, model });
        }
        let Some((request, (site, context))) = first else {
            let error = Error::new(ErrorKind::Internal, "a run without a model");
            return Err(to_py(py, &error));
        };
        let model: Arc<dyn Model> = if is_alone {
            Arc::clone(&candidates[0].model)
        } else {
            Arc::new(Fallbacks {
                candidates,
                order: self.order,
                wider: self.wider,
            })
        };
        let told = Told {
            site,
            context,
            names: Arc::new(Names(names)),
        };
        Ok(Built {
            model,
            request,
            told,
        })
    }
}

/// A model, its request, and what is known of its calls.
type Ready = (
    Arc<dyn Model>,
    Map<String, Value>,
    (FailureSite, AnswerContext),
);

impl Asked<'_> {
    fn build(&self, py: Python<'_>, name: &str, is_alone: bool) -> PyResult<Ready> {
        let mut model: Arc<dyn Model>;
        let (request, told);
        if let Some(answers) = &self.answers {
            model = self.known(py, answers)?;
            (request, told) = (object(py, to_json(&self.body)?.as_bytes())?, nobody(name));
        } else {
            match completion::request(&self.model, &self.body, &self.options) {
                Ok(asked) => {
                    (request, told) = (object(py, &asked.body)?, somebody(&asked));
                    model = Arc::new(Provider::new(completion::client(), asked));
                }
                Err(error) if is_alone => return Err(error),
                // It fails in its turn: others may be asked instead.
                Err(error) => {
                    let failed = Answer::Failed(from_py(py, error));
                    model = Arc::new(Known::new([], failed, Duration::ZERO));
                    (request, told) = (object(py, to_json(&self.body)?.as_bytes())?, nobody(name));
                }
            }
        }
        if let Some(schema) = &self.schema {
            model = Arc::new(Checked::new(model, name.to_owned(), to_json(schema)?));
        }
        Ok((model, request, told))
    }

    /// Answers that are known: a dict, an exception, or of a stream the list of its chunks, whose last
    /// one may be an exception.
    fn known(&self, py: Python<'_>, answers: &[Bound<'_, PyAny>]) -> PyResult<Arc<dyn Model>> {
        let mut known = Vec::with_capacity(answers.len());
        for answer in answers {
            known.push(if let Some(error) = raised(py, answer) {
                Answer::Failed(error)
            } else if let Ok(chunks) = answer.cast::<PyList>() {
                let mut texts = Vec::with_capacity(chunks.len());
                let mut ending = None;
                for chunk in chunks {
                    match raised(py, &chunk) {
                        Some(error) => ending = Some(error),
                        None => texts.push(to_json(&chunk)?.into_bytes()),
                    }
                }
                Answer::Chunks(texts.into(), ending)
            } else {
                Answer::Whole(to_json(answer)?)
            });
        }
        let last = known.pop().ok_or_else(|| {
            let error = Error::new(ErrorKind::Internal, "a mock without an answer");
            to_py(py, &error)
        })?;
        let wait = Duration::try_from_secs_f64(self.wait).unwrap_or_default();
        Ok(Arc::new(Known::new(known, last, wait)))
    }
}

fn raised(py: Python<'_>, value: &Bound<'_, PyAny>) -> Option<Error> {
    value
        .is_instance_of::<PyBaseException>()
        .then(|| from_py(py, PyErr::from_value(value.clone())))
}

fn object(py: Python<'_>, body: &[u8]) -> PyResult<Map<String, Value>> {
    serde_json::from_slice(body).map_err(|cause| {
        let error = Error::new(ErrorKind::Internal, "the request is no object");
        to_py(py, &error.with_source(cause))
    })
}

fn somebody(request: &ChatRequest) -> (FailureSite, AnswerContext) {
    let site = FailureSite::new(&request.model, &request.endpoint);
    let context = AnswerContext::new(site.provider(), &request.endpoint.base);
    (site, context)
}

/// Of a model that nobody is asked for.
fn nobody(name: &str) -> (FailureSite, AnswerContext) {
    let site = FailureSite::nowhere(name);
    let context = AnswerContext::new(site.provider(), "");
    (site, context)
}

impl Told {
    /// The names, to keep.
    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }
}

impl Names {
    /// The name of the model that answered.
    pub(super) fn of(&self, origin: &Origin) -> String {
        let found = self.0.get(origin.place);
        found.map_or_else(String::new, |(name, _)| name.clone())
    }

    /// The facts about an answer; None where nothing is known.
    pub(super) fn facts<'py>(
        &self,
        py: Python<'py>,
        origin: &Origin,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let facts = match &origin.context {
            Some(context) => completion::facts(py, context, &self.of(origin))?,
            None => PyDict::new(py),
        };
        self.add(&facts, origin)?;
        Ok((!facts.is_empty()).then_some(facts))
    }

    /// Adds to the facts in `(answer, facts)` what is known here.
    pub(super) fn add_to(
        &self,
        py: Python<'_>,
        given: &Py<PyAny>,
        origin: &Origin,
    ) -> PyResult<()> {
        let facts = given.bind(py).cast::<PyTuple>()?.get_item(1)?;
        self.add(facts.cast::<PyDict>()?, origin)
    }

    fn add(&self, facts: &Bound<'_, PyDict>, origin: &Origin) -> PyResult<()> {
        let py = facts.py();
        if let Some((_, Some(more))) = self.0.get(origin.place) {
            facts.update(more.bind(py).as_mapping())?;
        }
        if origin.tried.is_empty() {
            return Ok(());
        }
        let tried = PyList::empty(py);
        for (model, error) in &origin.tried {
            let error = to_py(py, error).into_value(py);
            let one = PyDict::new(py);
            one.set_item(intern!(py, "model"), model)?;
            one.set_item(intern!(py, "error"), error.bind(py).get_type().name()?)?;
            one.set_item(intern!(py, "message"), error.bind(py).str()?)?;
            tried.append(one)?;
        }
        facts.set_item(intern!(py, "attempted_fallbacks"), tried.len())?;
        facts.set_item(intern!(py, "tried"), tried)
    }
}

/// Tells an object of Python of the calls, on the thread of the loop.
pub(super) struct PyWitness {
    queue: Arc<LoopQueue>,
    watcher: Arc<Py<PyAny>>,
    names: Arc<Names>,
}

impl PyWitness {
    /// `watcher` has `asked(call, body)`, `answered(call, response, facts)` and `failed(call, error)`,
    /// whose error is None where nobody waited for the answer any more.
    pub(super) fn new(py: Python<'_>, watcher: Py<PyAny>, names: Arc<Names>) -> PyResult<Self> {
        let (_, queue) = LoopQueue::running(py)?;
        Ok(Self {
            queue,
            watcher: Arc::new(watcher),
            names,
        })
    }

    fn tell(
        &self,
        event: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) {
        let watcher = Arc::clone(&self.watcher);
        self.queue
            .push_event(move |py| event(py, &watcher).map(drop));
    }
}

impl fmt::Debug for PyWitness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PyWitness")
    }
}

impl Witness for PyWitness {
    fn asked(&self, call: u64, body: Bytes) {
        self.tell(move |py, watcher| {
            let body = from_json(py, &body)?;
            watcher.call_method1(py, intern!(py, "asked"), (call, body))
        });
    }

    fn answered(&self, call: u64, response: RawJson, origin: Origin) {
        let names = Arc::clone(&self.names);
        self.tell(move |py, watcher| {
            let response = from_json(py, response.as_bytes())?;
            let facts = names.facts(py, &origin)?;
            watcher.call_method1(py, intern!(py, "answered"), (call, response, facts))
        });
    }

    fn failed(&self, call: u64, error: Error) {
        self.tell(move |py, watcher| {
            let error = to_py(py, &error).into_value(py);
            watcher.call_method1(py, intern!(py, "failed"), (call, error))
        });
    }

    fn abandoned(&self, call: u64) {
        self.tell(move |py, watcher| {
            watcher.call_method1(py, intern!(py, "failed"), (call, py.None()))
        });
    }
}
