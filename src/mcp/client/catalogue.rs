//! What is known of a server's tools: the pages of `tools/list` that passed through, as text. A page
//! is looked into when a call needs a fact, and not before. Uses `headers` and `schema`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::RawJson;
use crate::mcp::client::headers::{ParameterHeaders, screen};
use crate::schema::Schema;

/// How many pages of one listing are kept.
const MAXIMUM_PAGES: usize = 1_000;

/// Whether a tool can be called as a task, in the revision 2025-11-25.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TaskSupport {
    /// It cannot.
    #[default]
    Forbidden,
    /// As the caller likes.
    Optional,
    /// In no other way.
    Required,
}

/// What a listing says of one tool.
#[derive(Debug)]
pub struct ToolFacts {
    /// `annotations.readOnlyHint`.
    pub is_read_only: bool,
    /// `annotations.idempotentHint`.
    pub is_idempotent: bool,
    /// `execution.taskSupport`.
    pub task_support: TaskSupport,
    text: RawJson,
    headers: OnceLock<ParameterHeaders>,
    output: OnceLock<Option<Result<Schema, String>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Schemas<'a> {
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_schema: Option<&'a RawValue>,
}

impl ToolFacts {
    fn read(text: RawJson) -> Self {
        #[derive(Deserialize, Default)]
        struct Tool<'a> {
            #[serde(borrow, default)]
            annotations: Option<&'a RawValue>,
            #[serde(borrow, default)]
            execution: Option<&'a RawValue>,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Annotations {
            #[serde(default)]
            read_only_hint: Option<bool>,
            #[serde(default)]
            idempotent_hint: Option<bool>,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Execution {
            #[serde(default)]
            task_support: Option<String>,
        }
        let tool: Tool<'_> = serde_json::from_slice(text.as_bytes()).unwrap_or_default();
        let annotations: Annotations = parsed(tool.annotations);
        let execution: Execution = parsed(tool.execution);
        Self {
            is_read_only: annotations.read_only_hint == Some(true),
            is_idempotent: annotations.idempotent_hint == Some(true),
            task_support: match execution.task_support.as_deref() {
                Some("optional") => TaskSupport::Optional,
                Some("required") => TaskSupport::Required,
                _ => TaskSupport::Forbidden,
            },
            text,
            headers: OnceLock::new(),
            output: OnceLock::new(),
        }
    }

    fn schemas(&self) -> Schemas<'_> {
        serde_json::from_slice(self.text.as_bytes()).unwrap_or_default()
    }

    /// Which arguments of a call go into headers; none where the annotations are invalid.
    pub fn parameter_headers(&self) -> &ParameterHeaders {
        self.headers.get_or_init(|| {
            self.schemas()
                .input_schema
                .and_then(|schema| ParameterHeaders::read(schema.get()).ok())
                .unwrap_or_default()
        })
    }

    /// What structured results must look like, compiled once; an error says why it cannot be used.
    pub fn output_schema(&self) -> Option<Result<&Schema, &str>> {
        let compiled = self.output.get_or_init(|| {
            let schema = self.schemas().output_schema?;
            (schema.get() != "null").then(|| Schema::compile(schema.get()))
        });
        compiled
            .as_ref()
            .map(|outcome| outcome.as_ref().map_err(String::as_str))
    }

    /// Whether the schema of the results is compiled, and small enough to be gone through at once.
    pub fn is_output_schema_light(&self) -> bool {
        self.output.get().is_some_and(|compiled| match compiled {
            Some(Ok(schema)) => schema.is_light(),
            Some(Err(_)) | None => true,
        })
    }
}

fn parsed<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// What the pages say of one name.
#[derive(Debug, Clone)]
pub enum Known {
    /// It is listed.
    Tool(Arc<ToolFacts>),
    /// The whole listing was heard, and it is not in it.
    Unlisted,
    /// The listing was not heard to its end.
    Unknown,
}

#[derive(Debug)]
struct Page {
    cursor: Option<String>,
    text: RawJson,
    /// Filled when a fact is asked for.
    index: Option<Index>,
}

#[derive(Debug, Default)]
struct Index {
    tools: HashMap<String, Range<usize>>,
    next: Option<String>,
}

#[derive(Debug, Default)]
struct Listing {
    /// The page that was heard last stands last.
    pages: Vec<Page>,
    facts: HashMap<String, Arc<ToolFacts>>,
    /// The server was asked for all of it, whatever came of that.
    is_walked: bool,
}

/// The tools of one server.
#[derive(Debug, Default)]
pub struct Catalogue {
    listing: Mutex<Listing>,
}

impl Catalogue {
    fn lock(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a result of `tools/list`; `params` are those of the request.
    ///
    /// Gives back what the caller is to see. With `screens`, as on Streamable HTTP of 2026-07-28,
    /// tools whose `x-mcp-header` is invalid are left out, with a warning for each.
    pub fn hear(&self, params: Option<&RawJson>, page: RawJson, screens: bool) -> RawJson {
        let (page, dropped) = if screens {
            screen(page)
        } else {
            (page, Vec::new())
        };
        for one in dropped {
            tracing::warn!(
                target: "toolbridge::mcp",
                "the tool {:?} is left out of the listing: {}",
                one.tool,
                one.reason
            );
        }
        self.keep(cursor_of(params), page.clone());
        page
    }

    fn keep(&self, cursor: Option<String>, text: RawJson) {
        let mut listing = self.lock();
        let known = listing.pages.iter().position(|page| page.cursor == cursor);
        if let Some(at) = known {
            if listing.pages[at].text == text {
                return;
            }
            if cursor.is_none() {
                // The listing starts anew, and what follows the old beginning is old too.
                listing.pages.clear();
            } else {
                listing.pages.remove(at);
            }
            listing.facts.clear();
        } else if listing.pages.len() == MAXIMUM_PAGES {
            listing.pages.remove(0);
            listing.facts.clear();
        }
        listing.is_walked = false;
        listing.pages.push(Page {
            cursor,
            text,
            index: None,
        });
    }

    /// Forgets everything: the server says that its tools changed, or another server answers.
    pub fn forget(&self) {
        *self.lock() = Listing::default();
    }

    /// Notes that the server was asked for the whole listing, so that nobody asks again for a tool
    /// that is not in it.
    pub fn note_walked(&self) {
        self.lock().is_walked = true;
    }

    /// What is known of a tool.
    pub fn look_up(&self, tool: &str) -> Known {
        self.lock().look_up(tool)
    }

    /// What is known of a tool that is listed.
    pub fn facts(&self, tool: &str) -> Option<Arc<ToolFacts>> {
        match self.look_up(tool) {
            Known::Tool(facts) => Some(facts),
            Known::Unlisted | Known::Unknown => None,
        }
    }

    /// Whether a call whose outcome is unknown may be made once more: the tool says that it is
    /// idempotent, or that it changes nothing.
    pub fn may_repeat(&self, tool: &str) -> bool {
        self.facts(tool)
            .is_some_and(|facts| facts.is_idempotent || facts.is_read_only)
    }
}

impl Listing {
    fn look_up(&mut self, tool: &str) -> Known {
        if let Some(facts) = self.facts.get(tool) {
            return Known::Tool(Arc::clone(facts));
        }
        for page in self.pages.iter_mut().rev() {
            let index = page.index.get_or_insert_with(|| Index::read(&page.text));
            if let Some(place) = index.tools.get(tool) {
                // A copy: a tool that is in use does not keep its whole page in memory.
                let text = Bytes::copy_from_slice(&page.text.as_bytes()[place.clone()]);
                let facts = Arc::new(ToolFacts::read(RawJson::trusted(text)));
                self.facts.insert(tool.to_owned(), Arc::clone(&facts));
                return Known::Tool(facts);
            }
        }
        if self.is_walked || self.is_complete() {
            Known::Unlisted
        } else {
            Known::Unknown
        }
    }

    /// Whether the pages lead from the first to one that has none after it.
    fn is_complete(&self) -> bool {
        let mut cursor: Option<&str> = None;
        let mut seen = HashSet::new();
        loop {
            let page = self
                .pages
                .iter()
                .find(|page| page.cursor.as_deref() == cursor);
            let Some(index) = page.and_then(|page| page.index.as_ref()) else {
                return false;
            };
            match index.next.as_deref() {
                None => return true,
                next if seen.insert(next) => cursor = next,
                _ => return false,
            }
        }
    }
}

impl Index {
    fn read(page: &RawJson) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tools<'a> {
            #[serde(borrow)]
            tools: Vec<&'a RawValue>,
            #[serde(default)]
            next_cursor: Option<String>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let text = page.as_bytes();
        let Ok(listing) = serde_json::from_slice::<Tools<'_>>(text) else {
            return Self::default();
        };
        let mut tools = HashMap::with_capacity(listing.tools.len());
        for tool in listing.tools {
            let start = tool.get().as_ptr() as usize - text.as_ptr() as usize;
            if let Ok(Named { name }) = serde_json::from_str(tool.get()) {
                tools.insert(name, start..start + tool.get().len());
            }
        }
        Self {
            tools,
            next: listing.next_cursor,
        }
    }
}

fn cursor_of(params: Option<&RawJson>) -> Option<String> {
    #[derive(Deserialize)]
    struct Paginated {
        #[serde(default)]
        cursor: Option<String>,
    }
    serde_json::from_slice::<Paginated>(params?.as_bytes())
        .ok()?
        .cursor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn cursor(name: &str) -> RawJson {
        raw(&format!(r#"{{"cursor":"{name}"}}"#))
    }

    const READS: &str = r#"{"tools":[
        {"name":"read","annotations":{"readOnlyHint":true},"execution":{"taskSupport":"optional"}},
        {"name":"odd","annotations":7,"execution":{"taskSupport":9}}]}"#;

    #[test]
    fn facts_come_from_the_pages_that_passed_through() {
        let catalogue = Catalogue::default();
        assert!(matches!(catalogue.look_up("read"), Known::Unknown));
        let page = catalogue.hear(None, raw(READS), true);
        assert_eq!(page, raw(READS));
        let facts = catalogue.facts("read").unwrap();
        assert!(facts.is_read_only && !facts.is_idempotent);
        assert_eq!(facts.task_support, TaskSupport::Optional);
        assert!(catalogue.may_repeat("read"));
        assert!(!catalogue.may_repeat("odd"));
        assert_eq!(
            catalogue.facts("odd").unwrap().task_support,
            TaskSupport::Forbidden
        );
        assert!(!catalogue.may_repeat("absent"));
        assert!(matches!(catalogue.look_up("absent"), Known::Unlisted));
    }

    #[test]
    fn a_listing_is_complete_when_its_pages_lead_to_an_end() {
        let catalogue = Catalogue::default();
        catalogue.hear(None, raw(r#"{"tools":[],"nextCursor":"a"}"#), false);
        assert!(matches!(catalogue.look_up("x"), Known::Unknown));
        catalogue.hear(
            Some(&cursor("a")),
            raw(r#"{"tools":[{"name":"y"}]}"#),
            false,
        );
        assert!(matches!(catalogue.look_up("x"), Known::Unlisted));
        assert!(catalogue.facts("y").is_some());
        catalogue.forget();
        assert!(matches!(catalogue.look_up("y"), Known::Unknown));
        catalogue.note_walked();
        assert!(matches!(catalogue.look_up("y"), Known::Unlisted));
    }

    #[test]
    fn pages_that_lead_in_a_circle_are_no_end() {
        let catalogue = Catalogue::default();
        catalogue.hear(None, raw(r#"{"tools":[],"nextCursor":"a"}"#), false);
        catalogue.hear(
            Some(&cursor("a")),
            raw(r#"{"tools":[],"nextCursor":"a"}"#),
            false,
        );
        assert!(matches!(catalogue.look_up("x"), Known::Unknown));
    }

    #[test]
    fn a_page_that_comes_again_replaces_the_one_before() {
        let catalogue = Catalogue::default();
        catalogue.hear(None, raw(READS), false);
        let before = catalogue.facts("read").unwrap();
        catalogue.hear(None, raw(READS), false);
        assert!(Arc::ptr_eq(&before, &catalogue.facts("read").unwrap()));
        catalogue.hear(None, raw(r#"{"tools":[{"name":"read"}]}"#), false);
        assert!(!catalogue.may_repeat("read"));
        assert!(catalogue.facts("odd").is_none());
    }

    #[test]
    fn invalid_tools_are_left_out_where_it_is_asked_for() {
        let page = r#"{"tools":[{"name":"a","inputSchema":{"x-mcp-header":"A"}}]}"#;
        let catalogue = Catalogue::default();
        assert_eq!(catalogue.hear(None, raw(page), false), raw(page));
        assert!(catalogue.facts("a").unwrap().parameter_headers().is_empty());
        assert_eq!(
            catalogue.hear(None, raw(page), true),
            raw(r#"{"tools":[]}"#)
        );
        assert!(catalogue.facts("a").is_none());
    }

    #[test]
    fn a_listing_without_end_stays_bounded() {
        let catalogue = Catalogue::default();
        for number in 0..=MAXIMUM_PAGES {
            let page = raw(&format!(r#"{{"tools":[{{"name":"t{number}"}}]}}"#));
            catalogue.hear(Some(&cursor(&number.to_string())), page, false);
        }
        assert!(catalogue.facts("t0").is_none());
        assert!(catalogue.facts("t1").is_some());
        assert!(catalogue.facts(&format!("t{MAXIMUM_PAGES}")).is_some());
    }
}
