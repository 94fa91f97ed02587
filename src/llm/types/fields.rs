//! Members of JSON objects, taken by name: a wrong type is an error that says where it stands, what
//! was found and what is accepted.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorContext, ErrorKind};

/// A value of a request that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {problem}")]
pub struct Unusable {
    /// Where, as in `messages[2].content[0].text`.
    pub place: String,
    /// What is wrong with it, after the place in one sentence.
    pub problem: String,
}

impl Unusable {
    /// At `place`, with `problem`.
    pub fn new(place: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            problem: problem.into(),
        }
    }

    /// The value at `place` has another type than is accepted.
    pub fn wrong(place: impl fmt::Display, wanted: &str, found: &Value) -> Self {
        Self::new(place, format!("takes {wanted}, not {}", kind(found)))
    }
}

impl From<Unusable> for Error {
    fn from(fault: Unusable) -> Self {
        // The parameter is the first word of the place.
        let end = fault.place.find(['.', '[']).unwrap_or(fault.place.len());
        let param = fault.place[..end].to_owned();
        Self::new(ErrorKind::BadRequest, fault.to_string()).with_context(ErrorContext {
            param: Some(param),
            ..ErrorContext::default()
        })
    }
}

/// What a value is, for a sentence.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The members of one object, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    members: Map<String, Value>,
    place: String,
}

impl Fields {
    /// Those of `value`, which has to be an object.
    pub fn new(value: Value, place: impl Into<String>, wanted: &str) -> Result<Self, Unusable> {
        let place = place.into();
        match value {
            Value::Object(members) => Ok(Self { members, place }),
            other => Err(Unusable::wrong(place, wanted, &other)),
        }
    }

    /// Those of a request itself, whose place has no name.
    pub fn root(members: Map<String, Value>) -> Self {
        Self {
            members,
            place: String::new(),
        }
    }

    /// Where the object stands.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where a member stands.
    pub fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place)
        }
    }

    /// Whether there is a member that is not null.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// A look at a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Takes a member; null is none.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.members
            .shift_remove(name)
            .filter(|value| !value.is_null())
    }

    /// Puts a member back that cannot be carried after all, for whoever settles what is left.
    pub fn put(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Unusable> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Unusable::wrong(self.place_of(name), "a text", &other)),
        }
    }

    /// Takes a text that has to be there.
    pub fn needed_text(&mut self, name: &str) -> Result<String, Unusable> {
        self.text(name)?
            .ok_or_else(|| Unusable::new(&self.place, format!("has no {name:?}, which is a text")))
    }

    /// Takes a boolean.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Unusable> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(Unusable::wrong(
                self.place_of(name),
                "true or false",
                &other,
            )),
        }
    }

    /// Takes a whole number that is not negative.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>, Unusable> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) => Ok(Some(count)),
                None => Err(Unusable::wrong(
                    self.place_of(name),
                    "a whole number that is not negative",
                    &value,
                )),
            },
        }
    }

    /// Takes a list.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>, Unusable> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(Unusable::wrong(self.place_of(name), "a list", &other)),
        }
    }

    /// Takes an object as fields of its own.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Unusable> {
        let place = self.place_of(name);
        self.take(name)
            .map(|value| Self::new(value, place, "an object"))
            .transpose()
    }

    /// What was not taken.
    pub fn rest(self) -> Map<String, Value> {
        self.members
    }
}
