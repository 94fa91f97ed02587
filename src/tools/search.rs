//! Finding tools by words: BM25 over the names, descriptions and parameters of a catalogue. Owns
//! [`Index`]. Pure; uses nothing of this crate.
//!
//! What a word is worth in a tool is computed once, so that a search adds up numbers alone: one walk
//! over the tools that have each word, and one over all scores. The same catalogue and query give the
//! same answer on every machine.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::Value;

/// How fast a word that stands often stops to count more, and how much long descriptions count less:
/// the usual values (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.75;
/// A word of the name counts as much as so many of the description; parameters count less.
const NAME: f64 = 4.0;
const DESCRIPTION: f64 = 1.0;
const PARAMETER: f64 = 0.5;
/// How deep parameters within parameters are looked at.
const DEPTH: usize = 4;

/// An index of tools.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// From a word to its place in `starts`.
    words: HashMap<Box<str>, u32>,
    /// Where the tools of each word begin in `found`; one more at the end.
    starts: Vec<u32>,
    /// The tools that have a word, and what it is worth there.
    found: Vec<(u32, f32)>,
    /// Tools by their whole names.
    names: HashMap<Box<str>, Vec<u32>>,
    tools: usize,
}

impl Index {
    /// Reads a catalogue: tools of MCP (`name`, `title`, `description`, `inputSchema`) or of a provider
    /// (`parameters`, `input_schema`, all of it also within `function`).
    pub fn new(tools: &[Value]) -> Self {
        let mut index = Self {
            tools: tools.len(),
            ..Self::default()
        };
        // Per word, the tools that have it and its weighted count there.
        let mut counts: Vec<Vec<(u32, f64)>> = Vec::new();
        let mut lengths = Vec::with_capacity(tools.len());
        for (place, tool) in (0_u32..).zip(tools) {
            let tool = tool.get("function").unwrap_or(tool);
            let text = |name: &str| tool.get(name).and_then(Value::as_str).unwrap_or_default();
            let schema = ["inputSchema", "input_schema", "parameters"]
                .iter()
                .find_map(|name| tool.get(*name));
            let mut length = 0.0;
            let mut add = |text: &str, weight: f64| {
                for_words(text, |word| {
                    length += weight;
                    let id = index.word(word, &mut counts);
                    match counts[id].last_mut() {
                        Some((last, count)) if *last == place => *count += weight,
                        _ => counts[id].push((place, weight)),
                    }
                });
            };
            add(text("name"), NAME);
            add(text("title"), DESCRIPTION);
            add(text("description"), DESCRIPTION);
            if let Some(schema) = schema {
                parameters(schema, DEPTH, &mut |text| add(text, PARAMETER));
            }
            lengths.push(length);
            let owners = index.names.entry(text("name").into()).or_default();
            owners.push(place);
        }
        index.weigh(&counts, &lengths);
        index
    }

    fn word(&mut self, word: &str, counts: &mut Vec<Vec<(u32, f64)>>) -> usize {
        if let Some(id) = self.words.get(word) {
            return *id as usize;
        }
        let id = counts.len();
        // More words than that do not fit into memory.
        self.words
            .insert(word.into(), u32::try_from(id).unwrap_or(u32::MAX));
        counts.push(Vec::new());
        id
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "counts of tools are small, and scores need no more digits"
    )]
    fn weigh(&mut self, counts: &[Vec<(u32, f64)>], lengths: &[f64]) {
        let tools = lengths.len() as f64;
        let average = (lengths.iter().sum::<f64>() / tools).max(1.0);
        for owners in counts {
            self.starts.push(self.found.len() as u32);
            let having = owners.len() as f64;
            let rarity = (1.0 + (tools - having + 0.5) / (having + 0.5)).ln();
            for (place, count) in owners {
                let length = lengths[*place as usize] / average;
                let damped = count + SATURATION * (1.0 - LENGTH + LENGTH * length);
                let worth = rarity * count * (SATURATION + 1.0) / damped;
                self.found.push((*place, worth as f32));
            }
        }
        self.starts.push(self.found.len() as u32);
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.tools
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools == 0
    }

    /// The places of the tools that fit a query, and their scores, the best first; of the same score
    /// the one that stands first. A tool whose name is the query comes before all others.
    pub fn search(&self, query: &str, limit: usize) -> Vec<(usize, f64)> {
        if limit == 0 || self.tools == 0 {
            return Vec::new();
        }
        let mut scores = vec![0.0_f32; self.tools];
        let mut seen = HashSet::new();
        for_words(query, |word| {
            let Some(id) = self.words.get(word).map(|id| *id as usize) else {
                return;
            };
            if seen.insert(id) {
                let (start, end) = (self.starts[id] as usize, self.starts[id + 1] as usize);
                for (place, worth) in &self.found[start..end] {
                    scores[*place as usize] += worth;
                }
            }
        });
        if let Some(named) = self
            .names
            .get(query.trim())
            .or_else(|| self.names.get(query))
        {
            let best = scores.iter().copied().fold(0.0, f32::max);
            for place in named {
                scores[*place as usize] += best + 1.0;
            }
        }
        let mut fitting: Vec<(u32, f32)> = (0_u32..)
            .zip(scores)
            .filter(|(_, score)| *score > 0.0)
            .collect();
        let order = |one: &(u32, f32), other: &(u32, f32)| -> Ordering {
            other.1.total_cmp(&one.1).then(one.0.cmp(&other.0))
        };
        if fitting.len() > limit {
            fitting.select_nth_unstable_by(limit - 1, order);
            fitting.truncate(limit);
        }
        fitting.sort_unstable_by(order);
        fitting
            .into_iter()
            .map(|(place, score)| (place as usize, f64::from(score)))
            .collect()
    }
}

/// The names and descriptions of parameters, those within parameters too.
fn parameters(schema: &Value, depth: usize, add: &mut dyn FnMut(&str)) {
    if depth == 0 {
        return;
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        add(name);
        for text in ["title", "description"] {
            // A title that only spells the name, as pydantic writes it, says nothing more.
            let said = property.get(text).and_then(Value::as_str);
            if let Some(said) = said.filter(|said| !said.eq_ignore_ascii_case(name)) {
                add(said);
            }
        }
        parameters(property, depth - 1, add);
    }
    if let Some(items) = schema.get("items") {
        parameters(items, depth - 1, add);
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        let others = schema.get(name).and_then(Value::as_array);
        for other in others.into_iter().flatten() {
            parameters(other, depth - 1, add);
        }
    }
}

/// The words of a text, in small letters and in their singular: `listRepositoryIssues` has `list`,
/// `repository` and `issue`. A word of several parts is a word itself too, so that `github` finds
/// `GitHub`. Characters of scripts without spaces are words.
fn for_words(text: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    for run in text.split(|one: char| !one.is_alphanumeric()) {
        if run.is_empty() {
            continue;
        }
        let mut parts = 0;
        let mut start = 0;
        let mut before = None;
        let mut letters = run.char_indices().peekable();
        while let Some((place, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let ends = before.is_some_and(|before| is_seam(before, letter, next));
            if ends {
                parts += 1;
                put(&run[start..place], &mut word, &mut take);
                start = place;
            }
            before = Some(letter);
        }
        put(&run[start..], &mut word, &mut take);
        if parts > 0 && !run.chars().any(stands_alone) {
            put(run, &mut word, &mut take);
        }
    }
}

/// Whether a word ends between two letters: `listFiles`, `HTTPServer`.
fn is_seam(before: char, letter: char, next: Option<char>) -> bool {
    stands_alone(before)
        || stands_alone(letter)
        || letter.is_uppercase()
            && (before.is_lowercase()
                || before.is_numeric()
                || before.is_uppercase() && next.is_some_and(char::is_lowercase))
}

/// Scripts that are written without spaces.
fn stands_alone(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

fn put(part: &str, word: &mut String, take: &mut impl FnMut(&str)) {
    word.clear();
    word.extend(part.chars().flat_map(char::to_lowercase));
    take(singular(word));
}

/// English plurals, roughly: what matters is that both forms become one word.
fn singular(word: &mut String) -> &str {
    let is_plural = word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "is"]
            .iter()
            .any(|ending| word.ends_with(ending));
    if is_plural {
        word.pop();
        if word.len() > 3 && word.ends_with("ie") {
            word.truncate(word.len() - 2);
            word.push('y');
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_words(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn names_are_split_where_words_end() {
        assert_eq!(
            words("list_repo-issues.v2/all"),
            ["list", "repo", "issue", "v2", "all"]
        );
        assert_eq!(words("listFiles"), ["list", "file", "listfile"]);
        assert_eq!(words("HTTPServer"), ["http", "server", "httpserver"]);
        assert_eq!(words("base64Encode"), ["base64", "encode", "base64encode"]);
        assert_eq!(words("GitHub"), ["git", "hub", "github"]);
        assert_eq!(
            words("ÄnderungenLesen"),
            ["änderungen", "lesen", "änderungenlesen"]
        );
        assert_eq!(words("天気を"), ["天", "気", "を"]);
        assert_eq!(words("--"), [""; 0]);
    }

    #[test]
    fn plurals_are_one_word_with_their_singular() {
        for (one, many) in [
            ("file", "files"),
            ("query", "queries"),
            ("issue", "issues"),
            ("day", "days"),
        ] {
            assert_eq!(words(one), words(many), "{one}");
        }
        for same in ["status", "address", "analysis", "is", "ios"] {
            assert_eq!(words(same), [same]);
        }
    }
}
