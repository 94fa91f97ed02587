//! Tool definitions: what a provider is told about an MCP tool. Owns [`Format`] and [`describe`].

use crate::error::{Error, ErrorKind};
use crate::schema::{Change, Kind, Target, Tree, is_plain, lower};

/// The shape of a tool in the request of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Chat completions: `{"type": "function", "function": {…}}`.
    OpenAi,
    /// The Responses API: the same, flat.
    OpenAiResponses,
    /// The Messages API of Anthropic: `{"name", "description", "input_schema", "type": "custom"}`.
    Anthropic,
}

impl Format {
    /// Whose words schemas have in this format.
    pub fn target(self, is_strict: bool) -> Target {
        match self {
            Self::OpenAi | Self::OpenAiResponses if is_strict => Target::OpenAiStrict,
            Self::OpenAi => Target::OpenAi,
            Self::OpenAiResponses => Target::OpenAiResponses,
            Self::Anthropic => Target::Anthropic,
        }
    }

    /// The format by its name: `openai`, `openai_responses` or `anthropic`.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "openai" => Ok(Self::OpenAi),
            "openai_responses" => Ok(Self::OpenAiResponses),
            "anthropic" => Ok(Self::Anthropic),
            other => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "format is {other:?}; it takes \"openai\", \"openai_responses\" or \"anthropic\""
                ),
            )),
        }
    }
}

/// A tool as a provider is told of it.
#[derive(Debug)]
pub struct Described<T> {
    /// The tool.
    pub tool: T,
    /// What about its schema is not as the server wrote it.
    pub changes: Vec<Change>,
}

/// Describes an MCP tool to a provider.
///
/// `tool` is the object of `tools/list` (MCP specification, `Tool`). A schema that the provider takes is
/// passed on whole; of another one the provider gets what it can read, and the description says the
/// rest ([`lower`]). `is_strict` asks for OpenAI's strict mode, where the schema can have it; what a model
/// sends is then read by [`InputSchema`](crate::tools::InputSchema).
///
/// # Errors
/// The tool is no object, has no name, or its `inputSchema` is something else than an object.
pub fn describe<T: Tree>(tool: &T, format: Format, is_strict: bool) -> Result<Described<T>, Error> {
    if tool.kind() != Kind::Object {
        return Err(unusable(format!(
            "a tool is an object, not {}",
            tool.kind()
        )));
    }
    let name = match tool.member("name")? {
        Some(name) if name.kind() == Kind::Text => name,
        Some(name) => {
            return Err(unusable(format!(
                "the name of a tool is a text, not {}",
                name.kind()
            )));
        }
        None => return Err(unusable("a tool has no name".to_owned())),
    };
    let mut description = match tool.member("description")? {
        Some(description) if description.kind() != Kind::Null => description,
        _ => tool.text(""),
    };
    let mut schema = schema_of(tool, &name)?;
    let target = format.target(is_strict);
    let mut is_strict = false;
    let mut changes = Vec::new();
    if !is_plain(&schema, target) {
        let lowered = lower(&schema.to_json()?, target);
        is_strict = lowered.target == Target::OpenAiStrict;
        if lowered.is_changed() {
            schema = schema.of_json(lowered.schema)?;
        }
        if !lowered.remarks.is_empty() {
            let said = description.as_text()?.unwrap_or_default().into_owned();
            description = tool.text(&with_remarks(said, &lowered.remarks));
        }
        changes = lowered.changes;
    }
    if format != Format::Anthropic {
        schema = closed(schema)?;
    }
    let mut described = tool.empty_object();
    match format {
        Format::OpenAi => {
            let mut function = tool.empty_object();
            function.set("name", name)?;
            function.set("description", description)?;
            function.set("parameters", schema)?;
            function.set("strict", tool.boolean(is_strict))?;
            described.set("type", tool.text("function"))?;
            described.set("function", function)?;
        }
        Format::OpenAiResponses => {
            described.set("name", name)?;
            described.set("parameters", schema)?;
            described.set("strict", tool.boolean(is_strict))?;
            described.set("type", tool.text("function"))?;
            described.set("description", description)?;
        }
        Format::Anthropic => {
            described.set("name", name)?;
            described.set("description", description)?;
            described.set("input_schema", schema)?;
            described.set("type", tool.text("custom"))?;
        }
    }
    Ok(Described {
        tool: described,
        changes,
    })
}

/// A description with what the root of a schema could not say.
pub fn with_remarks(mut description: String, remarks: &str) -> String {
    if !description.is_empty() && !remarks.is_empty() {
        description.push_str("\n\n");
    }
    description + remarks
}

fn schema_of<T: Tree>(tool: &T, name: &T) -> Result<T, Error> {
    match tool.member("inputSchema")? {
        None => Ok(tool.empty_object()),
        Some(schema) => match schema.kind() {
            Kind::Null => Ok(tool.empty_object()),
            Kind::Object => schema.detached(),
            other => Err(unusable(format!(
                "the inputSchema of the tool {:?} is {other}; a JSON Schema object is needed",
                name.as_text()?.unwrap_or_default()
            ))),
        },
    }
}

/// `additionalProperties` keeps models from inventing arguments. What the server says about them
/// stands.
fn closed<T: Tree>(mut schema: T) -> Result<T, Error> {
    if schema.member("additionalProperties")?.is_none() {
        let refused = schema.boolean(false);
        schema.set("additionalProperties", refused)?;
    }
    Ok(schema)
}

fn unusable(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
