//! Whether the text of a result says already what its structured content says, so that a model does
//! not read it twice. Servers are told to send both (MCP specification, "Structured Content"), and
//! the official SDKs put `{"result": "8"}` beside the text `8`, and a list beside one text for each
//! of its members.

use serde_json::{Number, Value};

/// `texts` are those that the model gets, in their order.
pub(super) fn says(texts: &[&str], structured: &Value) -> bool {
    if texts.iter().any(|text| is(text, structured)) {
        return true;
    }
    let Value::Object(members) = structured else {
        return is_list(texts, structured);
    };
    let mut values = members.values();
    let (Some(only), None) = (values.next(), values.next()) else {
        return false;
    };
    texts.iter().any(|text| is(text, only)) || is_list(texts, only)
}

fn is_list(texts: &[&str], value: &Value) -> bool {
    let Value::Array(items) = value else {
        return false;
    };
    !items.is_empty()
        && items.len() == texts.len()
        && texts.iter().zip(items).all(|(text, item)| is(text, item))
}

/// A text is a value that it spells, as itself or as JSON.
fn is(text: &str, value: &Value) -> bool {
    if let Value::String(string) = value
        && (string == text || string.trim() == text.trim())
    {
        return true;
    }
    let Some(first) = text.trim_start().bytes().next() else {
        return false;
    };
    // Most texts are no JSON: what they begin with says so.
    let may_be = match value {
        Value::Null => first == b'n',
        Value::Bool(_) => first == b't' || first == b'f',
        Value::Number(_) => first == b'-' || first.is_ascii_digit(),
        Value::String(_) => first == b'"',
        Value::Array(_) => first == b'[',
        Value::Object(_) => first == b'{',
    };
    may_be && serde_json::from_str::<Value>(text).is_ok_and(|spelled| are_equal(&spelled, value))
}

/// Equality that takes `8` and `8.0` for one number.
fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => are_one(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| are_equal(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, a)| other.get(name).is_some_and(|b| are_equal(a, b)))
        }
        (one, other) => one == other,
    }
}

#[expect(
    clippy::float_cmp,
    reason = "two spellings of one number read as the same float"
)]
fn are_one(one: &Number, other: &Number) -> bool {
    if one == other {
        return true;
    }
    let has_point = one.is_f64() || other.is_f64();
    has_point && one.as_f64().is_some_and(|one| Some(one) == other.as_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_says_what_it_spells() {
        for (texts, structured) in [
            (vec!["8"], json!({"result": "8"})),
            (vec!["8"], json!({"result": 8})),
            (vec!["8.0"], json!({"result": 8})),
            (vec!["true"], json!({"result": true})),
            (vec!["null"], json!({"result": null})),
            (vec!["hello "], json!({"result": "hello"})),
            (
                vec!["{\"b\": 1,\n \"a\": [2]}"],
                json!({"a": [2.0], "b": 1}),
            ),
            (vec!["done", "{\"a\": 1}"], json!({"a": 1})),
            (vec!["a", "b"], json!({"result": ["a", "b"]})),
            (
                vec!["{\"x\":1}", "{\"x\":2}"],
                json!({"result": [{"x": 1}, {"x": 2}]}),
            ),
            (vec!["[1, 2]"], json!([1, 2])),
            (vec!["1", "2"], json!([1, 2])),
        ] {
            assert!(says(&texts, &structured), "{texts:?} {structured}");
        }
    }

    #[test]
    fn a_text_that_says_less_or_something_else_does_not_count() {
        for (texts, structured) in [
            (vec![], json!({"result": "8"})),
            (vec![], json!({"result": []})),
            (vec!["8 degrees"], json!({"result": 8})),
            (vec!["8"], json!({"result": 8, "unit": "C"})),
            (vec!["{\"a\": 1}"], json!({"a": 1, "b": 2})),
            (vec!["a"], json!({"result": ["a", "b"]})),
            (vec!["b", "a"], json!({"result": ["a", "b"]})),
            (vec![""], json!({"result": 0})),
            (vec!["{\"a\": "], json!({"a": 1})),
        ] {
            assert!(!says(&texts, &structured), "{texts:?} {structured}");
        }
    }
}
