//! The `WWW-Authenticate` headers of a refusal (RFC 9110, section 11.6.1). Pure.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge: a scheme and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// As the server wrote it.
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter, by its name in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// The challenges of a refusal that are about tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Challenges(Vec<Challenge>);

impl Challenges {
    /// Reads the headers; what cannot be read is left out.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Vec::new();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            if let Ok(text) = value.to_str() {
                parse(text, &mut found);
            }
        }
        found.retain(|one: &Challenge| {
            one.scheme.eq_ignore_ascii_case("bearer") || one.scheme.eq_ignore_ascii_case("dpop")
        });
        Self(found)
    }

    /// The first parameter of the name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|challenge| challenge.get(name))
    }

    /// Whether the server takes tokens that are bound to a key, and no others.
    pub(super) fn want_dpop(&self) -> bool {
        !self.0.is_empty()
            && self
                .0
                .iter()
                .all(|one| one.scheme.eq_ignore_ascii_case("dpop"))
    }
}

fn parse(text: &str, found: &mut Vec<Challenge>) {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let (token, behind) = rest.split_at(end);
        if token.is_empty() {
            // Not a token: a stray quote or sign of equality.
            let mut characters = behind.chars();
            if characters.next().is_none() {
                return;
            }
            rest = characters.as_str();
            continue;
        }
        let Some(value) = behind.trim_start().strip_prefix('=') else {
            found.push(Challenge {
                scheme: token.to_owned(),
                parameters: Vec::new(),
            });
            rest = behind;
            continue;
        };
        let (value, behind) = parameter_value(value.trim_start());
        if let Some(challenge) = found.last_mut() {
            let parameter = (token.to_ascii_lowercase(), value);
            challenge.parameters.push(parameter);
        }
        rest = behind;
    }
}

fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[index + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            plain => value.push(plain),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Challenges {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenges::of(&headers)
    }

    #[test]
    fn parameters_are_read_quoted_or_not_in_any_order() {
        let found = read(&[
            r#"Bearer error="insufficient_scope", scope="a b", resource_metadata=https://x/y?z=1, Error_Description="say \"please\", now""#,
        ]);
        assert_eq!(found.get("error"), Some("insufficient_scope"));
        assert_eq!(found.get("scope"), Some("a b"));
        assert_eq!(found.get("resource_metadata"), Some("https://x/y?z=1"));
        assert_eq!(found.get("error_description"), Some(r#"say "please", now"#));
        assert!(!found.want_dpop());
    }

    #[test]
    fn only_challenges_about_tokens_count() {
        let found = read(&[r#"Basic realm="x", scope="no""#, "dpop scope=yes"]);
        assert_eq!(found.get("scope"), Some("yes"));
        assert!(found.want_dpop());
        let both = read(&[r#"Bearer realm="x", DPoP algs="ES256""#]);
        assert!(!both.want_dpop());
        assert_eq!(both.get("algs"), Some("ES256"));
        assert!(!read(&["Negotiate abc=="]).want_dpop());
    }

    #[test]
    fn nonsense_is_left_out() {
        for text in [
            "",
            ",,,",
            "=",
            "\"",
            "Bearer a=\"",
            "Bearer =\"x\"",
            "a=b",
            "Bearer a=\"\\",
        ] {
            assert_eq!(read(&[text]).get("scope"), None, "{text}");
        }
        assert_eq!(read(&[r#"Bearer scope="open"#]).get("scope"), Some("open"));
    }
}
