//! A configuration as a tree in which every value knows its line, whichever form it was written in:
//! JSON (with the comments that editors allow), YAML, or an object of the caller. Owns [`Document`]
//! and `Place`; uses `error` alone.

pub(crate) mod fields;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};

/// The largest configuration file that is read.
const MAXIMUM_FILE_BYTES: u64 = 16 << 20;
/// Deeper values are refused rather than allowed to exhaust the stack.
const MAXIMUM_DEPTH: usize = 64;

/// A value of a configuration, with the line that it begins on if it comes from a file.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) line: Option<usize>,
    pub(crate) data: Data,
}

/// What a value is.
#[derive(Clone)]
pub(crate) enum Data {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Data::Object(members) = &self.data else {
            return None;
        };
        members
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node)
    }

    /// What an error says was found: the kind alone, for the value may be a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Boolean(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Object(_) => "an object",
        }
    }

    fn from_value(value: Value) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(truth) => Data::Boolean(truth),
            Value::Number(number) => Data::Number(number.to_string()),
            Value::String(text) => Data::Text(text),
            Value::Array(all) => Data::List(all.into_iter().map(Self::from_value).collect()),
            Value::Object(members) => {
                let members = members.into_iter();
                Data::Object(
                    members
                        .map(|(key, one)| (key, Self::from_value(one)))
                        .collect(),
                )
            }
        };
        Self { line: None, data }
    }

    fn from_yaml(yaml: &MarkedYaml<'_>, depth: usize) -> Result<Self, String> {
        if depth > MAXIMUM_DEPTH {
            return Err(format!(
                "values are nested deeper than {MAXIMUM_DEPTH} levels"
            ));
        }
        let data = match &yaml.data {
            YamlData::Value(Scalar::Null) => Data::Null,
            YamlData::Value(Scalar::Boolean(truth)) => Data::Boolean(*truth),
            YamlData::Value(Scalar::Integer(number)) => Data::Number(number.to_string()),
            YamlData::Value(Scalar::FloatingPoint(number)) => Data::Number(number.to_string()),
            YamlData::Value(Scalar::String(text)) => Data::Text(text.to_string()),
            YamlData::Representation(text, ..) => Data::Text(text.to_string()),
            YamlData::Sequence(all) => Data::List(
                all.iter()
                    .map(|one| Self::from_yaml(one, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            YamlData::Mapping(members) => {
                let mut own = Vec::new();
                let mut merged = Vec::new();
                for (key, one) in members {
                    let node = Self::from_yaml(one, depth + 1)?;
                    match Self::from_yaml(key, depth + 1)?.data {
                        Data::Text(key) if key == "<<" => merged.push(node),
                        Data::Text(key) | Data::Number(key) => own.push((key, node)),
                        Data::Boolean(truth) => own.push((truth.to_string(), node)),
                        _ => return Err("a key is neither a text nor a number".to_owned()),
                    }
                }
                merge(&mut own, merged);
                Data::Object(own)
            }
            YamlData::Tagged(_, inner) => return Self::from_yaml(inner, depth),
            YamlData::Alias(_) | YamlData::BadValue => {
                return Err("an alias leads nowhere".to_owned());
            }
        };
        Ok(Self {
            line: Some(yaml.span.start.line()),
            data,
        })
    }
}

/// What a YAML merge key brings: the members that the mapping does not have itself.
fn merge(own: &mut Vec<(String, Node)>, merged: Vec<Node>) {
    for node in merged {
        match node.data {
            Data::Object(members) => {
                for (key, one) in members {
                    if !own.iter().any(|(known, _)| *known == key) {
                        own.push((key, one));
                    }
                }
            }
            Data::List(all) => merge(own, all),
            _ => {}
        }
    }
}

/// Where a value stands: the file, the keys that lead to it, the line.
#[derive(Clone)]
pub(crate) struct Place {
    file: Option<Arc<Path>>,
    keys: String,
    line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(formatter, ", line {line}")?;
            }
            formatter.write_str(": ")?;
        }
        formatter.write_str(if self.keys.is_empty() {
            "the configuration"
        } else {
            &self.keys
        })
    }
}

impl Place {
    /// The place of a value at this place, by its key.
    pub(crate) fn key(&self, key: &str, node: &Node) -> Self {
        let is_plain = key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let key = if is_plain && !key.is_empty() {
            Cow::from(key)
        } else {
            format!("{key:?}").into()
        };
        let dot = if self.keys.is_empty() { "" } else { "." };
        self.at(format!("{}{dot}{key}", self.keys), node)
    }

    /// The place of an element of the list at this place.
    pub(crate) fn element(&self, index: usize, node: &Node) -> Self {
        self.at(format!("{}[{index}]", self.keys), node)
    }

    fn at(&self, keys: String, node: &Node) -> Self {
        Self {
            file: self.file.clone(),
            keys,
            line: node.line,
        }
    }

    /// The folder of the file.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.file.as_deref()?.parent()
    }

    /// The error of this place.
    pub(crate) fn error(&self, problem: &str) -> Error {
        Error::new(ErrorKind::Configuration, format!("{self} {problem}"))
            .map_context(|context| context.param = Some(self.keys.clone()))
    }
}

/// A whole configuration.
#[derive(Clone)]
pub struct Document {
    pub(crate) root: Node,
    pub(crate) place: Place,
}

impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be secrets.
        write!(formatter, "Document({})", self.place)
    }
}

impl Document {
    /// An object of the caller.
    pub fn from_value(value: Value) -> Self {
        Self::new(Node::from_value(value), None)
    }

    /// Reads a JSON or YAML file; blocking.
    ///
    /// # Errors
    /// It cannot be read, or is neither JSON nor YAML.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let unreadable = |cause: std::io::Error| {
            let message = format!("the configuration file {shown} cannot be read: {cause}");
            Error::new(ErrorKind::Configuration, message).with_source(cause)
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAXIMUM_FILE_BYTES {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the configuration file {shown} has {size} bytes; at most {MAXIMUM_FILE_BYTES} are read"
                ),
            ));
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8(text).map_err(|_| {
            Error::new(
                ErrorKind::Configuration,
                format!("the configuration file {shown} is not UTF-8 text"),
            )
        })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is neither JSON nor YAML.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let ends_in = |ending: &str| {
            path.extension()
                .is_some_and(|found| found.eq_ignore_ascii_case(ending))
        };
        let is_yaml = ends_in("yaml") || ends_in("yml");
        let begins_as_json = text.trim_start().starts_with(['{', '[']) || ends_in("json");
        let parsed = if is_yaml || !begins_as_json {
            from_yaml(text)
        } else {
            from_json(text)
        };
        let root = parsed.map_err(|(line, problem)| {
            let language = if is_yaml || !begins_as_json {
                "YAML"
            } else {
                "JSON"
            };
            Error::new(
                ErrorKind::Configuration,
                format!(
                    "{}, line {line}: not valid {language}: {problem}",
                    path.display()
                ),
            )
        })?;
        Ok(Self::new(root, Some(path.to_owned())))
    }

    fn new(root: Node, file: Option<PathBuf>) -> Self {
        let place = Place {
            file: file.map(Into::into),
            keys: String::new(),
            line: root.line,
        };
        Self { root, place }
    }
}

fn from_yaml(text: &str) -> Result<Node, (usize, String)> {
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|failure| (failure.marker().line(), failure.info().to_owned()))?;
    let Some(first) = documents.first() else {
        return Ok(Node {
            line: Some(1),
            data: Data::Null,
        });
    };
    Node::from_yaml(first, 0).map_err(|problem| (first.span.start.line(), problem))
}

fn from_json(text: &str) -> Result<Node, (usize, String)> {
    let plain = without_comments(text);
    let raw: &RawValue = serde_json::from_str(&plain)
        .map_err(|failure| (failure.line(), without_position(&failure.to_string())))?;
    json_node(raw, &plain, 0)
}

fn without_position(message: &str) -> String {
    message
        .split(" at line ")
        .next()
        .unwrap_or(message)
        .to_owned()
}

fn json_node(raw: &RawValue, whole: &str, depth: usize) -> Result<Node, (usize, String)> {
    let text = raw.get();
    // The value is a part of the whole, so the addresses tell where it begins.
    let offset = (text.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let before = whole.as_bytes().get(..offset).unwrap_or_default();
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    if depth > MAXIMUM_DEPTH {
        return Err((
            line,
            format!("values are nested deeper than {MAXIMUM_DEPTH} levels"),
        ));
    }
    let problem = |problem| (line, problem);
    let data = match text.as_bytes().first() {
        Some(b'{') => {
            let mut members: Vec<(String, Node)> = Vec::new();
            for (key, one) in read(raw, Members).map_err(problem)? {
                let node = json_node(one, whole, depth + 1)?;
                if members.iter().any(|(known, _)| *known == key) {
                    return Err((line, format!("the key {key:?} stands twice in one object")));
                }
                members.push((key, node));
            }
            Data::Object(members)
        }
        Some(b'[') => Data::List(
            read(raw, Elements)
                .map_err(problem)?
                .into_iter()
                .map(|one| json_node(one, whole, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        _ => {
            let value = serde_json::from_str(text);
            Node::from_value(value.map_err(|failure| (line, failure.to_string()))?).data
        }
    };
    Ok(Node {
        line: Some(line),
        data,
    })
}

fn read<'a, V: Visitor<'a>>(raw: &'a RawValue, visitor: V) -> Result<V::Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer
        .deserialize_any(visitor)
        .map_err(|failure| failure.to_string())
}

struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Vec<(String, &'a RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Elements;

impl<'a> Visitor<'a> for Elements {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }
}

/// Blanks out comments and commas without a successor, as editors allow them in their own files;
/// every line stays where it is.
fn without_comments(text: &str) -> String {
    let mut plain = text.as_bytes().to_vec();
    let mut index = 0;
    let mut comma = None;
    while index < plain.len() {
        match plain[index] {
            b'"' => {
                comma = None;
                index += 1;
                while index < plain.len() && plain[index] != b'"' {
                    index += 1 + usize::from(plain[index] == b'\\');
                }
            }
            b'/' if plain.get(index + 1) == Some(&b'/') => {
                while index < plain.len() && plain[index] != b'\n' {
                    plain[index] = b' ';
                    index += 1;
                }
                continue;
            }
            b'/' if plain.get(index + 1) == Some(&b'*') => {
                let rest = &plain[index + 2..];
                let length = rest.windows(2).position(|pair| pair == b"*/");
                let end = length.map_or(plain.len(), |length| index + length + 4);
                for byte in &mut plain[index..end] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
                index = end;
                continue;
            }
            b',' => comma = Some(index),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        index += 1;
    }
    // Only whole ASCII characters, and whole comments, were replaced.
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}
