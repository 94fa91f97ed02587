//! What the transforms need of a JSON tree. Owns [`Tree`], and implements it for [`Value`].

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::error::Error;

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
    /// No JSON value at all; only the trees of a host language have such.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Other => "no JSON value",
        })
    }
}

/// A JSON tree that can be read, and from which other trees of its sort can be made.
pub trait Tree: Sized {
    /// What this value is.
    fn kind(&self) -> Kind;

    /// A member of this object; nothing when it is absent, or when this is no object.
    fn member(&self, key: &str) -> Result<Option<Self>, Error>;

    /// Whether this is an object each of whose members passes the test.
    fn every_member(&self, test: &mut dyn FnMut(&str, &Self) -> bool) -> bool;

    /// Whether this is a list each of whose elements passes the test.
    fn every_element(&self, test: &mut dyn FnMut(&Self) -> bool) -> bool;

    /// The number that this value is, if it is a finite one.
    fn as_number(&self) -> Option<f64>;

    /// The text that this value is.
    fn as_text(&self) -> Result<Option<Cow<'_, str>>, Error>;

    /// A value whose own members can be set without changing the tree that it came from.
    fn detached(self) -> Result<Self, Error>;

    /// Sets a member of this object.
    fn set(&mut self, key: &str, value: Self) -> Result<(), Error>;

    /// An empty object of the same sort of tree.
    #[must_use]
    fn empty_object(&self) -> Self;

    /// A text of the same sort of tree.
    #[must_use]
    fn text(&self, text: &str) -> Self;

    /// A boolean of the same sort of tree.
    #[must_use]
    fn boolean(&self, truth: bool) -> Self;

    /// This tree as a JSON value.
    fn to_json(&self) -> Result<Value, Error>;

    /// A JSON value as a tree of the same sort.
    fn of_json(&self, value: Value) -> Result<Self, Error>;
}

impl Tree for Value {
    fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Boolean,
            Self::Number(_) => Kind::Number,
            Self::String(_) => Kind::Text,
            Self::Array(_) => Kind::List,
            Self::Object(_) => Kind::Object,
        }
    }

    fn member(&self, key: &str) -> Result<Option<Self>, Error> {
        Ok(self.get(key).cloned())
    }

    fn every_member(&self, test: &mut dyn FnMut(&str, &Self) -> bool) -> bool {
        self.as_object().is_some_and(|members| {
            members
                .iter()
                .all(|(name, value)| test(name.as_str(), value))
        })
    }

    fn every_element(&self, test: &mut dyn FnMut(&Self) -> bool) -> bool {
        self.as_array()
            .is_some_and(|elements| elements.iter().all(test))
    }

    fn as_number(&self) -> Option<f64> {
        self.as_f64().filter(|number| number.is_finite())
    }

    fn as_text(&self) -> Result<Option<Cow<'_, str>>, Error> {
        Ok(self.as_str().map(Cow::Borrowed))
    }

    fn detached(self) -> Result<Self, Error> {
        Ok(self)
    }

    fn set(&mut self, key: &str, value: Self) -> Result<(), Error> {
        if let Self::Object(members) = self {
            members.insert(key.to_owned(), value);
        }
        Ok(())
    }

    fn empty_object(&self) -> Self {
        Self::Object(Map::new())
    }

    fn text(&self, text: &str) -> Self {
        Self::String(text.to_owned())
    }

    fn boolean(&self, truth: bool) -> Self {
        Self::Bool(truth)
    }

    fn to_json(&self) -> Result<Value, Error> {
        Ok(self.clone())
    }

    fn of_json(&self, value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}
