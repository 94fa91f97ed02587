//! A look at the members of a JSON object that leaves their values as text. Pure.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;

/// The members of an object, in their order.
pub(super) fn members(object: &RawJson) -> Result<Vec<(Cow<'_, str>, &RawValue)>> {
    let mut text = serde_json::Deserializer::from_slice(object.as_bytes());
    text.deserialize_map(Members).map_err(|cause| {
        Error::new(ErrorKind::Configuration, "a JSON object is wanted here").with_source(cause)
    })
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            members.push((Cow::Owned(name), map.next_value()?));
        }
        Ok(members)
    }
}

/// A member that is there, `null` too.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
