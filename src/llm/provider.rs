//! The providers, and what a request to one of them needs: URL, headers, credentials, and what is
//! particular about its parameters. The environment is a function that the caller hands in.
//!
//! | module | owns |
//! |---|---|
//! | `table` | the rows of `providers.toml` |
//! | `endpoint` | URL, headers and key of one request |
//! | `service` | what a kind of endpoint has of its own, behind one trait |
//! | `authorize` | credentials that have to be made or signed for each request |
//! | `names` | which provider a name or a URL means, and which was probably meant |
//! | `reference` | PROVIDERS.md |
//! | `support` | what of a request each provider carries |
//! | `error_body` | what the body of an error says |
//! | `aws` | regions, credentials and signatures of AWS |
//! | `openai`, `anthropic`, … | one kind of endpoint each |

use std::sync::LazyLock;

pub mod anthropic;
pub mod authorize;
mod aws;
pub mod azure;
pub mod bedrock;
pub mod cloudflare;
pub mod cohere;
pub mod databricks;
pub mod endpoint;
pub mod error_body;
pub mod gemini;
pub mod huggingface;
pub mod mistral;
pub mod names;
pub mod ollama;
pub mod openai;
pub mod ragflow;
pub mod reference;
pub mod replicate;
pub mod sagemaker;
pub mod service;
pub mod snowflake;
pub mod support;
mod table;
pub mod vertex;
pub mod watsonx;

pub use endpoint::{Endpoint, Settings};
pub use table::{Parameters, Provider, SomeModels};

/// The row that serves OpenAI-compatible endpoints which are not named.
pub const OPENAI_COMPATIBLE: &str = "custom_openai";

/// Every provider, in the order of `providers.toml`.
pub fn all() -> &'static [Provider] {
    static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(table::read);
    &PROVIDERS
}

/// The provider of that name.
pub fn by_name(name: &str) -> Option<&'static Provider> {
    all().iter().find(|provider| provider.name == name)
}

/// The provider that claims a name without a prefix.
pub fn by_bare_name(model: &str) -> Option<&'static Provider> {
    all().iter().find(|provider| {
        provider
            .bare_names
            .iter()
            .any(|pattern| matches(pattern, model))
    })
}

/// `#` at the end stands for digits, and what follows them behind a dash or a colon; `*` for anything.
fn matches(pattern: &str, model: &str) -> bool {
    if let Some((start, rest)) = pattern.split_once('*') {
        return model
            .strip_prefix(start)
            .is_some_and(|model| has_pieces(rest, model));
    }
    let Some(rest) = pattern
        .strip_suffix('#')
        .and_then(|start| model.strip_prefix(start))
    else {
        return pattern == model;
    };
    let after = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    after.len() < rest.len() && (after.is_empty() || after.starts_with(['-', ':']))
}

/// Whether a name, after whatever it begins with, has the pieces between the stars, and ends with the last.
fn has_pieces(pieces: &str, mut model: &str) -> bool {
    let (between, last) = pieces.rsplit_once('*').unwrap_or(("", pieces));
    for piece in between.split('*') {
        let Some(place) = model.find(piece) else {
            return false;
        };
        model = &model[place + piece.len()..];
    }
    model.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_fits_the_names_that_it_describes() {
        for (pattern, fits, others) in [
            ("gpt-*", vec!["gpt-", "gpt-4o"], vec!["xgpt-4", "gp"]),
            (
                "o#",
                vec!["o1", "o3-mini", "o4:x"],
                vec!["o", "o1x", "omni"],
            ),
            ("sonar", vec!["sonar"], vec!["sonar-pro"]),
            (
                "*-plain*",
                vec!["a-plain", "a-plain-1"],
                vec!["plain", "a-plai"],
            ),
            ("a*b*c", vec!["abc", "axbxbxc"], vec!["ac", "abcd", "acb"]),
            ("a*a", vec!["aa", "aba"], vec!["a", "ab"]),
        ] {
            for name in fits {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in others {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }
}
