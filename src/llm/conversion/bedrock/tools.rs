//! The tools, and which of them the model has to call.

use serde_json::{Map, Value, json};

use super::block::cache_point;
use super::model::{Family, has_structured_outputs};
use super::request::leave;
use crate::llm::conversion::stand_in::{Choice, close_objects};
use crate::llm::types::chat::{ChatRequest, Function, Message, Tool};
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// The tools that a conversation has called, each once.
pub(super) fn names_called(messages: &[Message]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for call in messages.iter().flat_map(|message| &message.tool_calls) {
        if !names.contains(&call.name) {
            names.push(call.name.clone());
        }
    }
    names
}

/// `toolConfig` as it is put together.
#[derive(Debug)]
pub(super) struct Config {
    family: Family,
    tools: Vec<Value>,
    choice: Option<Value>,
    is_forbidden: bool,
}

impl Config {
    /// Takes the tools out of a request.
    pub(super) fn new(
        request: &mut ChatRequest,
        additional: &mut Map<String, Value>,
    ) -> Result<Self, Unusable> {
        let family = Family::of(&request.model);
        let is_strict = has_structured_outputs(&request.model);
        let choice = Choice::take(request);
        let mut tools = Vec::new();
        let mut foreign = Vec::new();
        for tool in std::mem::take(&mut request.tools) {
            match tool {
                Tool::Function(function) => described(*function, family, is_strict, &mut tools),
                Tool::Other(members) => own_tool(members, family, &mut tools, &mut foreign)?,
            }
        }
        if family == Family::Nova && request.parameters.take("web_search_options").is_some() {
            tools.push(json!({ "systemTool": { "name": "nova_grounding" } }));
        }
        let mut config = Self {
            family,
            tools,
            choice: None,
            is_forbidden: false,
        };
        config.choose(choice);
        if request.parallel_tool_calls.take() == Some(false)
            && !(config.tools.is_empty() && foreign.is_empty())
        {
            config.one_at_a_time(request, additional);
        }
        if !foreign.is_empty() {
            additional.insert("tools".to_owned(), Value::Array(foreign));
        }
        Ok(config)
    }

    fn choose(&mut self, choice: Option<Choice>) {
        self.choice = match choice {
            None => None,
            Some(Choice::Auto) => Some(json!({ "auto": {} })),
            Some(Choice::Required) => Some(json!({ "any": {} })),
            Some(Choice::Function(name)) => Some(json!({ "tool": { "name": name } })),
            Some(Choice::None) => {
                self.is_forbidden = true;
                None
            }
            Some(Choice::Other(choice)) => Some(choice),
        };
    }

    /// One call at a time: Claude has a word for it, the service and the others have none.
    fn one_at_a_time(&self, request: &mut ChatRequest, additional: &mut Map<String, Value>) {
        if self.is_forbidden {
            return;
        }
        if self.family != Family::Claude {
            leave(request, "parallel_tool_calls", Value::Bool(false));
            return;
        }
        let choice = self.choice.as_ref().and_then(Value::as_object);
        let mut own = match choice.and_then(|choice| choice.iter().next()) {
            Some((kind, _)) if kind == "any" => json!({ "type": "any" }),
            Some((kind, tool)) if kind == "tool" => {
                json!({ "type": "tool", "name": tool["name"] })
            }
            _ => json!({ "type": "auto" }),
        };
        own["disable_parallel_tool_use"] = Value::Bool(true);
        additional.insert("tool_choice".to_owned(), own);
    }

    /// Adds the tool that stands for a JSON answer.
    pub(super) fn add_json_tool(
        &mut self,
        name: &str,
        description: &str,
        schema: &Value,
        is_thinking: bool,
    ) {
        // What must not be called is no tool beside it.
        if std::mem::take(&mut self.is_forbidden) {
            self.tools.clear();
        }
        self.tools.push(json!({ "toolSpec": {
            "name": name,
            "description": description,
            "inputSchema": { "json": schema },
        } }));
        // With other tools the model may need those first; while it thinks it cannot be forced.
        if self.tools.len() == 1 && !is_thinking {
            if self.family.can_force_a_tool() {
                self.choice = Some(json!({ "tool": { "name": name } }));
            } else if self.family.can_force_tools() {
                self.choice = Some(json!({ "any": {} }));
            }
        }
    }

    /// The member of the body, where there is something to say. A conversation with calls needs tools,
    /// even if none may be called any more: the service refuses it otherwise.
    pub(super) fn convert(mut self, history: Vec<String>) -> Option<Value> {
        if history.is_empty() && (self.is_forbidden || self.tools.is_empty()) {
            return None;
        }
        if self.tools.is_empty() {
            self.choice = None;
            self.tools = history
                .into_iter()
                .map(|name| {
                    json!({ "toolSpec": {
                        "name": name,
                        "inputSchema": { "json": { "type": "object", "properties": {} } },
                    } })
                })
                .collect();
        }
        let mut config = Map::new();
        config.insert("tools".to_owned(), Value::Array(self.tools));
        if let Some(choice) = self.choice {
            config.insert("toolChoice".to_owned(), choice);
        }
        Some(Value::Object(config))
    }
}

fn described(mut function: Function, family: Family, is_strict: bool, tools: &mut Vec<Value>) {
    let mut schema = function.take_schema(match family {
        Family::Nova => Target::BedrockNova,
        _ => Target::Bedrock,
    });
    let is_strict = is_strict && function.strict == Some(true);
    if is_strict {
        close_objects(&mut schema);
    }
    let mut tool = Map::new();
    tool.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description.filter(|text| !text.is_empty()) {
        tool.insert("description".to_owned(), Value::from(description));
    }
    tool.insert("inputSchema".to_owned(), json!({ "json": schema }));
    if is_strict {
        tool.insert("strict".to_owned(), Value::Bool(true));
    }
    tools.push(json!({ "toolSpec": tool }));
    tools.extend(function.cache_control.map(|marker| cache_point(&marker)));
}

/// A tool by the service's own words, or one that Anthropic defines, which Claude takes beside them.
fn own_tool(
    members: Map<String, Value>,
    family: Family,
    tools: &mut Vec<Value>,
    foreign: &mut Vec<Value>,
) -> Result<(), Unusable> {
    let is_own = ["toolSpec", "systemTool", "cachePoint"]
        .iter()
        .any(|name| members.contains_key(*name));
    if is_own {
        tools.push(Value::Object(members));
    } else if family == Family::Claude && members.contains_key("type") {
        foreign.push(Value::Object(members));
    } else {
        let kind = members.get("type").and_then(Value::as_str);
        return Err(Unusable::new(
            "tools",
            format!(
                "has a tool of the type {:?}, which this model does not take on Bedrock: it takes \
                 functions, and {{\"systemTool\": {{\"name\": …}}}}",
                kind.unwrap_or_default()
            ),
        ));
    }
    Ok(())
}
