//! `llm::router` for Python: many deployments behind names of models. Its public face is
//! `python/toolbridge/router.py`; what a deployment is, is read as the gateway reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::stream;
use http::StatusCode;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::document::Document;
use crate::error::{Error, ErrorContext, ErrorKind, Result};
use crate::gateway::config::Config;
use crate::json::RawJson;
use crate::llm::catalogue::cost::Cost;
use crate::llm::chat_stream::{ChatStream, StreamSource};
use crate::llm::client::{AnswerContext, StreamedAnswer};
use crate::llm::failure::FailureSite;
use crate::llm::patience::Patience;
use crate::llm::router::{
    Deployment, Given, MemoryState, RequestBody, Routed, Router as Core, RouterSettings, Streamed,
};
use crate::python::bridge;
use crate::python::completion;
use crate::python::convert::to_json;
use crate::python::error::to_py;
use crate::runtime;

/// Adds the class of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ModelRouter>()
}

/// Deployments and the choice among them.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct ModelRouter(Mutex<State>);

struct State {
    models: Vec<Deployment>,
    settings: RouterSettings,
    core: Arc<Core>,
    /// Connections belong to the process that made them.
    process: u32,
    notices: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(config: &Bound<'_, PyAny>) -> PyResult<Config> {
    let value = to_json(config)?.to_value();
    value
        .and_then(|value| {
            let variables = |name: &str| std::env::var(name).ok();
            Config::from_document(&Document::from_value(value), &variables)
        })
        .map_err(|error| to_py(config.py(), &error))
}

fn fresh(models: &[Deployment], settings: &RouterSettings) -> Arc<Core> {
    let (models, settings) = (models.to_vec(), settings.clone());
    let client = completion::client();
    let state = Arc::<MemoryState>::default();
    Arc::new(Core::with_state(models, settings, client, state))
}

#[pymethods]
impl ModelRouter {
    /// Over `model_list` and `router_settings` of a configuration.
    #[new]
    fn new(config: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Config {
            models,
            router,
            notices,
            ..
        } = read(config)?;
        Ok(Self(Mutex::new(State {
            core: fresh(&models, &router),
            models,
            settings: router,
            process: runtime::process(),
            notices: notices.iter().map(ToString::to_string).collect(),
        })))
    }

    /// Takes another configuration over; what is known of deployments that stay is kept.
    fn replace(&self, config: &Bound<'_, PyAny>) -> PyResult<()> {
        let Config {
            models,
            router,
            notices,
            ..
        } = read(config)?;
        let core = self.core();
        let mut state = lock(&self.0);
        state.core = Arc::new(core.successor(models.clone(), router.clone()));
        state.models = models;
        state.settings = router;
        state.notices = notices.iter().map(ToString::to_string).collect();
        Ok(())
    }

    /// What is to be said about the configuration.
    fn notices(&self) -> Vec<String> {
        lock(&self.0).notices.clone()
    }

    /// The names of models, without hidden ones.
    fn names(&self) -> Vec<String> {
        self.core().names().to_vec()
    }

    /// The ids of the deployments, in the order of the configuration.
    fn ids(&self) -> Vec<String> {
        let core = self.core();
        let members = core.members().iter();
        members
            .map(|member| member.deployment().id.clone())
            .collect()
    }

    /// The id of the deployment that would be asked now, if this were a request.
    fn available(&self, model: &str, body: &Bound<'_, PyDict>) -> PyResult<String> {
        let (core, request) = (self.core(), request(model, body)?);
        let member = core.available(model, &request);
        let member = member.map_err(|error| to_py(body.py(), &error))?;
        Ok(member.deployment().id.clone())
    }

    /// Asks for an answer or a stream; the future gives what `chat_completion` or `chat_stream`
    /// does.
    fn ask<'py>(
        &self,
        py: Python<'py>,
        model: String,
        body: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (core, body) = (self.core(), request(&model, body)?);
        bridge::spawn(
            py,
            async move { Outcome::of(&core, &model, &body).await },
            |py, outcome| outcome.into_py(py),
        )
    }

    /// As `ask`, for a caller that waits.
    fn ask_sync(
        &self,
        py: Python<'_>,
        model: String,
        body: &Bound<'_, PyDict>,
    ) -> PyResult<Py<PyAny>> {
        let (core, body) = (self.core(), request(&model, body)?);
        bridge::block_on(
            py,
            async move { Outcome::of(&core, &model, &body).await },
            |py, outcome| outcome.into_py(py),
        )
    }
}

impl ModelRouter {
    /// The router; a forked child makes one of its own.
    fn core(&self) -> Arc<Core> {
        let process = runtime::process();
        let mut state = lock(&self.0);
        if state.process != process {
            let made = fresh(&state.models, &state.settings);
            let inherited = std::mem::replace(&mut state.core, made);
            // Its connections belong to threads that a forked child does not have.
            Box::leak(Box::new(inherited));
            state.process = process;
        }
        Arc::clone(&state.core)
    }
}

fn request(model: &str, body: &Bound<'_, PyDict>) -> PyResult<RequestBody> {
    let text = to_json(body)?.into_bytes();
    RequestBody::read(text).map_err(|why| {
        let error = Error::new(ErrorKind::BadRequest, why.to_string()).with_context(ErrorContext {
            model: Some(model.to_owned()),
            param: why.param().map(str::to_owned),
            ..ErrorContext::default()
        });
        to_py(body.py(), &error)
    })
}

/// What a router gave, with what is known about it.
enum Outcome {
    Whole(RawJson, AnswerContext, Way, Option<Cost>),
    Stream(StreamedAnswer, Way),
}

/// The way to an answer.
struct Way {
    /// The model at its provider.
    model: String,
    /// The name under which it was found.
    group: String,
    id: String,
    fallbacks: u32,
}

impl Outcome {
    async fn of(core: &Core, model: &str, body: &RequestBody) -> Result<Self> {
        let started = Instant::now();
        let Routed {
            given,
            member,
            retries,
            fallbacks,
        } = core.ask(model, body).await?;
        let deployment = member.deployment();
        let way = Way {
            model: deployment.model.given.clone(),
            group: deployment.name.clone(),
            id: deployment.id.clone(),
            fallbacks,
        };
        let mut context = AnswerContext {
            elapsed: started.elapsed(),
            retries,
            ..AnswerContext::new(deployment.model.provider.name, &deployment.endpoint.base)
        };
        match given {
            Given::Whole(whole) => {
                context.headers = whole.headers;
                let body = RawJson::trusted(whole.body);
                Ok(Self::Whole(body, context, way, whole.cost))
            }
            Given::Stream(streamed) => {
                context.headers.clone_from(&streamed.headers);
                let source = StreamSource {
                    site: FailureSite::new(&deployment.model, &deployment.endpoint),
                    status: StatusCode::OK,
                    headers: context.headers.clone(),
                    // The deployment's own limits are kept where it is read.
                    patience: Patience::default(),
                    translation: None,
                };
                let stream = ChatStream::start(events(*streamed), source);
                Ok(Self::Stream(StreamedAnswer { stream, context }, way))
            }
        }
    }

    fn into_py(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (given, way, cost) = match self {
            Self::Whole(body, context, way, cost) => {
                let given = completion::whole(py, body.as_bytes(), &context, &way.model)?;
                (given, way, cost)
            }
            Self::Stream(streamed, way) => {
                let given = completion::begun(py, streamed, way.model.clone())?;
                (given, way, None)
            }
        };
        let facts = given.bind(py).cast::<PyTuple>()?.get_item(1)?;
        facts.set_item(intern!(py, "response_cost"), cost.map(Cost::total))?;
        facts.set_item(intern!(py, "model_id"), way.id)?;
        facts.set_item(intern!(py, "model_group"), way.group)?;
        facts.set_item(intern!(py, "attempted_fallbacks"), way.fallbacks)?;
        Ok(given)
    }
}

/// The text of a stream as it is passed on.
fn events(
    streamed: Streamed,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes>> + Send + 'static {
    stream::unfold(streamed, |mut streamed| async {
        let next = streamed.next().await?;
        Some((next, streamed))
    })
}
