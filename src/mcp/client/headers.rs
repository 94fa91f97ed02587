//! The headers that mirror a request of MCP 2026-07-28 on Streamable HTTP: `Mcp-Method`,
//! `Mcp-Name`, and the `Mcp-Param-*` that the `x-mcp-header` of a tool's input schema asks for.
//! Pure; works on JSON text, and touches nothing that has no such annotation.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::RawJson;

/// The JSON-RPC code of a server that misses a header, or found one that differs from the body.
/// The tool may have changed: list the tools again, and repeat the request once.
pub const HEADER_MISMATCH: i64 = -32020;

/// The method of the message.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The tool, prompt, resource or task that the message is about.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");

const PARAMETER_PREFIX: &str = "mcp-param-";
const ANNOTATION: &str = "x-mcp-header";
const ENCODED_PREFIX: &str = "=?base64?";
const ENCODED_SUFFIX: &str = "?=";
/// Beyond it a JSON number is not the same integer for every reader.
const LARGEST_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Headers of one message.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// `Mcp-Method`, and `Mcp-Name` where the method has one; `params` is the object that is sent.
pub fn standard(method: &str, params: Option<&RawJson>) -> Headers {
    let mut headers = vec![(METHOD, encoded(method))];
    let name = params.and_then(|params| name_of(method, params).ok().flatten());
    if let Some(name) = name {
        headers.push((NAME, encoded(&name)));
    }
    headers
}

/// What a request names; none if its method names nothing, or it does not.
///
/// # Errors
/// Parameters that cannot be read, or that name something twice.
pub fn name_of(method: &str, params: &RawJson) -> serde_json::Result<Option<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named<'a> {
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        uri: Option<&'a RawValue>,
        #[serde(borrow, default)]
        task_id: Option<&'a RawValue>,
    }
    let is_task = matches!(method, "tasks/get" | "tasks/update" | "tasks/cancel");
    let is_resource = method == "resources/read";
    if !is_task && !is_resource && !matches!(method, "tools/call" | "prompts/get") {
        return Ok(None);
    }
    let named: Named<'_> = serde_json::from_slice(params.as_bytes())?;
    let value = match (is_task, is_resource) {
        (true, _) => named.task_id,
        (_, true) => named.uri,
        _ => named.name,
    };
    value
        .map(|value| serde_json::from_str(value.get()))
        .transpose()
}

/// The value of a header: the text as it is, or in Base64 where a header cannot carry it.
pub fn encoded(text: &str) -> HeaderValue {
    let is_edged = text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']);
    let is_printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    let looks_encoded = text.starts_with(ENCODED_PREFIX) && text.ends_with(ENCODED_SUFFIX);
    if is_printable
        && !is_edged
        && !looks_encoded
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let packed = BASE64_STANDARD.encode(text);
    let value = format!("{ENCODED_PREFIX}{packed}{ENCODED_SUFFIX}");
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Which arguments of one tool go into which headers.
#[derive(Debug, Clone, Default)]
pub struct ParameterHeaders {
    root: Properties,
}

/// The annotated properties of one object of the schema, and of the objects inside it.
#[derive(Debug, Clone, Default)]
struct Properties(Vec<(String, Property)>);

#[derive(Debug, Clone, Default)]
struct Property {
    header: Option<HeaderName>,
    properties: Properties,
}

impl ParameterHeaders {
    /// Reads the annotations of an input schema.
    ///
    /// # Errors
    /// The reason for which the specification makes a client leave the tool out.
    pub fn read(input_schema: &str) -> Result<Self, String> {
        if !holds_annotation(input_schema.as_bytes()) {
            return Ok(Self::default());
        }
        let schema: Value = serde_json::from_str(input_schema)
            .map_err(|failure| format!("its inputSchema cannot be read: {failure}"))?;
        let Value::Object(schema) = schema else {
            return Ok(Self::default());
        };
        if schema.contains_key(ANNOTATION) {
            return Err(format!(
                "{ANNOTATION} stands at the root of the inputSchema; it may stand on a property only"
            ));
        }
        let mut walk = Walk::default();
        let root = walk.chain(&schema)?;
        Ok(Self { root })
    }

    /// Whether no argument goes into a header.
    pub fn is_empty(&self) -> bool {
        self.root.0.is_empty()
    }

    /// The headers of a call; `arguments` is the JSON object that is sent. What is absent or null,
    /// and what is no text, number or boolean, has none.
    pub fn of_call(&self, arguments: &str) -> Headers {
        let mut headers = Vec::new();
        self.root.collect(arguments, &mut headers);
        headers
    }
}

impl Properties {
    fn collect(&self, object: &str, headers: &mut Headers) {
        if self.0.is_empty() {
            return;
        }
        let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(object) else {
            return;
        };
        for (name, property) in &self.0 {
            let Some(value) = members.get(name) else {
                continue;
            };
            if let Some(header) = &property.header
                && let Some(text) = as_text(value.get())
            {
                let mut value = encoded(&text);
                // An argument is the caller's: it is not for logs.
                value.set_sensitive(true);
                headers.push((header.clone(), value));
            }
            property.properties.collect(value.get(), headers);
        }
    }
}

fn as_text(value: &str) -> Option<String> {
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b't' | b'f' => Some(value.to_owned()),
        b'-' | b'0'..=b'9' => Some(decimal(value)),
        _ => None,
    }
}

/// An integer in its shortest decimal form, however it is written; any other number as it stands.
fn decimal(number: &str) -> String {
    if !number.contains(['.', 'e', 'E']) {
        return number.to_owned();
    }
    match number.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() <= LARGEST_SAFE_INTEGER => {
            // Zero has a sign in floating point alone.
            format!("{:.0}", value + 0.0)
        }
        _ => number.to_owned(),
    }
}

/// One pass over an input schema; knows the headers that were taken so far.
#[derive(Default)]
struct Walk {
    /// Name in lower case, and the property that has it.
    taken: HashMap<String, String>,
    path: Vec<String>,
}

impl Walk {
    /// A schema that is reached from the root through `properties` alone.
    fn chain(&mut self, schema: &Map<String, Value>) -> Result<Properties, String> {
        let mut found = Vec::new();
        for (keyword, value) in schema {
            match (keyword.as_str(), value) {
                (ANNOTATION, _) => {}
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        let Value::Object(property) = property else {
                            continue;
                        };
                        self.path.push(name.clone());
                        let header = self.header(property)?;
                        let properties = self.chain(property)?;
                        self.path.pop();
                        if header.is_some() || !properties.0.is_empty() {
                            found.push((name.clone(), Property { header, properties }));
                        }
                    }
                }
                _ => self.refuse_elsewhere(keyword, value)?,
            }
        }
        Ok(Properties(found))
    }

    fn here(&self) -> String {
        self.path.join(".")
    }

    fn header(&mut self, property: &Map<String, Value>) -> Result<Option<HeaderName>, String> {
        let Some(annotation) = property.get(ANNOTATION) else {
            return Ok(None);
        };
        let here = self.here();
        let Value::String(name) = annotation else {
            return Err(format!(
                "the {ANNOTATION} of property `{here}` is {annotation}, which is no text"
            ));
        };
        if name.is_empty() {
            return Err(format!("the {ANNOTATION} of property `{here}` is empty"));
        }
        let refused = name.chars().find(|&character| !is_token(character));
        if let Some(character) = refused {
            return Err(format!(
                "the {ANNOTATION} of property `{here}` is {name:?}; {character:?} may not stand in \
                 the name of a header, which takes ASCII letters, digits and !#$%&'*+-.^_`|~"
            ));
        }
        match property.get("type") {
            Some(Value::String(kind)) if matches!(&**kind, "string" | "integer" | "boolean") => {}
            found => {
                let found = found.map_or("no type".to_owned(), |found| format!("the type {found}"));
                return Err(format!(
                    "property `{here}` with {ANNOTATION} {name:?} has {found}; it takes \"string\", \
                     \"integer\" or \"boolean\""
                ));
            }
        }
        if let Some(other) = self.taken.insert(name.to_ascii_lowercase(), here.clone()) {
            return Err(format!(
                "the {ANNOTATION} {name:?} of property `{here}` is that of property `{other}` too; \
                 upper and lower case are the same"
            ));
        }
        let full = format!("{PARAMETER_PREFIX}{name}");
        HeaderName::try_from(full).map(Some).map_err(|_| {
            format!(
                "the {ANNOTATION} of property `{here}` is too long ({} characters)",
                name.len()
            )
        })
    }

    /// Below any other keyword no annotation may stand.
    fn refuse_elsewhere(&self, keyword: &str, value: &Value) -> Result<(), String> {
        match keyword {
            // Values and names of properties, not schemas.
            "default" | "const" | "enum" | "examples" | "required" | "dependentRequired" => Ok(()),
            // Maps, whose keys are not keywords.
            "properties" | "$defs" | "definitions" | "dependencies" | "dependentSchemas"
            | "patternProperties" => match value {
                Value::Object(map) => map
                    .values()
                    .try_for_each(|schema| self.refuse_in(keyword, schema)),
                _ => Ok(()),
            },
            _ => self.refuse_in(keyword, value),
        }
    }

    fn refuse_in(&self, keyword: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Object(schema) if schema.contains_key(ANNOTATION) => {
                let at = if self.path.is_empty() {
                    "the inputSchema".to_owned()
                } else {
                    format!("property `{}`", self.here())
                };
                Err(format!(
                    "an {ANNOTATION} stands below {keyword:?} of {at}; it may stand on a property \
                     only that is reached through \"properties\" alone"
                ))
            }
            Value::Object(schema) => schema
                .iter()
                .try_for_each(|(keyword, value)| self.refuse_elsewhere(keyword, value)),
            Value::Array(schemas) => schemas
                .iter()
                .try_for_each(|schema| self.refuse_in(keyword, schema)),
            _ => Ok(()),
        }
    }
}

/// RFC 9110, `tchar`.
fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

pub(super) fn holds_annotation(text: &[u8]) -> bool {
    memmem::find(text, ANNOTATION.as_bytes()).is_some()
}

/// A tool that was left out of a page, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name; empty where it has none.
    pub tool: String,
    /// A sentence part.
    pub reason: String,
}

/// Takes the tools whose annotations are invalid out of a result of `tools/list`. Every other byte
/// stays, and a page that names no annotation is the very same text.
pub fn screen(page: RawJson) -> (RawJson, Vec<Dropped>) {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        tools: Vec<&'a RawValue>,
    }
    if !holds_annotation(page.as_bytes()) {
        return (page, Vec::new());
    }
    let Ok(Page { tools }) = serde_json::from_slice(page.as_bytes()) else {
        return (page, Vec::new());
    };
    let verdicts: Vec<Option<Dropped>> = tools.iter().map(|tool| verdict(tool.get())).collect();
    if verdicts.iter().all(Option::is_none) {
        return (page, Vec::new());
    }
    let text = page.as_bytes();
    let start_of = |tool: &RawValue| tool.get().as_ptr() as usize - text.as_ptr() as usize;
    let mut kept = Vec::with_capacity(text.len());
    // Up to the first tool, then each tool with what stands before it, then what follows the last.
    let mut end_of_previous = tools.first().map_or(0, |tool| start_of(tool));
    kept.extend_from_slice(&text[..end_of_previous]);
    let mut is_first = true;
    for (tool, verdict) in tools.iter().zip(&verdicts) {
        let start = start_of(tool);
        let end = start + tool.get().len();
        if verdict.is_none() {
            if !is_first {
                kept.extend_from_slice(&text[end_of_previous..start]);
            }
            kept.extend_from_slice(&text[start..end]);
            is_first = false;
        }
        end_of_previous = end;
    }
    kept.extend_from_slice(&text[end_of_previous..]);
    let dropped = verdicts.into_iter().flatten().collect();
    (RawJson::trusted(kept), dropped)
}

fn verdict(tool: &str) -> Option<Dropped> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tool<'a> {
        #[serde(default)]
        name: String,
        #[serde(borrow, default)]
        input_schema: Option<&'a RawValue>,
    }
    if !holds_annotation(tool.as_bytes()) {
        return None;
    }
    let tool: Tool<'_> = serde_json::from_str(tool).ok()?;
    let reason = ParameterHeaders::read(tool.input_schema?.get()).err()?;
    Some(Dropped {
        tool: tool.name,
        reason,
    })
}
