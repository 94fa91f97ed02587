//! Tool definitions: what a provider is told about an MCP tool. Owns [`Format`] and [`transform`].

use crate::error::{Error, ErrorKind};
use crate::tools::tree::{Kind, Tree};

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

/// Describes an MCP tool to a provider.
///
/// `tool` is the object of `tools/list` (MCP specification, `Tool`). Its schema is passed on whole:
/// what the provider demands at the root is added when it is missing, and nothing is taken away.
///
/// # Errors
/// The tool is no object, has no name, or its `inputSchema` is something else than an object.
pub fn transform<T: Tree>(tool: &T, format: Format) -> Result<T, Error> {
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
    let description = match tool.member("description")? {
        Some(description) if description.kind() != Kind::Null => description,
        _ => tool.text(""),
    };
    let schema = schema_of(tool, &name)?;
    let mut described = tool.empty_object();
    match format {
        Format::OpenAi => {
            let mut function = tool.empty_object();
            function.set("name", name)?;
            function.set("description", description)?;
            function.set("parameters", completed_for_openai(schema)?)?;
            function.set("strict", tool.boolean(false))?;
            described.set("type", tool.text("function"))?;
            described.set("function", function)?;
        }
        Format::OpenAiResponses => {
            described.set("name", name)?;
            described.set("parameters", completed_for_openai(schema)?)?;
            described.set("strict", tool.boolean(false))?;
            described.set("type", tool.text("function"))?;
            described.set("description", description)?;
        }
        Format::Anthropic => {
            described.set("name", name)?;
            described.set("description", description)?;
            described.set("input_schema", completed_for_anthropic(schema)?)?;
            described.set("type", tool.text("custom"))?;
        }
    }
    Ok(described)
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

/// OpenAI refuses parameters without a type or without properties; `additionalProperties` keeps
/// models from inventing arguments. What the server says about any of them stands.
fn completed_for_openai<T: Tree>(mut schema: T) -> Result<T, Error> {
    if schema.member("type")?.is_none() {
        let object = schema.text("object");
        schema.set("type", object)?;
    }
    if schema.member("properties")?.is_none() {
        let none = schema.empty_object();
        schema.set("properties", none)?;
    }
    if schema.member("additionalProperties")?.is_none() {
        let refused = schema.boolean(false);
        schema.set("additionalProperties", refused)?;
    }
    Ok(schema)
}

/// Anthropic takes no other type at the root than `object`.
fn completed_for_anthropic<T: Tree>(mut schema: T) -> Result<T, Error> {
    let is_object = match schema.member("type")? {
        Some(kind) => kind.as_text()?.as_deref() == Some("object"),
        None => false,
    };
    if !is_object {
        let object = schema.text("object");
        schema.set("type", object)?;
    }
    if schema.member("properties")?.is_none() {
        let none = schema.empty_object();
        schema.set("properties", none)?;
    }
    Ok(schema)
}

fn unusable(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
