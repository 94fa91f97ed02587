//! JSON text that is passed on as it came. Owns [`RawJson`]; uses `error` alone.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// One JSON value as the text in which a peer (or a caller) wrote it: key order, number spelling
/// and unknown fields are kept because nothing is ever decoded and encoded again.
///
/// The text is valid JSON; the constructors that take foreign bytes check it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Wraps text that the caller knows to be one valid JSON value.
    pub fn trusted(text: impl Into<Bytes>) -> Self {
        Self(text.into())
    }

    /// Checks foreign text and wraps it.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, Error> {
        let text = text.into();
        match serde_json::from_slice::<&serde_json::value::RawValue>(&text) {
            Ok(_) => Ok(Self(text)),
            Err(cause) => Err(
                Error::new(ErrorKind::Internal, "the text is not valid JSON").with_source(cause),
            ),
        }
    }

    /// Writes a value as JSON text.
    pub fn from_serialize(value: &impl Serialize) -> Result<Self, Error> {
        serde_json::to_vec(value)
            .map(|text| Self(text.into()))
            .map_err(|cause| {
                Error::new(ErrorKind::Internal, "the value cannot be written as JSON")
                    .with_source(cause)
            })
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The decoded value, for code that must look inside.
    pub fn to_value(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.0).map_err(|cause| {
            Error::new(ErrorKind::Internal, "the text is not valid JSON").with_source(cause)
        })
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content may hold secrets: only its size is shown.
        write!(formatter, "RawJson({} bytes)", self.0.len())
    }
}
