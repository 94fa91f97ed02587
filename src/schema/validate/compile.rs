//! A JSON Schema (draft-07, 2019-09, 2020-12) as a table of rules. References lead inside the schema
//! alone: nothing is ever fetched or opened. No recursion, so that no schema is too deep.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::decimal::Decimal;
use super::keywords::{
    canonical, choices, count, counted, members, numeric, pattern, texts, types, unusable,
};
use super::pattern::{Pattern, Tally};
use crate::schema::references::References;

/// How large a schema may be.
const MAXIMUM_NODES: usize = 100_000;
/// How many parts are gone through at once, whatever they say.
const LIGHT_NODES: usize = 64;

pub(super) type NodeId = usize;

#[derive(Debug)]
pub(super) enum Rule {
    Types(Vec<String>),
    /// In canonical form, and as they are shown.
    Choices(Vec<String>, String),
    Minimum {
        limit: Decimal,
        is_exclusive: bool,
        shown: String,
    },
    Maximum {
        limit: Decimal,
        is_exclusive: bool,
        shown: String,
    },
    MultipleOf(Decimal, String),
    MinimumCount(Counted, u64),
    MaximumCount(Counted, u64),
    Pattern(Box<Pattern>),
    Items {
        prefix: Vec<NodeId>,
        rest: Option<NodeId>,
    },
    Contains {
        node: NodeId,
        minimum: u64,
        maximum: Option<u64>,
    },
    UniqueItems,
    Properties {
        named: HashMap<String, NodeId>,
        patterns: Vec<(Pattern, NodeId)>,
        rest: Option<NodeId>,
    },
    PropertyNames(NodeId),
    Required(Vec<String>),
    DependentRequired(String, Vec<String>),
    DependentSchema(String, NodeId),
    Reference(NodeId),
    /// Where the outermost schema that has an anchor of this name takes it.
    DynamicReference(NodeId, Option<String>),
    All(Vec<NodeId>),
    Any(Vec<NodeId>),
    One(Vec<NodeId>),
    Not(NodeId),
    If {
        test: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    UnevaluatedItems(NodeId),
    UnevaluatedProperties(NodeId),
}

/// What a count counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Characters,
    Items,
    Properties,
}

#[derive(Debug)]
pub(super) enum Node {
    /// `true` or `false`.
    Fixed(bool),
    Rules {
        resource: usize,
        rules: Vec<Rule>,
    },
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) nodes: Vec<Node>,
    pub(super) dynamic_anchors: HashMap<(usize, String), NodeId>,
    /// Somewhere it matters what was evaluated.
    pub(super) tracks: bool,
    /// Few rules, no patterns, and no references, by which a few may be gone through often.
    pub(super) is_light: bool,
}

/// Compiles a schema; the first node is its root.
///
/// # Errors
/// A sentence part that says what about the schema cannot be used.
pub(super) fn compile(schema: &Value) -> Result<Table, String> {
    let mut compiler = Compiler::new(schema);
    compiler.node(schema, 0)?;
    let anchors: Vec<_> = compiler
        .references
        .dynamic_anchors()
        .iter()
        .map(|(key, value)| (key.clone(), *value))
        .collect();
    let mut dynamic_anchors = HashMap::new();
    for ((resource, name), value) in anchors {
        let id = compiler.node(value, resource)?;
        dynamic_anchors.insert((resource, name), id);
    }
    let mut tracks = false;
    while let Some((id, value, resource)) = compiler.waiting.pop() {
        let node = match value {
            Value::Bool(truth) => Node::Fixed(*truth),
            Value::Object(keywords) => {
                let rules = compiler.rules(keywords, resource)?;
                tracks |= rules.iter().any(|rule| {
                    matches!(
                        rule,
                        Rule::UnevaluatedItems(_) | Rule::UnevaluatedProperties(_)
                    )
                });
                Node::Rules { resource, rules }
            }
            other => return Err(format!("{other} stands where a schema is needed")),
        };
        compiler.nodes[id] = node;
    }
    Ok(Table {
        is_light: compiler.nodes.len() <= LIGHT_NODES
            && compiler.tally.is_empty()
            && !compiler.has_references,
        nodes: compiler.nodes,
        dynamic_anchors,
        tracks,
    })
}

struct Compiler<'a> {
    references: References<'a>,
    nodes: Vec<Node>,
    waiting: Vec<(NodeId, &'a Value, usize)>,
    by_address: HashMap<*const Value, NodeId>,
    tally: Tally,
    has_references: bool,
}

impl<'a> Compiler<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            references: References::new(root),
            nodes: Vec::new(),
            waiting: Vec::new(),
            by_address: HashMap::new(),
            tally: Tally::default(),
            has_references: false,
        }
    }

    fn node(&mut self, value: &'a Value, resource: usize) -> Result<NodeId, String> {
        let resource = self.references.resource_at(value).unwrap_or(resource);
        if let Some(id) = self.by_address.get(&std::ptr::from_ref(value)) {
            return Ok(*id);
        }
        let id = self.nodes.len();
        if id == MAXIMUM_NODES {
            return Err(format!("it has more than {MAXIMUM_NODES} parts"));
        }
        self.nodes.push(Node::Fixed(true));
        self.by_address.insert(value, id);
        self.waiting.push((id, value, resource));
        Ok(id)
    }

    fn nodes_of(
        &mut self,
        keyword: &str,
        value: &'a Value,
        resource: usize,
    ) -> Result<Vec<NodeId>, String> {
        let Value::Array(schemas) = value else {
            return Err(unusable(keyword, value, "a list of schemas"));
        };
        schemas
            .iter()
            .map(|schema| self.node(schema, resource))
            .collect()
    }

    fn reference(
        &mut self,
        keyword: &str,
        value: &'a Value,
        resource: usize,
    ) -> Result<NodeId, String> {
        let Value::String(reference) = value else {
            return Err(unusable(keyword, value, "a text"));
        };
        self.has_references = true;
        let (target, resource) = self.references.resolve(reference, resource)?;
        self.node(target, resource)
    }

    fn rules(
        &mut self,
        keywords: &'a Map<String, Value>,
        resource: usize,
    ) -> Result<Vec<Rule>, String> {
        if self.references.is_old
            && let Some(reference) = keywords.get("$ref")
        {
            return Ok(vec![Rule::Reference(
                self.reference("$ref", reference, resource)?,
            )]);
        }
        let mut rules = Vec::new();
        let mut last = Vec::new();
        for (keyword, value) in keywords {
            match keyword.as_str() {
                "type" => {
                    let mut kinds = types(value)?;
                    // OpenAPI 3.0 says it beside the type; schemas that were made of it do too.
                    if keywords.get("nullable") == Some(&Value::Bool(true)) {
                        kinds.push("null".to_owned());
                    }
                    rules.push(Rule::Types(kinds));
                }
                "const" => rules.push(Rule::Choices(vec![canonical(value)], value.to_string())),
                "enum" => rules.push(choices(value)?),
                "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf" => {
                    rules.push(numeric(keyword, value)?);
                }
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
                | "maxProperties" => {
                    rules.push(counted(keyword, count(keyword, value)?));
                }
                "pattern" => {
                    let pattern = pattern(&mut self.tally, keyword, value)?;
                    rules.push(Rule::Pattern(Box::new(pattern)));
                }
                "uniqueItems" if value == &Value::Bool(true) => rules.push(Rule::UniqueItems),
                "contains" => {
                    let limit = |keyword: &str| {
                        keywords
                            .get(keyword)
                            .map(|value| count(keyword, value))
                            .transpose()
                    };
                    rules.push(Rule::Contains {
                        node: self.node(value, resource)?,
                        minimum: limit("minContains")?.unwrap_or(1),
                        maximum: limit("maxContains")?,
                    });
                }
                "required" => rules.push(Rule::Required(texts(keyword, value)?)),
                "propertyNames" => rules.push(Rule::PropertyNames(self.node(value, resource)?)),
                "dependentRequired" | "dependentSchemas" | "dependencies" => {
                    for (name, value) in members(keyword, value)? {
                        rules.push(
                            if let (Value::Array(_), true) = (value, keyword != "dependentSchemas")
                            {
                                Rule::DependentRequired(name.clone(), texts(keyword, value)?)
                            } else {
                                Rule::DependentSchema(name.clone(), self.node(value, resource)?)
                            },
                        );
                    }
                }
                "$ref" => rules.push(Rule::Reference(self.reference(keyword, value, resource)?)),
                "$recursiveRef" => {
                    rules.push(Rule::Reference(self.reference(keyword, value, resource)?));
                }
                "$dynamicRef" => rules.push(self.dynamic_reference(value, resource)?),
                "allOf" => rules.push(Rule::All(self.nodes_of(keyword, value, resource)?)),
                "anyOf" => rules.push(Rule::Any(self.nodes_of(keyword, value, resource)?)),
                "oneOf" => rules.push(Rule::One(self.nodes_of(keyword, value, resource)?)),
                "not" => rules.push(Rule::Not(self.node(value, resource)?)),
                "if" => {
                    let then = keywords
                        .get("then")
                        .map(|then| self.node(then, resource))
                        .transpose()?;
                    let otherwise = keywords
                        .get("else")
                        .map(|other| self.node(other, resource))
                        .transpose()?;
                    rules.push(Rule::If {
                        test: self.node(value, resource)?,
                        then,
                        otherwise,
                    });
                }
                "unevaluatedItems" => {
                    last.push(Rule::UnevaluatedItems(self.node(value, resource)?));
                }
                "unevaluatedProperties" => {
                    last.push(Rule::UnevaluatedProperties(self.node(value, resource)?));
                }
                _ => {}
            }
        }
        self.containers(keywords, resource, &mut rules)?;
        rules.append(&mut last);
        Ok(rules)
    }

    fn dynamic_reference(&mut self, value: &'a Value, resource: usize) -> Result<Rule, String> {
        let node = self.reference("$dynamicRef", value, resource)?;
        let Some((address, anchor)) = value.as_str().and_then(|text| text.split_once('#')) else {
            return Ok(Rule::Reference(node));
        };
        let (_, target) = self.references.resolve(address, resource)?;
        let is_dynamic = self
            .references
            .dynamic_anchors()
            .contains_key(&(target, anchor.to_owned()));
        Ok(Rule::DynamicReference(
            node,
            is_dynamic.then(|| anchor.to_owned()),
        ))
    }

    /// The keywords whose meaning hangs on one another.
    fn containers(
        &mut self,
        keywords: &'a Map<String, Value>,
        resource: usize,
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let listed = keywords.get("items").filter(|items| items.is_array());
        let prefix = match listed.or_else(|| keywords.get("prefixItems")) {
            Some(prefix) => self.nodes_of("prefixItems", prefix, resource)?,
            None => Vec::new(),
        };
        let rest = match listed {
            Some(_) => keywords.get("additionalItems"),
            None => keywords.get("items"),
        };
        let rest = rest.map(|rest| self.node(rest, resource)).transpose()?;
        if rest.is_some() || !prefix.is_empty() {
            rules.push(Rule::Items { prefix, rest });
        }
        let mut named = HashMap::new();
        if let Some(properties) = keywords.get("properties") {
            for (name, value) in members("properties", properties)? {
                named.insert(name.clone(), self.node(value, resource)?);
            }
        }
        let mut patterns = Vec::new();
        if let Some(properties) = keywords.get("patternProperties") {
            for (text, value) in members("patternProperties", properties)? {
                patterns.push((
                    self.tally.compile("patternProperties", text)?,
                    self.node(value, resource)?,
                ));
            }
        }
        let rest = keywords.get("additionalProperties");
        let rest = rest.map(|rest| self.node(rest, resource)).transpose()?;
        if rest.is_some() || !named.is_empty() || !patterns.is_empty() {
            rules.push(Rule::Properties {
                named,
                patterns,
                rest,
            });
        }
        Ok(())
    }
}
