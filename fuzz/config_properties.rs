//! What holds of every configuration, right or wrong: it is read to its end, and a refusal says where
//! the mistake is. The body of a fuzz target and of the property tests.

use std::path::Path;

use toolbridge::error::ErrorKind;
use toolbridge::gateway::config::{Config, Notice};
use toolbridge::mcp::config::Document;

fn variables(name: &str) -> Option<String> {
    (name == "OPENAI_API_KEY").then(|| "sk-fuzz".to_owned())
}

/// Of the text of a file.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for name in ["config.yaml", "config.json"] {
        let document = Document::parse(text, Path::new(name));
        let read = document.and_then(|document| Config::from_document(&document, &variables));
        match read {
            Ok(config) => {
                let has_lines = config.strict().is_err();
                let is_told = config.notices.iter().any(Notice::is_strict);
                assert_eq!(has_lines, is_told);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
                assert!(error.to_string().starts_with(name), "{error}");
            }
        }
    }
}
