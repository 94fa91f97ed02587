//! What the references of a schema lead to: places inside of it, by pointer, anchor or `$id`. Nothing
//! is ever fetched or opened. Owns [`References`]; no recursion, so that no schema is too deep.

use std::collections::HashMap;

use serde_json::{Map, Value};
use url::Url;

/// The address of a schema that names none.
const NAMELESS: &str = "schema:///";

/// The places of a schema that references can name.
#[derive(Debug)]
pub(super) struct References<'a> {
    root: &'a Value,
    /// Draft-07 and before: `$ref` hides what stands beside it.
    pub(super) is_old: bool,
    /// Schemas with an `$id` of their own, the root first.
    resources: Vec<(Url, &'a Value)>,
    resource_roots: HashMap<*const Value, usize>,
    by_url: HashMap<String, usize>,
    anchors: HashMap<(usize, String), &'a Value>,
    dynamic: HashMap<(usize, String), &'a Value>,
}

impl<'a> References<'a> {
    /// Goes through a schema once.
    pub(super) fn new(root: &'a Value) -> Self {
        let dialect = root.get("$schema").and_then(Value::as_str).unwrap_or("");
        let mut references = Self {
            root,
            is_old: ["draft-07", "draft-06", "draft-04", "draft-03"]
                .iter()
                .any(|old| dialect.contains(old)),
            resources: Vec::new(),
            resource_roots: HashMap::new(),
            by_url: HashMap::new(),
            anchors: HashMap::new(),
            dynamic: HashMap::new(),
        };
        references.index();
        references
    }

    /// The resource whose root a schema is.
    pub(super) fn resource_at(&self, schema: &Value) -> Option<usize> {
        self.resource_roots
            .get(&std::ptr::from_ref(schema))
            .copied()
    }

    /// The anchors that `$dynamicRef` looks for, each with its resource.
    pub(super) fn dynamic_anchors(&self) -> &HashMap<(usize, String), &'a Value> {
        &self.dynamic
    }

    /// Finds what references can name.
    fn index(&mut self) {
        // NAMELESS is a URL, and a root that names itself replaces it.
        let Ok(nameless) = Url::parse(NAMELESS) else {
            return;
        };
        self.resources.push((nameless, self.root));
        self.resource_roots.insert(self.root, 0);
        let mut waiting = vec![(self.root, 0)];
        while let Some((value, mut resource)) = waiting.pop() {
            let Value::Object(keywords) = value else {
                continue;
            };
            let is_hidden = self.is_old && keywords.contains_key("$ref");
            let text = |key: &str| keywords.get(key).and_then(Value::as_str);
            if let Some(id) = text("$id").filter(|_| !is_hidden) {
                if let Some(anchor) = id.strip_prefix('#').filter(|anchor| !anchor.is_empty()) {
                    self.anchors.insert((resource, anchor.to_owned()), value);
                } else if let Ok(mut url) = self.resources[resource].0.join(id) {
                    url.set_fragment(None);
                    if std::ptr::eq(value, self.root) {
                        self.resources[0].0 = url.clone();
                    } else {
                        resource = self.resources.len();
                        self.resources.push((url.clone(), value));
                        self.resource_roots.insert(value, resource);
                    }
                    self.by_url.insert(url.into(), resource);
                }
            }
            for key in ["$anchor", "$dynamicAnchor"] {
                if let Some(anchor) = text(key) {
                    self.anchors.insert((resource, anchor.to_owned()), value);
                    if key == "$dynamicAnchor" {
                        self.dynamic.insert((resource, anchor.to_owned()), value);
                    }
                }
            }
            waiting.extend(subschemas(keywords).map(|schema| (schema, resource)));
        }
    }

    /// The place that a reference names, and the resource that it belongs to.
    ///
    /// # Errors
    /// A sentence part that says what is missing.
    pub(super) fn resolve(
        &self,
        reference: &str,
        resource: usize,
    ) -> Result<(&'a Value, usize), String> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let resource = if address.is_empty() {
            resource
        } else {
            let url = self.resources[resource].0.join(address).map(String::from);
            let found = url.ok().and_then(|url| self.by_url.get(&url).copied());
            found.ok_or_else(|| {
                format!("it refers to {reference:?}, which is outside of it; nothing is fetched")
            })?
        };
        let missing = || format!("it refers to {reference:?}, which it does not have");
        let fragment = percent_decoded(fragment).ok_or_else(missing)?;
        let start = self.resources[resource].1;
        if fragment.is_empty() {
            return Ok((start, resource));
        }
        let Some(pointer) = fragment.strip_prefix('/') else {
            let anchor = self.anchors.get(&(resource, fragment));
            return anchor.map(|value| (*value, resource)).ok_or_else(missing);
        };
        let mut here = (start, resource);
        for token in pointer.split('/') {
            let key = token.replace("~1", "/").replace("~0", "~");
            let next = match here.0 {
                Value::Object(members) => members.get(&key),
                Value::Array(items) => key.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => None,
            };
            let next = next.ok_or_else(missing)?;
            let inside = self.resource_at(next);
            here = (next, inside.unwrap_or(here.1));
        }
        Ok(here)
    }
}

/// The schemas that stand directly below one.
fn subschemas(keywords: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    keywords.iter().flat_map(|(keyword, value)| -> Vec<&Value> {
        match (keyword.as_str(), value) {
            ("const" | "enum" | "default" | "examples", _) => Vec::new(),
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
                | "dependencies",
                Value::Object(schemas),
            ) => schemas.values().collect(),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                schemas.iter().collect()
            }
            (
                "items"
                | "additionalItems"
                | "contains"
                | "additionalProperties"
                | "propertyNames"
                | "not"
                | "if"
                | "then"
                | "else"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "contentSchema",
                Value::Object(_),
            ) => vec![value],
            _ => Vec::new(),
        }
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            decoded.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            decoded.push(first);
            rest = after;
        }
    }
    String::from_utf8(decoded).ok()
}
