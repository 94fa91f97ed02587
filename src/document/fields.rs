//! The fields of one object of a configuration: typed access, and a word about every key that
//! nobody asked for. Owns [`Fields`] and [`Lookup`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Data, Node, Place};
use crate::error::{Result, nearest};

/// Where the values of variables come from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How references to variables are written in the texts of a configuration.
#[derive(Clone, Copy)]
pub(crate) enum Spelling {
    /// Not at all.
    None,
    /// `${NAME}`, `${NAME:-default}`, `${env:NAME}`, `${workspaceFolder}`, `${userHome}`.
    Braces,
    /// `os.environ/NAME`, as a whole text.
    OsEnviron,
}

/// An object, read key by key.
pub(crate) struct Fields<'a> {
    members: &'a [(String, Node)],
    pub(crate) place: Place,
    variables: Lookup<'a>,
    spelling: Spelling,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(
        node: &'a Node,
        place: Place,
        variables: Lookup<'a>,
        spelling: Spelling,
    ) -> Result<Self> {
        let members = match &node.data {
            Data::Object(members) => members.as_slice(),
            _ => return Err(place.error(&format!("is {}; it takes an object", node.kind()))),
        };
        Ok(Self {
            members,
            place,
            variables,
            spelling,
            asked: Vec::new(),
        })
    }

    /// The value of the first of several spellings of a key; null is absent.
    pub(crate) fn find(&mut self, keys: &[&'static str]) -> Option<(Place, &'a Node)> {
        self.asked.extend_from_slice(keys);
        keys.iter().find_map(|key| {
            let (_, node) = self.members.iter().find(|(name, _)| name == key)?;
            (!matches!(node.data, Data::Null)).then(|| (self.place.key(key, node), node))
        })
    }

    /// A text, its variables replaced.
    pub(crate) fn text(&mut self, keys: &[&'static str]) -> Result<Option<String>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        self.text_of(&place, node, "a text").map(Some)
    }

    fn text_of(&self, place: &Place, node: &Node, accepted: &str) -> Result<String> {
        match &node.data {
            Data::Text(text) => self.expanded(place, text),
            _ => Err(place.error(&format!("is {}; it takes {accepted}", node.kind()))),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, keys: &[&'static str]) -> Result<Option<Vec<String>>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        let Data::List(all) = &node.data else {
            return Err(place.error(&format!("is {}; it takes a list of texts", node.kind())));
        };
        let texts = all.iter().enumerate().map(|(index, one)| match &one.data {
            Data::Number(number) => Ok(number.clone()),
            _ => self.text_of(&place.element(index, one), one, "a text"),
        });
        texts.collect::<Result<_>>().map(Some)
    }

    /// An object of texts; numbers and booleans are the texts that they are written as.
    pub(crate) fn map(&mut self, keys: &[&'static str]) -> Result<BTreeMap<String, String>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(BTreeMap::new());
        };
        let Data::Object(members) = &node.data else {
            return Err(place.error(&format!("is {}; it takes an object of texts", node.kind())));
        };
        let mut map = BTreeMap::new();
        for (key, one) in members {
            let value = match &one.data {
                Data::Number(number) => number.clone(),
                Data::Boolean(truth) => truth.to_string(),
                _ => self.text_of(&place.key(key, one), one, "a text")?,
            };
            map.insert(key.clone(), value);
        }
        Ok(map)
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, keys: &[&'static str]) -> Result<Option<bool>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        let text = match &node.data {
            Data::Boolean(truth) => return Ok(Some(*truth)),
            Data::Text(text) => self.expanded(&place, text)?.to_ascii_lowercase(),
            _ => String::new(),
        };
        match text.as_str() {
            "true" | "yes" | "on" => Ok(Some(true)),
            "false" | "no" | "off" => Ok(Some(false)),
            _ => Err(place.error(&format!("is {}; it takes true or false", node.kind()))),
        }
    }

    /// A number of seconds above zero.
    pub(crate) fn seconds(&mut self, keys: &[&'static str]) -> Result<Option<Duration>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        let text = match &node.data {
            Data::Number(number) => number.clone(),
            Data::Text(text) => self.expanded(&place, text)?,
            _ => {
                return Err(
                    place.error(&format!("is {}; it takes a number of seconds", node.kind()))
                );
            }
        };
        let seconds: Option<f64> = text.parse().ok();
        let duration = seconds
            .filter(|seconds| *seconds > 0.0)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(duration) = duration else {
            return Err(place.error(&refused(node, "a number of seconds above 0")));
        };
        if duration > Duration::from_hours(24) {
            return Err(place.error(&format!(
                "is {text} s, more than a day; it takes seconds, not milliseconds"
            )));
        }
        Ok(Some(duration))
    }

    /// A number of seconds above zero, or false for never.
    pub(crate) fn seconds_or_never(
        &mut self,
        keys: &[&'static str],
        default: Option<Duration>,
    ) -> Result<Option<Duration>> {
        if let Some((_, node)) = self.find(keys)
            && matches!(node.data, Data::Boolean(false))
        {
            return Ok(None);
        }
        Ok(self.seconds(keys)?.or(default))
    }

    /// A number of seconds, zero among them.
    pub(crate) fn seconds_or_none(&mut self, keys: &[&'static str]) -> Result<Option<Duration>> {
        match self.number(keys)? {
            Some(0.0) => Ok(Some(Duration::ZERO)),
            Some(_) => self.seconds(keys),
            None => Ok(None),
        }
    }

    /// A number that is not below zero.
    pub(crate) fn number(&mut self, keys: &[&'static str]) -> Result<Option<f64>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        let number: Option<f64> = self.digits(&place, node)?.parse().ok();
        number
            .filter(|number| number.is_finite() && *number >= 0.0)
            .map(Some)
            .ok_or_else(|| place.error(&refused(node, "a number that is not below 0")))
    }

    /// A whole number that is not below zero.
    pub(crate) fn whole(&mut self, keys: &[&'static str]) -> Result<Option<u32>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        let number = self.digits(&place, node)?.parse();
        number
            .map(Some)
            .map_err(|_| place.error(&refused(node, "a whole number that is not below 0")))
    }

    /// What may be a number, as text.
    fn digits(&self, place: &Place, node: &Node) -> Result<String> {
        match &node.data {
            Data::Number(number) => Ok(number.clone()),
            Data::Text(text) => self.expanded(place, text),
            _ => Ok(String::new()),
        }
    }

    /// Whatever stands there, as JSON.
    pub(crate) fn value(&mut self, keys: &[&'static str]) -> Result<Option<Value>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        self.json(&place, node).map(Some)
    }

    /// An object, as JSON.
    pub(crate) fn object(&mut self, keys: &[&'static str]) -> Result<Map<String, Value>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(Map::new());
        };
        match self.json(&place, node)? {
            Value::Object(object) => Ok(object),
            _ => Err(place.error(&format!("is {}; it takes an object", node.kind()))),
        }
    }

    /// A value as JSON, the variables in its texts replaced.
    pub(crate) fn json(&self, place: &Place, node: &Node) -> Result<Value> {
        Ok(match &node.data {
            Data::Null => Value::Null,
            Data::Boolean(truth) => Value::Bool(*truth),
            Data::Number(number) => serde_json::from_str(number)
                .map_err(|_| place.error("is a number that JSON does not have"))?,
            Data::Text(text) => Value::String(self.expanded(place, text)?),
            Data::List(all) => {
                let values = all.iter().enumerate();
                let values = values.map(|(index, one)| self.json(&place.element(index, one), one));
                Value::Array(values.collect::<Result<_>>()?)
            }
            Data::Object(members) => {
                let mut object = Map::new();
                for (key, one) in members {
                    object.insert(key.clone(), self.json(&place.key(key, one), one)?);
                }
                Value::Object(object)
            }
        })
    }

    /// The keys that were asked for.
    pub(crate) fn asked(&self) -> &[&'static str] {
        &self.asked
    }

    /// Everything that stands there, read or not.
    pub(crate) fn members(&self) -> &'a [(String, Node)] {
        self.members
    }

    /// A whole number above zero.
    pub(crate) fn count(&mut self, keys: &[&'static str]) -> Result<Option<u64>> {
        let Some((place, node)) = self.find(keys) else {
            return Ok(None);
        };
        let text = match &node.data {
            Data::Number(number) => number.clone(),
            Data::Text(text) => self.expanded(&place, text)?,
            _ => String::new(),
        };
        match text.parse() {
            Ok(0) | Err(_) => Err(place.error(&refused(node, "a whole number above 0"))),
            Ok(count) => Ok(Some(count)),
        }
    }

    /// The variables that are read.
    pub(crate) fn variables(&self) -> Lookup<'a> {
        self.variables
    }

    /// An error if a key is a slip of the pen, the likeliest reason why another one is missing.
    pub(crate) fn slip(&self, ignored: &[&str]) -> Result<()> {
        self.strangers(ignored).map(|_| ())
    }

    /// Says what nobody asked for: a slip of the pen is an error, anything else a notice.
    pub(crate) fn finish(self, ignored: &[&str]) -> Result<Vec<String>> {
        self.strangers(ignored)
    }

    fn strangers(&self, ignored: &[&str]) -> Result<Vec<String>> {
        let mut notices = Vec::new();
        for (key, node) in self.members {
            if self.asked.contains(&key.as_str()) || ignored.contains(&key.as_str()) {
                continue;
            }
            let place = self.place.key(key, node);
            let known = self.asked.iter().copied().filter(|known| {
                // A key that stands there too was not meant by this one.
                !self.members.iter().any(|(there, _)| there == known)
            });
            if let Some(near) = nearest(key, known) {
                return Err(place.error(&format!("is no known key; did you mean {near:?}?")));
            }
            notices.push(format!("{place} is no known key and was ignored"));
        }
        Ok(notices)
    }

    /// Replaces the references to variables in a text.
    pub(crate) fn expanded(&self, place: &Place, text: &str) -> Result<String> {
        match self.spelling {
            Spelling::None => Ok(text.to_owned()),
            Spelling::OsEnviron => match text.strip_prefix("os.environ/") {
                Some(name) => (self.variables)(name).ok_or_else(|| missing(place, name)),
                None => Ok(text.to_owned()),
            },
            Spelling::Braces => self.braces(place, text),
        }
    }

    fn braces(&self, place: &Place, text: &str) -> Result<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((reference, behind)) = after.split_once('}') else {
                return Err(place.error("has a `${` without its `}`"));
            };
            expanded.push_str(&self.reference(place, reference)?);
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn reference(&self, place: &Place, reference: &str) -> Result<String> {
        let (reference, default) = match reference.split_once(":-") {
            Some((reference, default)) => (reference, Some(default.to_owned())),
            None => (reference, None),
        };
        let name = reference.strip_prefix("env:").unwrap_or(reference);
        let value = match reference {
            "workspaceFolder" => place.folder().map(|folder| {
                let is_settings = folder
                    .file_name()
                    .is_some_and(|name| name == ".vscode" || name == ".cursor");
                let folder = folder.parent().filter(|_| is_settings).unwrap_or(folder);
                folder.display().to_string()
            }),
            "userHome" => (self.variables)("HOME").or_else(|| (self.variables)("USERPROFILE")),
            "pathSeparator" | "/" => Some(std::path::MAIN_SEPARATOR.to_string()),
            _ if reference.starts_with("input:") => {
                return Err(place.error(&format!(
                    "asks for ${{{reference}}}, which only an editor can ask its user for; use \
                     ${{env:NAME}}"
                )));
            }
            _ => (self.variables)(name),
        };
        value.or(default).ok_or_else(|| missing(place, name))
    }
}

fn missing(place: &Place, name: &str) -> crate::error::Error {
    place
        .error(&format!(
            "needs the environment variable {name}, which is not set"
        ))
        .map_context(|context| context.code = Some(name.to_owned()))
}

/// What was found where something else is taken. A text is not shown: it may be a secret at the wrong
/// place.
fn refused(node: &Node, accepted: &str) -> String {
    match &node.data {
        Data::Number(number) => format!("is {number}; it takes {accepted}"),
        _ => format!("is {}; it takes {accepted}", node.kind()),
    }
}
