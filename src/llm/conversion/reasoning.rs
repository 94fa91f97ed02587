//! What OpenAI's reasoning models take of the parameters of a chat completion. By their names: Azure
//! serves them too, under names of the caller's own.

use serde_json::{Map, Value};

/// The rows that serve them.
const PROVIDERS: [&str; 3] = ["openai", "azure", "azure_ai"];

/// What may stand before the name of a deployment, to say what it is of: o1 to o4, gpt-5.
pub const SERIES: [&str; 2] = ["o_series/", "gpt5_series/"];

/// What reasons, as parameters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// o1, o3, o4.
    O,
    /// gpt-5, which reasons always.
    Gpt5,
    /// Later ones, which take what other models take as long as they do not reason.
    Later,
    /// Models of that time that do not reason: the older name of a limit is refused all the same.
    Chat,
}

impl Family {
    /// That of a model by the name that the caller gave.
    pub fn of(provider: &str, given: &str) -> Option<Self> {
        if !PROVIDERS.contains(&provider) {
            return None;
        }
        // Azure's deployments may say what they are (`azure/o_series/name`).
        let name = given.rsplit('/').next().unwrap_or(given);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        if let Some(rest) = name.strip_prefix('o') {
            let digits = rest.trim_start_matches(|one: char| one.is_ascii_digit());
            if digits.len() < rest.len() && (digits.is_empty() || digits.starts_with(['-', ':'])) {
                return Some(Self::O);
            }
        }
        if let Some(version) = name.strip_prefix("gpt-")
            && version.starts_with(|digit: char| ('5'..='9').contains(&digit))
        {
            let parts: Vec<&str> = version.split(['-', ':']).collect();
            let has = |part: &str| parts.contains(&part);
            return Some(if has("chat") || has("search") {
                Self::Chat
            } else if parts.first() == Some(&"5") || has("pro") || has("codex") {
                Self::Gpt5
            } else {
                Self::Later
            });
        }
        let [o, gpt5] = SERIES;
        if given.contains(o) {
            Some(Self::O)
        } else if given.contains(gpt5) {
            Some(Self::Gpt5)
        } else {
            None
        }
    }

    /// The parameters that it refuses in this request.
    pub fn refused(self, body: &Map<String, Value>) -> &'static [&'static str] {
        const SAMPLING: &[&str] = &[
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "logprobs",
            "top_logprobs",
            "logit_bias",
        ];
        const GPT5: &[&str] = &[
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "logprobs",
            "top_logprobs",
            "logit_bias",
            "stop",
            "prediction",
        ];
        match self {
            Self::O => SAMPLING,
            Self::Gpt5 => GPT5,
            Self::Later => match effort(body) {
                None | Some("none") => &["presence_penalty", "frequency_penalty", "logit_bias"],
                Some(_) => GPT5,
            },
            Self::Chat => &[],
        }
    }

    /// Gives parameters the names and forms that these models know.
    pub fn rename(body: &mut Map<String, Value>) {
        if let Some(limit) = body.shift_remove("max_tokens")
            && !limit.is_null()
        {
            body.entry("max_completion_tokens").or_insert(limit);
        }
        // The form of the Responses API.
        if let Some(Value::Object(members)) = body.get("reasoning_effort")
            && let Some(effort @ Value::String(_)) = members.get("effort")
        {
            let effort = effort.clone();
            body.insert("reasoning_effort".to_owned(), effort);
        }
    }
}

fn effort(body: &Map<String, Value>) -> Option<&str> {
    body.get("reasoning_effort")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_name() {
        let of = |given| Family::of("openai", given);
        for given in [
            "o1",
            "openai/o3-mini",
            "o4-mini-2025-04-16",
            "ft:o4-mini:org",
        ] {
            assert_eq!(of(given), Some(Family::O), "{given}");
        }
        for given in [
            "gpt-5",
            "gpt-5-mini",
            "gpt-5-codex",
            "gpt-5.1-codex",
            "gpt-5.2-pro",
        ] {
            assert_eq!(of(given), Some(Family::Gpt5), "{given}");
        }
        for given in ["gpt-5.1", "openai/gpt-5.4-mini", "gpt-6"] {
            assert_eq!(of(given), Some(Family::Later), "{given}");
        }
        for given in [
            "gpt-5-chat-latest",
            "gpt-5-search-api",
            "gpt-5.3-chat-latest",
        ] {
            assert_eq!(of(given), Some(Family::Chat), "{given}");
        }
        for given in [
            "gpt-4o",
            "gpt-4.1",
            "omni-1",
            "o-1",
            "gpt-oss-120b",
            "ollama",
        ] {
            assert_eq!(of(given), None, "{given}");
        }
        assert_eq!(Family::of("groq", "o3"), None);
        assert_eq!(Family::of("azure", "azure/o_series/mine"), Some(Family::O));
        let series = "azure/gpt5_series/mine";
        assert_eq!(Family::of("azure", series), Some(Family::Gpt5));
    }
}
