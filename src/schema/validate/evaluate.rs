//! A value against the rules of a schema, within a budget: what a schema may cost is bounded by the
//! size of the value, whatever the schema says.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::compile::{Counted, Node, NodeId, Rule, Table};
use super::decimal::Decimal;
use super::keywords::canonical;
use super::pattern::{EFFORTS, Pattern, Search, cost};
use super::report::{
    Mismatch, called, count_of, is_kind, nearer, refused_number, shortened, shown,
};

/// How many steps a check may take whatever the size of the value, and how many more for each byte.
const STEPS: u64 = 200_000;
const STEPS_PER_BYTE: u64 = 16;
/// How deep rules may lead into one another.
const MAXIMUM_DEPTH: usize = 256;

/// Why a check ended without success.
#[derive(Debug)]
pub enum Stop {
    Mismatch(Box<Mismatch>),
    /// The schema cannot be followed further; a sentence part.
    GaveUp(String),
}

/// What the rules of one place have looked at, for the `unevaluated…` keywords.
#[derive(Debug, Default)]
struct Seen {
    properties: HashSet<String>,
    items: HashSet<usize>,
}

impl Seen {
    fn merge(&mut self, other: Self) {
        self.properties.extend(other.properties);
        self.items.extend(other.items);
    }
}

/// Checks a value of `bytes` bytes of JSON.
pub(super) fn check(table: &Table, value: &Value, bytes: usize) -> Result<(), Stop> {
    let size = u64::try_from(bytes).unwrap_or(u64::MAX);
    let mut run = Run {
        table,
        steps: STEPS.saturating_add(size.saturating_mul(STEPS_PER_BYTE)),
        depth: 0,
        resources: Vec::new(),
        path: Vec::new(),
    };
    run.check(0, value, &mut Seen::default())
}

enum Step<'v> {
    Member(&'v str),
    Item(usize),
}

struct Run<'t, 'v> {
    table: &'t Table,
    steps: u64,
    depth: usize,
    /// The schemas that the rules in force belong to, the outermost first.
    resources: Vec<usize>,
    path: Vec<Step<'v>>,
}

impl<'t, 'v> Run<'t, 'v> {
    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Stop::GaveUp(
                "checking against it takes too long".to_owned(),
            )),
        }
    }

    fn refuse(&self, found: String, accepted: impl Into<String>) -> Stop {
        let mut path = String::new();
        for step in &self.path {
            // Writing into a text cannot fail.
            let _ = match step {
                Step::Member(name) => {
                    write!(path, "/{}", name.replace('~', "~0").replace('/', "~1"))
                }
                Step::Item(at) => write!(path, "/{at}"),
            };
        }
        Stop::Mismatch(Box::new(Mismatch {
            path,
            found,
            accepted: accepted.into(),
        }))
    }

    fn check(&mut self, node: NodeId, value: &'v Value, seen: &mut Seen) -> Result<(), Stop> {
        self.spend(1)?;
        let table = self.table;
        let (resource, rules) = match &table.nodes[node] {
            Node::Fixed(true) => return Ok(()),
            Node::Fixed(false) => return Err(self.refuse(shown(value), "nothing here")),
            Node::Rules { resource, rules } => (*resource, rules),
        };
        if self.depth == MAXIMUM_DEPTH {
            let reason = format!("its references lead more than {MAXIMUM_DEPTH} levels deep");
            return Err(Stop::GaveUp(reason));
        }
        self.depth += 1;
        self.resources.push(resource);
        let outcome = self.apply_all(rules, value, seen);
        self.resources.pop();
        self.depth -= 1;
        outcome
    }

    /// Checks the same value against rules that do not see what their neighbours looked at.
    fn check_beside(
        &mut self,
        node: NodeId,
        value: &'v Value,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        let mut own = Seen::default();
        self.check(node, value, &mut own)?;
        seen.merge(own);
        Ok(())
    }

    /// Whether a value fits; a failure that is not about the value is passed on.
    fn fits(&mut self, node: NodeId, value: &'v Value, seen: &mut Seen) -> Result<bool, Stop> {
        let mut own = Seen::default();
        match self.attempt(node, value, &mut own)? {
            None => {
                seen.merge(own);
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    fn attempt(
        &mut self,
        node: NodeId,
        value: &'v Value,
        seen: &mut Seen,
    ) -> Result<Option<Mismatch>, Stop> {
        match self.check(node, value, seen) {
            Ok(()) => Ok(None),
            Err(Stop::Mismatch(mismatch)) => Ok(Some(*mismatch)),
            Err(stop) => Err(stop),
        }
    }

    fn below(&mut self, step: Step<'v>, node: NodeId, value: &'v Value) -> Result<(), Stop> {
        self.path.push(step);
        let outcome = self.check(node, value, &mut Seen::default());
        // The path of a mismatch is written by now.
        self.path.pop();
        outcome
    }

    fn matches(&mut self, pattern: &Pattern, text: &str) -> Result<bool, Stop> {
        for effort in 0..EFFORTS {
            self.spend(cost(effort, text))?;
            match pattern.search(effort, text) {
                Search::Ended(found) => return Ok(found),
                Search::TooShort => {}
            }
        }
        Err(Stop::GaveUp(format!(
            "its pattern {:?} takes too long",
            pattern.text
        )))
    }

    /// Passes each rule on to those of its kind. Rules that lead into others have functions of their
    /// own, with little on the stack.
    fn apply_all(
        &mut self,
        rules: &'t [Rule],
        value: &'v Value,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        self.spend(rules.len() / 8)?;
        for rule in rules {
            match (rule, value) {
                (
                    Rule::Items { .. }
                    | Rule::Contains { .. }
                    | Rule::UniqueItems
                    | Rule::UnevaluatedItems(_),
                    Value::Array(items),
                ) => self.apply_to_items(rule, items, seen)?,
                (
                    Rule::Properties {
                        named,
                        patterns,
                        rest,
                    },
                    Value::Object(members),
                ) => self.properties(named, patterns, *rest, members, seen)?,
                (
                    Rule::PropertyNames(_)
                    | Rule::Required(_)
                    | Rule::DependentRequired(..)
                    | Rule::DependentSchema(..)
                    | Rule::UnevaluatedProperties(_),
                    Value::Object(members),
                ) => self.apply_to_members(rule, value, members, seen)?,
                (
                    Rule::Reference(_)
                    | Rule::DynamicReference(..)
                    | Rule::All(_)
                    | Rule::Any(_)
                    | Rule::One(_)
                    | Rule::Not(_)
                    | Rule::If { .. },
                    _,
                ) => self.apply_in_place(rule, value, seen)?,
                _ => self.apply_alone(rule, value)?,
            }
        }
        Ok(())
    }

    /// A rule that no other stands behind.
    fn apply_alone(&mut self, rule: &'t Rule, value: &'v Value) -> Result<(), Stop> {
        match (rule, value) {
            (Rule::Types(types), _) => {
                self.spend(types.len() / 8)?;
                if types.iter().any(|kind| is_kind(value, kind)) {
                    return Ok(());
                }
                let accepted: Vec<&str> = types.iter().map(|kind| called(kind)).collect();
                Err(self.refuse(shown(value), accepted.join(" or ")))
            }
            (Rule::Choices(choices, listed), _) => {
                let text = canonical(value);
                self.spend(text.len() / 8)?;
                if choices.contains(&text) {
                    return Ok(());
                }
                let listed = shortened(listed);
                Err(self.refuse(
                    shown(value),
                    if choices.len() == 1 {
                        listed
                    } else {
                        format!("one of {listed}")
                    },
                ))
            }
            (
                Rule::Minimum { .. } | Rule::Maximum { .. } | Rule::MultipleOf(..),
                Value::Number(number),
            ) => match refused_number(rule, Decimal::read(&number.to_string())) {
                Some(accepted) => Err(self.refuse(shown(value), accepted)),
                None => Ok(()),
            },
            (Rule::MinimumCount(what, limit) | Rule::MaximumCount(what, limit), _) => {
                let Some(count) = count_of(*what, value) else {
                    return Ok(());
                };
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                let (is_refused, bound) = match rule {
                    Rule::MinimumCount(..) => (count < *limit, "at least"),
                    _ => (count > *limit, "at most"),
                };
                if is_refused {
                    let what = match what {
                        Counted::Characters => "characters",
                        Counted::Items => "items",
                        Counted::Properties => "members",
                    };
                    return Err(self.refuse(format!("{count} {what}"), format!("{bound} {limit}")));
                }
                Ok(())
            }
            (Rule::Pattern(pattern), Value::String(text)) => {
                if self.matches(pattern, text)? {
                    return Ok(());
                }
                let accepted = format!("a text that matches {}", shortened(&pattern.text));
                Err(self.refuse(shown(value), accepted))
            }
            // What is about another kind of value.
            _ => Ok(()),
        }
    }

    fn apply_to_items(
        &mut self,
        rule: &'t Rule,
        items: &'v [Value],
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        match rule {
            Rule::Items { prefix, rest } => {
                for (at, item) in items.iter().enumerate() {
                    let Some(node) = prefix.get(at).copied().or(*rest) else {
                        break;
                    };
                    self.below(Step::Item(at), node, item)?;
                    if self.table.tracks {
                        seen.items.insert(at);
                    }
                }
                Ok(())
            }
            Rule::Contains {
                node,
                minimum,
                maximum,
            } => {
                let mut count = 0;
                for (at, item) in items.iter().enumerate() {
                    if self.fits(*node, item, &mut Seen::default())? {
                        count += 1;
                        if self.table.tracks {
                            seen.items.insert(at);
                        }
                    }
                }
                if count < *minimum || maximum.is_some_and(|maximum| count > maximum) {
                    let limit =
                        maximum.map_or(String::new(), |limit| format!(" and at most {limit}"));
                    return Err(self.refuse(
                        format!("{count} items of the kind that \"contains\" asks for"),
                        format!("at least {minimum}{limit}"),
                    ));
                }
                Ok(())
            }
            Rule::UniqueItems => {
                let mut found = HashSet::new();
                for (at, item) in items.iter().enumerate() {
                    let text = canonical(item);
                    self.spend(text.len() / 8)?;
                    if !found.insert(text) {
                        let found = format!("{} twice, again at {at}", shown(item));
                        return Err(self.refuse(found, "items that differ"));
                    }
                }
                Ok(())
            }
            Rule::UnevaluatedItems(node) => {
                for (at, item) in items.iter().enumerate() {
                    if !seen.items.contains(&at) {
                        self.below(Step::Item(at), *node, item)?;
                        seen.items.insert(at);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn properties(
        &mut self,
        named: &'t HashMap<String, NodeId>,
        patterns: &'t [(Pattern, NodeId)],
        rest: Option<NodeId>,
        members: &'v Map<String, Value>,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        self.spend(members.len() / 8)?;
        for (name, member) in members {
            let mut is_covered = false;
            if let Some(node) = named.get(name) {
                self.below(Step::Member(name), *node, member)?;
                is_covered = true;
            }
            for (pattern, node) in patterns {
                if self.matches(pattern, name)? {
                    self.below(Step::Member(name), *node, member)?;
                    is_covered = true;
                }
            }
            if !is_covered && let Some(rest) = rest {
                if matches!(self.table.nodes[rest], Node::Fixed(false)) {
                    return Err(self.unknown_member(name, named));
                }
                self.below(Step::Member(name), rest, member)?;
                is_covered = true;
            }
            if is_covered && self.table.tracks {
                seen.properties.insert(name.clone());
            }
        }
        Ok(())
    }

    fn unknown_member(&self, name: &str, named: &HashMap<String, NodeId>) -> Stop {
        let mut known: Vec<String> = named.keys().map(|name| format!("{name:?}")).collect();
        known.sort_unstable();
        let accepted = if known.is_empty() {
            "no other members".to_owned()
        } else {
            format!("no other members than {}", shortened(&known.join(", ")))
        };
        self.refuse(
            format!("a member {}", shortened(&format!("{name:?}"))),
            accepted,
        )
    }

    fn apply_to_members(
        &mut self,
        rule: &'t Rule,
        value: &'v Value,
        members: &'v Map<String, Value>,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        let missing = |names: &[String]| {
            names
                .iter()
                .find(|name| !members.contains_key(*name))
                .cloned()
        };
        if let Rule::Required(names) | Rule::DependentRequired(_, names) = rule {
            self.spend(names.len() / 8)?;
        }
        match rule {
            Rule::Required(names) => match missing(names) {
                Some(name) => Err(self.refuse(
                    format!("no member {name:?}"),
                    "an object that has it".to_owned(),
                )),
                None => Ok(()),
            },
            Rule::DependentRequired(name, names) if members.contains_key(name) => {
                match missing(names) {
                    Some(absent) => Err(self.refuse(
                        format!("{name:?} without {absent:?}"),
                        "both or neither".to_owned(),
                    )),
                    None => Ok(()),
                }
            }
            Rule::DependentSchema(name, node) if members.contains_key(name) => {
                self.check_beside(*node, value, seen)
            }
            Rule::PropertyNames(node) => {
                for name in members.keys() {
                    let text = Value::String(name.clone());
                    let mut own = Run {
                        table: self.table,
                        steps: self.steps,
                        depth: self.depth,
                        resources: self.resources.clone(),
                        path: Vec::new(),
                    };
                    let outcome = own.check(*node, &text, &mut Seen::default());
                    self.steps = own.steps;
                    if let Err(stop) = outcome {
                        return Err(match stop {
                            Stop::Mismatch(mismatch) => self.refuse(
                                format!("a member {}", shortened(&format!("{name:?}"))),
                                format!("names that are {}", mismatch.accepted),
                            ),
                            gave_up @ Stop::GaveUp(_) => gave_up,
                        });
                    }
                }
                Ok(())
            }
            Rule::UnevaluatedProperties(node) => {
                for (name, member) in members {
                    if !seen.properties.contains(name) {
                        self.below(Step::Member(name), *node, member)?;
                        seen.properties.insert(name.clone());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn apply_in_place(
        &mut self,
        rule: &'t Rule,
        value: &'v Value,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        match rule {
            Rule::Reference(node) => self.check_beside(*node, value, seen),
            Rule::DynamicReference(node, name) => {
                let outermost = name.as_ref().and_then(|name| {
                    self.resources.iter().find_map(|resource| {
                        self.table
                            .dynamic_anchors
                            .get(&(*resource, name.clone()))
                            .copied()
                    })
                });
                self.check_beside(outermost.unwrap_or(*node), value, seen)
            }
            Rule::All(nodes) => {
                for node in nodes {
                    self.check_beside(*node, value, seen)?;
                }
                Ok(())
            }
            Rule::Any(nodes) => {
                let mut nearest: Option<Mismatch> = None;
                let mut has_match = false;
                for node in nodes {
                    let mut own = Seen::default();
                    match self.attempt(*node, value, &mut own)? {
                        None => {
                            seen.merge(own);
                            has_match = true;
                            if !self.table.tracks {
                                break;
                            }
                        }
                        Some(mismatch) => nearest = Some(nearer(nearest, mismatch)),
                    }
                }
                match nearest {
                    Some(mismatch) if !has_match => Err(Stop::Mismatch(Box::new(mismatch))),
                    _ => Ok(()),
                }
            }
            Rule::One(nodes) => {
                let mut nearest: Option<Mismatch> = None;
                let mut matches = 0;
                for node in nodes {
                    let mut own = Seen::default();
                    match self.attempt(*node, value, &mut own)? {
                        None => {
                            seen.merge(own);
                            matches += 1;
                        }
                        Some(mismatch) => nearest = Some(nearer(nearest, mismatch)),
                    }
                }
                match (matches, nearest) {
                    (1, _) => Ok(()),
                    (0, Some(mismatch)) => Err(Stop::Mismatch(Box::new(mismatch))),
                    _ => Err(self.ambiguous(value, matches)),
                }
            }
            Rule::Not(node) => {
                if self.fits(*node, value, &mut Seen::default())? {
                    return Err(self.refuse(shown(value), "anything but what \"not\" describes"));
                }
                Ok(())
            }
            Rule::If {
                test,
                then,
                otherwise,
            } => {
                let branch = if self.fits(*test, value, seen)? {
                    then
                } else {
                    otherwise
                };
                match branch {
                    Some(node) => self.check_beside(*node, value, seen),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn ambiguous(&self, value: &Value, matches: usize) -> Stop {
        self.refuse(
            format!("{}, which fits {matches} of the alternatives", shown(value)),
            "exactly one of them",
        )
    }
}
