//! Citations between turns. Of an answer it is kept which stretches of its text are drawn from something, so that
//! the next turn says so in the words of the provider again. Pure.

use std::ops::Range;

use serde_json::{Map, Value, json};

/// In `provider_specific_fields`: the citations, a list for each stretch that has some.
const CITATIONS: &str = "citations";
/// Beside it: the place of each of these stretches, its first character and the one behind its last.
const PLACES: &str = "citation_places";

/// What is told of stretches of a text.
#[derive(Debug, Default)]
pub(super) struct Cited {
    citations: Vec<Value>,
    places: Vec<Value>,
}

impl Cited {
    /// Adds a stretch, by its place among the characters of the text.
    pub(super) fn push(&mut self, citations: Vec<Value>, place: Range<usize>) {
        self.citations.push(Value::Array(citations));
        self.places.push(json!([place.start, place.end]));
    }

    /// One stretch, as `provider_specific_fields`.
    pub(super) fn one(citations: Vec<Value>, place: Range<usize>) -> Value {
        let mut cited = Self::default();
        cited.push(citations, place);
        let mut fields = Map::new();
        cited.tell(&mut fields);
        Value::Object(fields)
    }

    /// As members of `provider_specific_fields`.
    pub(super) fn tell(self, fields: &mut Map<String, Value>) {
        if !self.citations.is_empty() {
            fields.insert(CITATIONS.to_owned(), Value::Array(self.citations));
            fields.insert(PLACES.to_owned(), Value::Array(self.places));
        }
    }
}

/// A stretch of a text, and the citations of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch<'a> {
    pub(super) text: &'a str,
    pub(super) citations: Option<&'a Value>,
}

/// The text of an answer in stretches, by what its message says beside it. None where nothing is said, where it is
/// said of another text, and where the citations are those of another API.
pub(super) fn stretches<'a>(
    text: &'a str,
    message: &'a Map<String, Value>,
    is_citation: fn(&Value) -> bool,
) -> Option<Vec<Stretch<'a>>> {
    let fields = message.get("provider_specific_fields")?;
    let lists = fields.get(CITATIONS)?.as_array()?;
    let places = fields.get(PLACES)?.as_array()?;
    if text.trim().is_empty() {
        return None;
    }
    let mut found: Vec<(Range<usize>, Option<&Value>)> = Vec::new();
    let mut done = 0;
    for (citations, place) in lists.iter().zip(places) {
        let start = offset(text, &place[0])?;
        let end = offset(text, &place[1])?;
        if start < done || end < start || !citations.as_array()?.iter().all(is_citation) {
            return None;
        }
        found.push((done..start, None));
        found.push((start..end, Some(citations)));
        done = end;
    }
    found.push((done..text.len(), None));
    Some(joined(text, found))
}

/// Blank stretches are refused where they stand alone: they are part of what is beside them.
fn joined<'a>(text: &'a str, found: Vec<(Range<usize>, Option<&'a Value>)>) -> Vec<Stretch<'a>> {
    let mut kept: Vec<(Range<usize>, Option<&Value>)> = Vec::new();
    for (place, citations) in found {
        let is_blank = text[place.clone()].trim().is_empty();
        match kept.last_mut() {
            Some((last, _)) if is_blank => last.end = place.end,
            Some((last, _)) if text[last.clone()].trim().is_empty() => {
                let start = last.start;
                kept.pop();
                kept.push((start..place.end, citations));
            }
            _ => kept.push((place, citations)),
        }
    }
    let kept = kept.into_iter();
    kept.map(|(place, citations)| Stretch {
        text: &text[place],
        citations,
    })
    .collect()
}

/// Where a character begins; behind the last one, the end.
fn offset(text: &str, place: &Value) -> Option<usize> {
    let place = usize::try_from(place.as_u64()?).ok()?;
    let starts = text.char_indices().map(|(start, _)| start);
    starts.chain(std::iter::once(text.len())).nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, fields: &Value) -> Option<Vec<(String, Option<Value>)>> {
        let message = json!({ "provider_specific_fields": fields });
        let stretches = stretches(text, message.as_object().unwrap(), Value::is_string)?;
        let stretches = stretches.into_iter();
        Some(
            stretches
                .map(|one| (one.text.to_owned(), one.citations.cloned()))
                .collect(),
        )
    }

    #[test]
    fn a_text_is_cut_where_its_citations_are() {
        let fields = json!({"citations": [["a"], ["b"]], "citation_places": [[1, 3], [4, 6]]});
        let wanted = [
            ("Ö", None),
            ("äx", Some(json!(["a"]))),
            ("-", None),
            ("yz", Some(json!(["b"]))),
            ("!", None),
        ];
        let wanted = wanted.map(|(text, citations)| (text.to_owned(), citations));
        assert_eq!(found("Öäx-yz!", &fields), Some(wanted.to_vec()));
    }

    #[test]
    fn blank_stretches_do_not_stand_alone() {
        let fields = json!({"citations": [["a"], ["b"]], "citation_places": [[1, 2], [3, 4]]});
        let wanted = [(" x\n", json!(["a"])), ("y ", json!(["b"]))];
        let wanted = wanted.map(|(text, citations)| (text.to_owned(), Some(citations)));
        assert_eq!(found(" x\ny ", &fields), Some(wanted.to_vec()));
    }

    #[test]
    fn what_is_said_of_another_text_or_by_another_api_is_not_used() {
        for fields in [
            json!({}),
            json!({"citations": [["a"]]}),
            json!({"citations": [["a"]], "citation_places": [[0, 9]]}),
            json!({"citations": [["a"]], "citation_places": [[2, 1]]}),
            json!({"citations": [["a"], ["b"]], "citation_places": [[0, 2], [1, 3]]}),
            json!({"citations": [[1]], "citation_places": [[0, 1]]}),
            json!({"citations": ["a"], "citation_places": [[0, 1]]}),
        ] {
            assert_eq!(found("xyz", &fields), None, "{fields}");
        }
        let blank = json!({"citations": [["a"]], "citation_places": [[0, 1]]});
        assert_eq!(found(" ", &blank), None);
    }
}
