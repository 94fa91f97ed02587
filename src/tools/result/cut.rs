//! Results within a budget of tokens. Owns [`cut`] and [`Rest`].
//!
//! What is left over is a result again, so that reading on is cutting that one.

use serde_json::{Map, Value, json};

use super::read::{Piece, blocks, is_for_the_user_alone, piece, structured_text};

/// What a picture or another file counts as: about as much as OpenAI counts for a picture of 1024 by
/// 1024 pixels. Nobody says in a result how large one is.
const MEDIA: u64 = 765;
/// Texts are counted in pieces of so many bytes until the budget is spent.
const STEP: usize = 4_096;
/// What is kept of a text at least, in bytes, so that reading on ends soon.
const LEAST: usize = 200;
/// The priority of a block that has none; the specification says no other.
const PRIORITY: f64 = 0.5;

/// How a result is cut.
#[derive(Clone, Copy)]
pub struct Cutting<'a> {
    /// The most tokens, the marker among them.
    pub budget: u64,
    /// How many tokens a text has.
    pub count: &'a dyn Fn(&str) -> u64,
    /// What the model is told to do to read on, as in `call read_more with {"id": "r1"}`.
    pub read_on: &'a str,
}

impl std::fmt::Debug for Cutting<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cutting")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// What did not fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Rest {
    /// A result of its own, to be cut again.
    pub result: Value,
    /// Its tokens.
    pub tokens: u64,
}

/// Cuts a result. Blocks of a higher priority are kept first, of one priority the first ones; the one
/// that does not fit whole is split where it is text, near the end of a line or of a word. Behind what
/// is kept stands a marker that says how much is left and how to read on. A result that fits stays as
/// it is. What is for the user alone counts nothing and stays. A few words, or one file, are kept of
/// every result, so that reading on ends.
pub fn cut(result: Value, cutting: &Cutting<'_>) -> (Value, Option<Rest>) {
    let structured = structured_text(&result);
    let costs = blocks(&result).iter().map(|block| cost(block, cutting));
    let extra = structured.as_deref().map_or(0, cutting.count);
    if costs.sum::<u64>() + extra <= cutting.budget {
        return (result, None);
    }
    let mut content: Vec<Value> = blocks(&result).iter().map(plain).collect();
    content.extend(structured.map(|text| json!({ "type": "text", "text": text })));
    let marker = |tokens: u64| {
        let read_on = cutting.read_on;
        format!("[cut here: about {tokens} tokens of this result are left; {read_on}]")
    };
    let mut order: Vec<usize> = (0..content.len()).collect();
    order.sort_by(|one, other| priority(&content[*other]).total_cmp(&priority(&content[*one])));
    let mut left = cutting
        .budget
        .saturating_sub((cutting.count)(&marker(100_000)));
    let mut is_full = false;
    let mut has_something = false;
    let mut kept: Vec<Option<Value>> = vec![None; content.len()];
    let mut rest: Vec<Option<Value>> = vec![None; content.len()];
    let mut tokens = 0;
    for place in order {
        let block = std::mem::take(&mut content[place]);
        if is_for_the_user_alone(&block) {
            kept[place] = Some(block);
            continue;
        }
        let cost = cost(&block, cutting);
        if !is_full && cost <= left {
            left -= cost;
            has_something = true;
            kept[place] = Some(block);
            continue;
        }
        if !is_full && let Some(text) = text_of(&block) {
            let mut end = fitting(text, left, cutting.count);
            if !has_something {
                end = end.max(text.ceil_char_boundary(LEAST));
            }
            if end > 0 && end < text.len() {
                let (head, tail) = text.split_at(end);
                kept[place] = Some(with_text(&block, head));
                let tail = with_text(&block, tail);
                tokens += self::cost(&tail, cutting);
                rest[place] = Some(tail);
                (is_full, has_something) = (true, true);
                continue;
            }
        }
        // A block that cannot be split, and that would fit nowhere.
        if !has_something {
            (is_full, has_something) = (true, true);
            kept[place] = Some(block);
            continue;
        }
        is_full = true;
        tokens += cost;
        rest[place] = Some(block);
    }
    let rest: Vec<Value> = rest.into_iter().flatten().collect();
    let mut members = match result {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for name in ["structuredContent", "structured_content", "toolResult"] {
        members.shift_remove(name);
    }
    let mut content: Vec<Value> = kept.into_iter().flatten().collect();
    let rest = (!rest.is_empty()).then(|| {
        content.push(json!({ "type": "text", "text": marker(tokens) }));
        Rest {
            result: json!({ "content": rest }),
            tokens,
        }
    });
    members.insert("content".to_owned(), Value::Array(content));
    (Value::Object(members), rest)
}

fn priority(block: &Value) -> f64 {
    let found = block.get("annotations").and_then(|all| all.get("priority"));
    found.and_then(Value::as_f64).unwrap_or(PRIORITY)
}

fn cost(block: &Value, cutting: &Cutting<'_>) -> u64 {
    if is_for_the_user_alone(block) {
        return 0;
    }
    match piece(block) {
        None => 0,
        Some(Piece::Media(_)) => MEDIA,
        Some(text) => text.text().map_or(0, |text| (cutting.count)(&text)),
    }
}

/// A block in a form that can be split: what a model gets as text is text.
fn plain(block: &Value) -> Value {
    if is_for_the_user_alone(block) || text_of(block).is_some() {
        return block.clone();
    }
    let mut plain = match piece(block) {
        Some(Piece::Document { text, mime, about }) => json!({ "type": "resource", "resource": {
            "uri": about.uri,
            "name": about.name,
            "mimeType": mime,
            "text": text,
        } }),
        Some(Piece::Media(_)) | None => return block.clone(),
        Some(other) => json!({ "type": "text", "text": other.text() }),
    };
    if let Some(annotations) = block.get("annotations") {
        plain["annotations"] = annotations.clone();
    }
    plain
}

/// The text of a block that is text, or of a resource.
fn text_of(block: &Value) -> Option<&str> {
    let holder = match block.get("type")?.as_str()? {
        "text" => block,
        "resource" => block.get("resource")?,
        _ => return None,
    };
    holder.get("text")?.as_str()
}

fn with_text(block: &Value, text: &str) -> Value {
    let mut changed = block.clone();
    let holder = match changed.get_mut("resource") {
        Some(resource) => resource,
        None => &mut changed,
    };
    holder["text"] = text.into();
    changed
}

/// How many bytes of a text fit into a budget.
fn fitting(text: &str, budget: u64, count: &dyn Fn(&str) -> u64) -> usize {
    let mut start = 0;
    let mut left = budget;
    loop {
        let end = text.floor_char_boundary(start + STEP);
        if start == text.len() {
            return start;
        }
        let cost = count(&text[start..end]);
        if cost > left {
            break;
        }
        left -= cost;
        start = end;
    }
    // The first end that does not fit is between these.
    let (mut low, mut high) = (start, text.floor_char_boundary(start + STEP));
    while low < high {
        let middle = text.ceil_char_boundary(usize::midpoint(low, high + 1));
        if middle > high {
            break;
        }
        if count(&text[start..middle]) <= left {
            low = middle;
        } else {
            high = text.floor_char_boundary(middle - 1);
        }
    }
    if text[low..].starts_with(['\n', ' ']) {
        return low;
    }
    // Not in the middle of a line, or else of a word, if that costs little.
    let near = text.floor_char_boundary(low - low / 4);
    let tail = &text[near..low];
    let nicer = tail.rfind('\n').or_else(|| tail.rfind(' '));
    nicer.map_or(low, |place| near + place + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> u64 {
        text.chars().filter(|one| *one == ' ').count() as u64 + 1
    }

    #[test]
    fn what_fits_is_the_longest_start_and_ends_with_a_word() {
        let text = "one two three four five";
        assert_eq!(&text[..fitting(text, 3, &words)], "one two three");
        assert_eq!(&text[..fitting(text, 4, &words)], "one two three four");
        assert_eq!(fitting(text, 0, &words), 0);
        assert_eq!(fitting(text, 50, &words), text.len());
        let long = "word ".repeat(5_000);
        let end = fitting(&long, 3_000, &words);
        assert!((14_000..=15_000).contains(&end), "{end}");
    }

    proptest! {
        #[test]
        fn every_start_that_fits_ends_at_a_character_and_within_the_budget(
            text in "[aä\u{1f980} \n]{0,300}", budget in 0_u64..400,
        ) {
            let count = |text: &str| text.chars().count() as u64;
            let end = fitting(&text, budget, &count);
            prop_assert!(text.is_char_boundary(end));
            prop_assert!(count(&text[..end]) <= budget);
            if end < text.len() {
                prop_assert!(count(&text[..end]) * 4 >= budget);
            }
        }
    }
}
