//! A chat completion request, read for conversion: messages, tools and the format of the answer are
//! typed, every other parameter waits in `parameters` until a conversion takes it by name.
//! Follows OpenAI's chat completion API, and LiteLLM where it adds to it (`thinking_blocks`,
//! `reasoning_content`, `cache_control`).

use serde_json::{Map, Value, json};

use super::content::{self, Part, PartKind};
use super::fields::{Fields, Unusable};
use crate::schema::{Target, lower};
use crate::tools::with_remarks;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions; `developer` is the newer name of the same.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call; `function` is the older name of the same.
    Tool,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<Part>,
    /// The name of who speaks; of a tool result, the tool's.
    pub name: Option<String>,
    /// The calls that the model asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Which call this is the result of.
    pub tool_call_id: Option<String>,
    /// Reasoning of an earlier turn, as text.
    pub reasoning_content: Option<String>,
    /// The same as blocks with their signatures, as the provider wrote them.
    pub thinking_blocks: Vec<Value>,
    /// A marker for prompt caching of the whole message.
    pub cache_control: Option<Value>,
    /// Fields that nobody here knows.
    pub rest: Map<String, Value>,
    /// Where it stands, as in `messages[2]`.
    pub place: String,
}

/// A call that a model asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Its id.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON text.
    pub arguments: String,
    /// A marker for prompt caching.
    pub cache_control: Option<Value>,
    /// What its provider said beside it (`provider_specific_fields`).
    pub provider_specific_fields: Option<Value>,
    /// Where it stands.
    pub place: String,
}

impl ToolCall {
    /// The arguments as an object; no text is an empty one.
    pub fn arguments_object(&self) -> Result<Map<String, Value>, Unusable> {
        if self.arguments.trim().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(&self.arguments) {
            Ok(Value::Object(members)) => Ok(members),
            _ => Err(Unusable::new(
                format!("{}.function.arguments", self.place),
                "is not the text of a JSON object",
            )),
        }
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// A function.
    Function(Box<Function>),
    /// A tool of the provider's own, as it is written there.
    Other(Map<String, Value>),
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON Schema of its arguments.
    pub parameters: Option<Map<String, Value>>,
    /// Whether the arguments have to fit the schema exactly.
    pub strict: Option<bool>,
    /// A marker for prompt caching.
    pub cache_control: Option<Value>,
    /// Fields of the tool that nobody here knows.
    pub rest: Map<String, Value>,
    /// Where it stands.
    pub place: String,
}

impl Function {
    /// Takes the schema, in the words of a provider; that of no arguments where there is none. What
    /// these words cannot say is in the description then.
    pub fn take_schema(&mut self, target: Target) -> Map<String, Value> {
        let mut schema = self.parameters.take().unwrap_or_default();
        schema.entry("type").or_insert_with(|| json!("object"));
        schema.entry("properties").or_insert_with(|| json!({}));
        let lowered = lower(&Value::Object(schema), target);
        if !lowered.remarks.is_empty() {
            let said = self.description.take().unwrap_or_default();
            self.description = Some(with_remarks(said, &lowered.remarks));
        }
        match lowered.schema {
            Value::Object(schema) => schema,
            // What is lowered is an object.
            _ => Map::new(),
        }
    }
}

/// Which tool the model has to call.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice {
    /// Any or none.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Function(String),
    /// Of these (`allowed_tools`), and whether at least one.
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// At least one.
        is_required: bool,
    },
    /// A choice that is not known here.
    Other(Value),
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Text.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The name of the schema.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Map<String, Value>,
        /// Whether it has to fit exactly.
        strict: Option<bool>,
    },
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model by the name that its provider knows.
    pub model: String,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the stream ends with what it took.
    pub include_usage: bool,
    /// The conversation.
    pub messages: Vec<Message>,
    /// The tools.
    pub tools: Vec<Tool>,
    /// Which of them.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may be asked for at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormat>,
    /// Every other parameter, by name.
    pub parameters: Fields,
}

impl ChatRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Something that a conversion has to look into has a form that OpenAI's API does not have.
    pub fn read(body: Map<String, Value>) -> Result<Self, Unusable> {
        let mut fields = Fields::root(body);
        let model = fields.text("model")?.unwrap_or_default();
        let stream = fields.boolean("stream")?.unwrap_or_default();
        let include_usage = match fields.object("stream_options")? {
            Some(mut options) => options.boolean("include_usage")?.unwrap_or_default(),
            None => false,
        };
        let messages = fields
            .list("messages")?
            .into_iter()
            .enumerate()
            .map(|(index, message)| read_message(message, format!("messages[{index}]")))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tools = fields
            .list("tools")?
            .into_iter()
            .enumerate()
            .map(|(index, tool)| read_tool(tool, format!("tools[{index}]")))
            .collect::<Result<Vec<_>, _>>()?;
        for (index, function) in fields.list("functions")?.into_iter().enumerate() {
            let place = format!("functions[{index}]");
            tools.push(Tool::Function(read_function(
                Fields::new(function, place, "an object with a \"name\"")?,
                Map::new(),
                None,
            )?));
        }
        let tool_choice = match fields.take("tool_choice") {
            Some(choice) => Some(read_tool_choice(choice, "tool_choice")?),
            None => fields
                .take("function_call")
                .map(|choice| read_tool_choice(choice, "function_call"))
                .transpose()?,
        };
        let parallel_tool_calls = fields.boolean("parallel_tool_calls")?;
        let response_format = fields
            .take("response_format")
            .map(read_response_format)
            .transpose()?;
        Ok(Self {
            model,
            stream,
            include_usage,
            messages,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            parameters: fields,
        })
    }

    /// The functions among the tools.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.tools.iter().filter_map(|tool| match tool {
            Tool::Function(function) => Some(function.as_ref()),
            Tool::Other(_) => None,
        })
    }

    /// The instructions, taken out of the conversation.
    pub fn take_system(&mut self) -> Vec<Message> {
        let (system, others) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|message| message.role == Role::System);
        self.messages = others;
        system
    }

    /// The limit of the answer in tokens, under either of its names; the newer one wins.
    pub fn take_max_tokens(&mut self) -> Result<Option<u64>, Unusable> {
        let older = self.parameters.count("max_tokens")?;
        let newer = self.parameters.count("max_completion_tokens")?;
        Ok(newer.or(older))
    }

    /// How much the model is to think; the Responses API has an object for it.
    pub fn take_effort(&mut self) -> Result<Option<String>, Unusable> {
        match self.parameters.take("reasoning_effort") {
            None => Ok(None),
            Some(Value::String(effort)) => Ok(Some(effort)),
            Some(Value::Object(members)) => Ok(members
                .get("effort")
                .and_then(Value::as_str)
                .map(str::to_owned)),
            Some(other) => Err(Unusable::wrong("reasoning_effort", "a text", &other)),
        }
    }

    /// The texts that end the answer.
    pub fn take_stop(&mut self) -> Result<Vec<String>, Unusable> {
        match self.parameters.take("stop") {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(texts)) => texts
                .into_iter()
                .enumerate()
                .map(|(index, text)| match text {
                    Value::String(text) => Ok(text),
                    other => Err(Unusable::wrong(format!("stop[{index}]"), "a text", &other)),
                })
                .collect(),
            Some(other) => Err(Unusable::wrong("stop", "a text or a list of texts", &other)),
        }
    }

    /// Fails where a tool result answers no call of an assistant message before it, for providers
    /// that refuse such a conversation.
    pub fn check_tool_results(&self) -> Result<(), Unusable> {
        let mut open: Vec<&str> = Vec::new();
        for message in &self.messages {
            open.extend(message.tool_calls.iter().map(|call| call.id.as_str()));
            if message.role != Role::Tool {
                continue;
            }
            match &message.tool_call_id {
                Some(id) if open.contains(&id.as_str()) => {}
                Some(id) => {
                    return Err(Unusable::new(
                        &message.place,
                        format!(
                            "is the result of the tool call {id:?}, which no assistant message before it \
                             asks for in its tool_calls"
                        ),
                    ));
                }
                None => {
                    return Err(Unusable::new(
                        &message.place,
                        "has no tool_call_id, so it is the result of no call",
                    ));
                }
            }
        }
        Ok(())
    }
}

fn read_message(message: Value, place: String) -> Result<Message, Unusable> {
    let mut fields = Fields::new(message, place.clone(), "an object with a \"role\"")?;
    let name = fields.needed_text("role")?;
    let role = match name.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            return Err(Unusable::new(
                format!("{place}.role"),
                format!(
                    "is {other:?}; it takes system, developer, user, assistant, tool or function"
                ),
            ));
        }
    };
    let mut content = content::read(fields.take("content"), &fields.place_of("content"))?;
    if let Some(refusal) = fields.text("refusal")? {
        content.push(Part {
            kind: PartKind::Refusal(refusal),
            ..Part::text("", fields.place_of("refusal"))
        });
    }
    // Sound is taken back by those alone that made it, if at all: for all others it is its words.
    if content.iter().all(|part| part.as_text() == Some(""))
        && let Some(Value::String(transcript)) = fields
            .get("audio")
            .and_then(|audio| audio.get("transcript"))
        && !transcript.is_empty()
    {
        content = vec![Part::text(transcript, fields.place_of("audio.transcript"))];
    }
    let calls_place = fields.place_of("tool_calls");
    let mut tool_calls = fields
        .list("tool_calls")?
        .into_iter()
        .enumerate()
        .map(|(index, call)| read_tool_call(call, format!("{calls_place}[{index}]")))
        .collect::<Result<Vec<_>, _>>()?;
    let sender = fields.text("name")?;
    let mut tool_call_id = fields.text("tool_call_id")?;
    // The older form has no ids: the name of the function stands for the one call of its message.
    if let Some(call) = fields.take("function_call") {
        let place = fields.place_of("function_call");
        let mut call = Fields::new(call, place.clone(), "an object with a \"name\"")?;
        let name = call.needed_text("name")?;
        tool_calls.push(ToolCall {
            id: name.clone(),
            name,
            arguments: call.text("arguments")?.unwrap_or_default(),
            cache_control: None,
            provider_specific_fields: None,
            place,
        });
    }
    if name == "function" && tool_call_id.is_none() {
        tool_call_id.clone_from(&sender);
    }
    let reasoning_content = fields.text("reasoning_content")?;
    let thinking_blocks = fields.list("thinking_blocks")?;
    let cache_control = fields.take("cache_control");
    Ok(Message {
        role,
        content,
        name: sender,
        tool_calls,
        tool_call_id,
        reasoning_content,
        thinking_blocks,
        cache_control,
        rest: fields.rest(),
        place,
    })
}

fn read_tool_call(call: Value, place: String) -> Result<ToolCall, Unusable> {
    let mut fields = Fields::new(call, place.clone(), "an object with a \"function\"")?;
    let id = fields.text("id")?.unwrap_or_default();
    let Some(mut function) = fields.object("function")? else {
        return Err(Unusable::new(
            place,
            "has no \"function\", which is an object with \"name\" and \"arguments\"",
        ));
    };
    let arguments = match function.take("arguments") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(object @ Value::Object(_)) => object.to_string(),
        Some(other) => {
            let place = function.place_of("arguments");
            return Err(Unusable::wrong(place, "the text of a JSON object", &other));
        }
    };
    Ok(ToolCall {
        id,
        name: function.needed_text("name")?,
        arguments,
        cache_control: fields.take("cache_control"),
        provider_specific_fields: fields.take("provider_specific_fields"),
        place,
    })
}

fn read_tool(tool: Value, place: String) -> Result<Tool, Unusable> {
    let mut fields = Fields::new(tool, place, "an object with a \"type\"")?;
    let is_function = match fields.get("type") {
        None => fields.has("function"),
        Some(Value::String(name)) => name == "function",
        Some(other) => return Err(Unusable::wrong(fields.place_of("type"), "a text", other)),
    };
    if !is_function {
        return Ok(Tool::Other(fields.rest()));
    }
    fields.take("type");
    let cache_control = fields.take("cache_control");
    if !fields.has("function") && fields.has("name") {
        // Flat, as the Responses API has it.
        return Ok(Tool::Function(read_function(
            fields,
            Map::new(),
            cache_control,
        )?));
    }
    let Some(function) = fields.object("function")? else {
        return Err(Unusable::new(
            fields.place(),
            "has no \"function\", which is an object with \"name\", \"description\" and \"parameters\"",
        ));
    };
    Ok(Tool::Function(read_function(
        function,
        fields.rest(),
        cache_control,
    )?))
}

fn read_function(
    mut fields: Fields,
    mut rest: Map<String, Value>,
    cache_control: Option<Value>,
) -> Result<Box<Function>, Unusable> {
    let place = fields.place().to_owned();
    let name = fields.needed_text("name")?;
    let description = fields.text("description")?;
    let parameters = match fields.take("parameters") {
        None => None,
        Some(Value::Object(schema)) => Some(schema),
        Some(other) => {
            let place = fields.place_of("parameters");
            return Err(Unusable::wrong(place, "a JSON Schema, an object", &other));
        }
    };
    let strict = fields.boolean("strict")?;
    let cache_control = fields.take("cache_control").or(cache_control);
    rest.extend(fields.rest());
    Ok(Box::new(Function {
        name,
        description,
        parameters,
        strict,
        cache_control,
        rest,
        place,
    }))
}

fn read_tool_choice(choice: Value, place: &str) -> Result<ToolChoice, Unusable> {
    match choice {
        Value::String(name) => match name.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            other => Err(Unusable::new(
                place,
                format!(
                    "is {other:?}; it takes \"auto\", \"none\", \"required\" or {{\"type\": \"function\", \
                     \"function\": {{\"name\": …}}}}"
                ),
            )),
        },
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            let name = members
                .get("function")
                .unwrap_or(&Value::Null)
                .get("name")
                .or_else(|| members.get("name"))
                .and_then(Value::as_str);
            match (kind, name) {
                (Some("function" | "tool") | None, Some(name)) => {
                    Ok(ToolChoice::Function(name.to_owned()))
                }
                (Some("auto"), _) => Ok(ToolChoice::Auto),
                (Some("none"), _) => Ok(ToolChoice::None),
                (Some("any" | "required"), _) => Ok(ToolChoice::Required),
                (Some("function"), None) => Err(Unusable::new(
                    place,
                    "names no function: it has no function.name",
                )),
                (Some("allowed_tools"), _) => Ok(allowed(&members)),
                _ => Ok(ToolChoice::Other(Value::Object(members))),
            }
        }
        other => Err(Unusable::wrong(place, "a text or an object", &other)),
    }
}

fn allowed(members: &Map<String, Value>) -> ToolChoice {
    let inside = members
        .get("allowed_tools")
        .and_then(Value::as_object)
        .unwrap_or(members);
    let names = inside
        .get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| {
            let function = tool.get("function").unwrap_or(tool);
            function.get("name")?.as_str().map(str::to_owned)
        })
        .collect();
    ToolChoice::Allowed {
        names,
        is_required: inside.get("mode").and_then(Value::as_str) == Some("required"),
    }
}

fn read_response_format(format: Value) -> Result<ResponseFormat, Unusable> {
    const PLACE: &str = "response_format";
    let mut fields = Fields::new(format, PLACE, "an object with a \"type\"")?;
    match fields.needed_text("type")?.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => match fields.take("response_schema") {
            // LiteLLM's older spelling.
            Some(Value::Object(schema)) => Ok(ResponseFormat::JsonSchema {
                name: "response".to_owned(),
                description: None,
                schema,
                strict: None,
            }),
            _ => Ok(ResponseFormat::JsonObject),
        },
        "json_schema" => {
            let Some(mut inside) = fields.object("json_schema")? else {
                return Err(Unusable::new(
                    PLACE,
                    "has no \"json_schema\", which is an object with \"name\" and \"schema\"",
                ));
            };
            let schema = match inside.take("schema") {
                Some(Value::Object(schema)) => schema,
                Some(other) => {
                    let place = inside.place_of("schema");
                    return Err(Unusable::wrong(place, "a JSON Schema, an object", &other));
                }
                None => Map::new(),
            };
            Ok(ResponseFormat::JsonSchema {
                name: inside
                    .text("name")?
                    .unwrap_or_else(|| "response".to_owned()),
                description: inside.text("description")?,
                schema,
                strict: inside.boolean("strict")?,
            })
        }
        other => Err(Unusable::new(
            format!("{PLACE}.type"),
            format!("is {other:?}; it takes \"text\", \"json_object\" or \"json_schema\""),
        )),
    }
}
