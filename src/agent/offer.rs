//! Which tools a model is told of, and what it may send to them. Owns [`Offer`] and [`Choice`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::run::Settings;
use super::toolbox::Tool;
use super::{finding, results};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::json::RawJson;
use crate::schema::Schema;
use crate::tools::arguments::check;
use crate::tools::search::Index;
use crate::tools::{Format, describe};

/// Which of the tools are offered.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Names of tools or of servers; none offers all.
    pub names: Option<Vec<String>>,
    /// Tools of the caller's own, as in a chat completion request: their calls are the caller's.
    pub functions: Vec<Value>,
}

/// The tools of one round.
#[derive(Debug)]
pub struct Offer {
    /// The number of the list that it was made of.
    version: u64,
    tools: Vec<Arc<Offered>>,
    places: HashMap<String, usize>,
    functions: Vec<String>,
    built_in: Vec<(String, BuiltIn)>,
    index: Option<Index>,
    /// What stands in the request under `tools`.
    text: Vec<u8>,
    /// Those of them that are of servers.
    of_servers: RawJson,
}

/// What a run does by itself when a model calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// Finds tools by words.
    Search,
    /// Calls a tool by the name that was found.
    Call,
    /// Reads on in a result that was cut.
    ReadMore,
}

/// A tool of a server that is offered.
#[derive(Debug)]
pub struct Offered {
    /// The tool.
    pub tool: Tool,
    /// Its schema, where there is one that can be checked.
    schema: OnceLock<Option<Schema>>,
}

/// Whose a called name is.
#[derive(Debug)]
pub enum Owner<'a> {
    /// A tool of a server.
    Server(&'a Arc<Offered>),
    /// A function of the caller's.
    Caller,
    /// One of the run's own.
    BuiltIn(BuiltIn),
}

impl Offer {
    /// Chooses among these tools. Once a run goes on (`is_first` is false), what is chosen may be gone.
    ///
    /// # Errors
    /// A name stands for no tool and no server, a tool cannot be described, or a function of the
    /// caller's has the name of another tool.
    pub fn new(
        version: u64,
        tools: &[Tool],
        choice: &Choice,
        settings: &Settings,
        is_first: bool,
    ) -> Result<Self> {
        let mut offer = Self {
            version,
            tools: Vec::new(),
            places: HashMap::new(),
            functions: Vec::new(),
            built_in: Vec::new(),
            index: None,
            text: Vec::new(),
            of_servers: RawJson::trusted(&b"[]"[..]),
        };
        let mut definitions = Vec::new();
        for tool in chosen(tools, choice.names.as_deref(), is_first)? {
            let described = tool.described.to_value()?;
            definitions.push(describe(&described, Format::OpenAi, false)?.tool);
            offer.places.insert(tool.name.clone(), offer.tools.len());
            offer.tools.push(Arc::new(Offered {
                tool: tool.clone(),
                schema: OnceLock::new(),
            }));
        }
        offer.of_servers = RawJson::from_serialize(&definitions)?;
        if settings.search.is_on(definitions.len()) {
            offer.index = Some(Index::new(&definitions));
            definitions = offer.finding();
        }
        if settings.result_tokens.is_some() {
            definitions.push(results::read_more(
                &offer.build_in("read_more", BuiltIn::ReadMore),
            ));
        }
        for function in &choice.functions {
            if let Some(name) = function["function"]["name"].as_str() {
                let is_built_in = offer.built_in.iter().any(|(known, _)| known == name);
                if is_built_in || offer.places.contains_key(name) {
                    let message = format!(
                        "tools has a function {name:?}, and another tool has that name; rename the \
                         function"
                    );
                    return Err(Error::new(ErrorKind::Configuration, message));
                }
                offer.functions.push(name.to_owned());
            }
            definitions.push(function.clone());
        }
        offer.text = RawJson::from_serialize(&definitions)?.as_bytes().to_vec();
        Ok(offer)
    }

    /// The tools that stand for all others.
    fn finding(&mut self) -> Vec<Value> {
        let search = self.build_in("search_tools", BuiltIn::Search);
        let call = self.build_in("call_tool", BuiltIn::Call);
        vec![
            finding::search_tools(&search, &call, self.tools.len()),
            finding::call_tool(&call, &search),
        ]
    }

    /// Takes a name that no tool has.
    fn build_in(&mut self, name: &str, what: BuiltIn) -> String {
        let mut free = name.to_owned();
        while self.places.contains_key(&free) {
            free.push('_');
        }
        self.built_in.push((free.clone(), what));
        free
    }

    /// The name of one of the run's own tools.
    pub fn name_of(&self, what: BuiltIn) -> &str {
        let found = self.built_in.iter().find(|(_, known)| *known == what);
        found.map_or("", |(name, _)| name)
    }

    /// What a search finds, as a text for the model.
    ///
    /// # Errors
    /// What the model is told of arguments that are none.
    pub fn search(&self, arguments: &str) -> Result<String, String> {
        match &self.index {
            Some(index) => finding::found(index, &self.tools, arguments),
            None => Err("All tools are listed: there is nothing to search.".to_owned()),
        }
    }

    /// Whether it was made of the list with this number.
    pub fn is_of(&self, version: u64) -> bool {
        self.version == version
    }

    /// The tools as they stand in a request, a JSON array.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Those of them that are of servers.
    pub fn of_servers(&self) -> &RawJson {
        &self.of_servers
    }

    /// Whose a name is.
    ///
    /// # Errors
    /// What the model is told when nobody has it.
    pub fn owner(&self, name: &str) -> Result<Owner<'_>, String> {
        if let Some(place) = self.places.get(name) {
            return Ok(Owner::Server(&self.tools[*place]));
        }
        if self.functions.iter().any(|function| function == name) {
            return Ok(Owner::Caller);
        }
        if let Some((_, what)) = self.built_in.iter().find(|(known, _)| known == name) {
            return Ok(Owner::BuiltIn(*what));
        }
        // Models leave prefixes out: a name that one server alone has is clear all the same.
        let mut own = self
            .tools
            .iter()
            .filter(|offered| offered.tool.own_name.as_deref() == Some(name));
        if let (Some(only), None) = (own.next(), own.next()) {
            return Ok(Owner::Server(only));
        }
        let known = self.places.keys().chain(&self.functions);
        Err(match nearest(name, known.map(String::as_str)) {
            Some(near) => format!("There is no tool {name:?}. Did you mean {near:?}?"),
            None => format!("There is no tool {name:?}. Call one of the tools that were offered."),
        })
    }
}

impl Offered {
    /// Checks arguments against the schema as the server wrote it.
    ///
    /// # Errors
    /// What the model is told, so that it can try again.
    pub fn check(&self, arguments: &str) -> Result<(), String> {
        let schema = self.schema.get_or_init(|| {
            let described = self.tool.described.to_value().ok()?;
            let schema = described
                .get("inputSchema")
                .filter(|schema| schema.is_object())?;
            match Schema::compile(&schema.to_string()) {
                Ok(schema) => Some(schema),
                Err(why) => {
                    tracing::debug!(
                        target: "toolbridge::agent",
                        tool = self.tool.name,
                        why,
                        "the arguments of a tool are not checked: its schema cannot be used"
                    );
                    None
                }
            }
        });
        let Some(schema) = schema else {
            return Ok(());
        };
        let Ok(value) = serde_json::from_str::<Value>(arguments) else {
            return Ok(());
        };
        check(schema, &self.tool.name, &value, arguments.len())
    }
}

fn chosen<'a>(
    tools: &'a [Tool],
    names: Option<&[String]>,
    is_first: bool,
) -> Result<Vec<&'a Tool>> {
    let Some(names) = names else {
        return Ok(tools.iter().collect());
    };
    let mut wanted = HashSet::new();
    for name in names {
        let mut is_known = false;
        for tool in tools {
            if tool.name == *name || tool.server.as_ref() == Some(name) {
                wanted.insert(&tool.name);
                is_known = true;
            }
        }
        if !is_known && is_first {
            let known = tools
                .iter()
                .flat_map(|tool| [Some(tool.name.as_str()), tool.server.as_deref()])
                .flatten();
            let hint = match nearest(name, known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "`await client.list_tools()` lists the tools that there are".to_owned(),
            };
            let message = format!("tools names {name:?}, which is no tool and no server; {hint}");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
    }
    let is_wanted = |tool: &&Tool| wanted.contains(&tool.name);
    Ok(tools.iter().filter(is_wanted).collect())
}
