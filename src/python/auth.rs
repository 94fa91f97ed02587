//! Authorization for Python: what the user gives is asked on the user's own loop. The public face is
//! `python/toolbridge/mcp/client/auth`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::mcp::Authorizer;
use crate::mcp::auth::{
    Callbacks, Document, FileStorage, OAuth, OAuthSettings, Pending, SigningKey, TokenStorage,
};
use crate::python::bridge::{self, LoopQueue};
use crate::python::convert::{from_json, to_json};
use crate::python::error::to_py;

/// Adds the classes and functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Authorization>()?;
    module.add_class::<Question>()?;
    module.add_class::<TokenFile>()?;
    module.add_function(wrap_pyfunction!(sign_jwt, module)?)
}

fn flow(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::OAuthFlow, message)
}

/// Signs a JWT with a private key in PEM.
#[pyfunction]
fn sign_jwt(
    py: Python<'_>,
    claims: &Bound<'_, PyAny>,
    key: &str,
    algorithm: &str,
) -> PyResult<String> {
    let claims = to_json(claims)?;
    let signed = || SigningKey::from_pem(key, algorithm)?.sign(&claims.to_value()?);
    signed().map_err(|error| to_py(py, &error))
}

/// Where the user's functions run.
struct Place {
    event_loop: Py<PyAny>,
    queue: Arc<LoopQueue>,
    context: Py<PyAny>,
}

/// The user, as the engine sees it.
struct User {
    ask: Py<PyAny>,
    place: Mutex<Option<Place>>,
}

impl User {
    /// Takes the running loop, unless an earlier one is still there.
    fn bind(&self, py: Python<'_>) -> PyResult<()> {
        let known = {
            let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            place.as_ref().map(|place| place.event_loop.clone_ref(py))
        };
        if let Some(known) = known
            && !known.call_method0(py, "is_closed")?.is_truthy(py)?
        {
            return Ok(());
        }
        let (event_loop, queue) = LoopQueue::running(py)?;
        let context = py.import("contextvars")?.call_method0("copy_context")?;
        let place = Place {
            event_loop: event_loop.unbind(),
            queue,
            context: context.unbind(),
        };
        let mut held = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.replace(place);
        drop(held);
        // Python may run when the loop before is let go, so not under the lock.
        drop(before);
        Ok(())
    }
}

/// What is shared by a question and whoever waits for its answer.
#[derive(Default)]
struct Asked {
    answer: Mutex<Option<oneshot::Sender<Result<Value>>>>,
    task: Mutex<Option<Py<PyAny>>>,
}

/// One question to the user's functions.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Question(Arc<Asked>);

impl Question {
    fn settle(&self, outcome: Result<Value>) {
        let mut answer = self.0.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = answer.take() {
            // Nobody may wait any more.
            let _ = sender.send(outcome);
        }
    }
}

#[pymethods]
impl Question {
    /// The task that answers; it is cancelled when nobody waits for the answer any more.
    fn attach(&self, task: Py<PyAny>) {
        let before = {
            let mut held = self.0.task.lock().unwrap_or_else(PoisonError::into_inner);
            held.replace(task)
        };
        drop(before);
    }

    /// Gives the answer.
    fn answer(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = to_json(value)?.to_value();
        self.settle(Ok(value.map_err(|error| to_py(py, &error))?));
        Ok(())
    }

    /// Says that there is none.
    fn fail(&self, message: String) {
        self.settle(Err(flow(message)));
    }
}

/// Cancels the task of a question that nobody waits for.
struct Waiting {
    asked: Arc<Asked>,
    queue: Arc<LoopQueue>,
    is_answered: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let asked = Arc::clone(&self.asked);
        self.queue.push_event(move |py| {
            let task = {
                let mut held = asked.task.lock().unwrap_or_else(PoisonError::into_inner);
                held.take()
            };
            task.map_or(Ok(()), |task| task.call_method0(py, "cancel").map(drop))
        });
    }
}

/// Weak, because a connection must not keep the user's objects alive.
#[derive(Clone)]
struct UserOfPython(Weak<User>);

impl UserOfPython {
    fn ask(&self, name: &'static str, argument: Value) -> Pending<'static, Value> {
        let user = self.0.clone();
        Box::pin(async move {
            let gone = || flow(format!("{name} was not asked: the auth object is gone"));
            let (sender, receiver) = oneshot::channel();
            let asked = Arc::new(Asked {
                answer: Mutex::new(Some(sender)),
                task: Mutex::default(),
            });
            let mut waiting = {
                let user = user.upgrade().ok_or_else(gone)?;
                let queue = {
                    let place = user.place.lock().unwrap_or_else(PoisonError::into_inner);
                    place.as_ref().map(|place| Arc::clone(&place.queue))
                };
                let queue = queue.ok_or_else(gone)?;
                let question = Question(Arc::clone(&asked));
                queue.push_event(move |py| put(py, &user, name, &argument, question));
                Waiting {
                    asked,
                    queue,
                    is_answered: false,
                }
            };
            let answer = receiver.await;
            waiting.is_answered = true;
            answer.unwrap_or_else(|_| {
                Err(flow(format!(
                    "{name} gave no answer: the event loop of the auth object has ended"
                )))
            })
        })
    }

    fn document(&self, name: &'static str, argument: Value) -> Pending<'static, Option<Document>> {
        let answer = self.ask(name, argument);
        Box::pin(async move {
            match answer.await? {
                Value::Null => Ok(None),
                value => serde_json::from_value(value)
                    .map(Some)
                    .map_err(|_| flow(format!("{name} gave something that is no object"))),
            }
        })
    }

    fn text(&self, name: &'static str, argument: Value) -> Pending<'static, String> {
        let answer = self.ask(name, argument);
        Box::pin(async move {
            match answer.await? {
                Value::String(text) => Ok(text),
                _ => Err(flow(format!("{name} gave something that is no str"))),
            }
        })
    }

    fn nothing(&self, name: &'static str, argument: Value) -> Pending<'static, ()> {
        let answer = self.ask(name, argument);
        Box::pin(async move { answer.await.map(drop) })
    }
}

fn put(
    py: Python<'_>,
    user: &User,
    name: &str,
    argument: &Value,
    question: Question,
) -> PyResult<()> {
    let context = {
        let place = user.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().map(|place| place.context.clone_ref(py))
    };
    let Some(context) = context else {
        return Ok(());
    };
    let argument = from_json(py, argument.to_string().as_bytes())?;
    let arguments = (&user.ask, name, argument, question);
    context.call_method1(py, "run", arguments).map(drop)
}

fn value_of(document: &Document) -> Result<Value> {
    serde_json::to_value(document).map_err(|cause| {
        Error::new(ErrorKind::Internal, "the tokens cannot be handed over").with_source(cause)
    })
}

impl Callbacks for UserOfPython {
    fn redirect(&self, url: String) -> Pending<'_, ()> {
        self.nothing("redirect_handler", url.into())
    }

    fn callback(&self) -> Pending<'_, Document> {
        let answer = self.document("callback_handler", Value::Null);
        Box::pin(async move { Ok(answer.await?.unwrap_or_default()) })
    }

    fn assertion(&self, audience: String, resource: String) -> Pending<'_, String> {
        let argument = Value::Array(vec![audience.into(), resource.into()]);
        self.text("assertion_provider", argument)
    }

    fn subject_token(&self) -> Pending<'_, String> {
        self.text("id_token", Value::Null)
    }

    fn check_resource(&self, server: String, resource: Option<String>) -> Pending<'_, ()> {
        let argument = Value::Array(vec![server.into(), resource.into()]);
        self.nothing("validate_resource_url", argument)
    }
}

impl TokenStorage for UserOfPython {
    fn tokens(&self) -> Pending<'_, Option<Document>> {
        self.document("storage.get_tokens", Value::Null)
    }

    fn set_tokens(&self, tokens: Document) -> Pending<'_, ()> {
        match value_of(&tokens) {
            Ok(value) => self.nothing("storage.set_tokens", value),
            Err(failure) => Box::pin(async { Err(failure) }),
        }
    }

    fn client<'a>(&'a self, _issuer: Option<&'a str>) -> Pending<'a, Option<Document>> {
        self.document("storage.get_client_info", Value::Null)
    }

    fn set_client(&self, client: Document) -> Pending<'_, ()> {
        match value_of(&client) {
            Ok(value) => self.nothing("storage.set_client_info", value),
            Err(failure) => Box::pin(async { Err(failure) }),
        }
    }
}

/// Authorization with one server.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
pub(super) struct Authorization {
    core: Arc<OAuth>,
    user: Arc<User>,
}

impl Authorization {
    pub(super) fn core(&self) -> Arc<dyn Authorizer> {
        Arc::clone(&self.core) as Arc<dyn Authorizer>
    }
}

#[pymethods]
impl Authorization {
    /// `ask(name, argument, question)` is called on the loop that `bind` took.
    #[new]
    #[pyo3(signature = (settings, ask, file))]
    fn new(
        py: Python<'_>,
        settings: &Bound<'_, PyAny>,
        ask: Py<PyAny>,
        file: Option<&Bound<'_, TokenFile>>,
    ) -> PyResult<Self> {
        let settings = to_json(settings)?;
        let user = Arc::new(User {
            ask,
            place: Mutex::default(),
        });
        let of_python = UserOfPython(Arc::downgrade(&user));
        let storage: Arc<dyn TokenStorage> = match file {
            Some(file) => Arc::new(file.get().0.clone()),
            None => Arc::new(of_python.clone()),
        };
        let made = serde_json::from_slice::<OAuthSettings>(settings.as_bytes())
            .map_err(|cause| {
                Error::new(
                    ErrorKind::Configuration,
                    format!("the settings of authorization cannot be read: {cause}"),
                )
            })
            .and_then(|settings| OAuth::new(settings, Arc::new(of_python), storage))
            .map_err(|error| to_py(py, &error))?;
        Ok(Self {
            core: Arc::new(made),
            user,
        })
    }

    /// Takes the running loop for the user's functions, unless an earlier one is still open.
    fn bind(&self, py: Python<'_>) -> PyResult<()> {
        self.user.bind(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.user.ask)?;
        if let Ok(place) = self.user.place.try_lock()
            && let Some(place) = &*place
        {
            visit.call(&place.event_loop)?;
            visit.call(&place.context)?;
        }
        Ok(())
    }
}

/// The part of a file of tokens that belongs to one server.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct TokenFile(FileStorage);

impl TokenFile {
    fn look(
        py: Python<'_>,
        found: impl Future<Output = Result<Option<Document>>> + Send + 'static,
    ) -> PyResult<Bound<'_, PyAny>> {
        bridge::spawn(py, found, |py, document| match document {
            Some(document) => Ok(from_json(py, document.to_text().as_bytes())?.unbind()),
            None => Ok(py.None()),
        })
    }

    fn read(document: &Bound<'_, PyAny>) -> PyResult<Document> {
        let text = to_json(document)?;
        Document::parse(text.as_bytes())
            .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("an object is needed"))
    }
}

#[pymethods]
impl TokenFile {
    #[new]
    fn new(path: PathBuf, server: &str) -> Self {
        Self(FileStorage::new(path, server))
    }

    fn tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let storage = self.0.clone();
        Self::look(py, async move { storage.tokens().await })
    }

    fn set_tokens<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (storage, tokens) = (self.0.clone(), Self::read(tokens)?);
        let keeping = async move { storage.set_tokens(tokens).await };
        bridge::spawn(py, keeping, |py, ()| Ok(py.None()))
    }

    fn client<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let storage = self.0.clone();
        Self::look(py, async move { storage.client(None).await })
    }

    fn set_client<'py>(
        &self,
        py: Python<'py>,
        client: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (storage, client) = (self.0.clone(), Self::read(client)?);
        let keeping = async move { storage.set_client(client).await };
        bridge::spawn(py, keeping, |py, ()| Ok(py.None()))
    }
}
