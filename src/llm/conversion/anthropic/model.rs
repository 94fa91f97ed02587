//! What differs between generations of Claude, read off their names.

use crate::llm::catalogue;

/// The limit of an answer where the caller says none and nothing is known of the model.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 4096;
/// Who serves Claude by this protocol, and names it in a way of its own.
const SERVICES: [&str; 3] = ["anthropic", "vertex_ai", "azure_ai"];

/// As much as an answer of the model can have, as far as the catalogue knows it: its limit where the
/// caller says none, for the protocol wants one.
pub(super) fn max_tokens(model: &str) -> Option<u64> {
    SERVICES
        .iter()
        .find_map(|service| catalogue::max_output_tokens(service, model))
}

/// A generation, as in `claude-opus-4-6` or `claude-3-7-sonnet-20250219`; names of Bedrock and
/// Vertex AI have more around it.
pub(in crate::llm::conversion) fn generation(model: &str) -> Option<(u32, u32)> {
    let start = model.find("claude-")? + "claude-".len();
    let mut numbers = model[start..]
        .split(['-', '@', '.', ':'])
        .skip_while(|word| word.parse::<u32>().is_err())
        .map_while(|word| word.parse::<u32>().ok())
        // A date is no part of a version.
        .take_while(|number| *number < 1000);
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or_default()))
}

/// Whether the model takes `output_config.format` with a JSON Schema. Those before 4.5 answer
/// through a tool that has to be called. (<https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs>)
pub(in crate::llm::conversion) fn has_structured_outputs(model: &str) -> bool {
    match generation(model) {
        Some((4, 1)) => model.contains("opus"),
        Some(version) => version >= (4, 5),
        None => true,
    }
}

/// Whether the model thinks before it answers, where it is told to: those from 3.7 on.
pub(super) fn has_thinking(model: &str) -> bool {
    generation(model).is_none_or(|version| version >= (3, 7))
}

/// Whether the model decides itself how long it thinks, and is told an effort instead of a budget.
pub(in crate::llm::conversion) fn has_adaptive_thinking(model: &str) -> bool {
    generation(model).is_some_and(|version| version >= (4, 6))
}

/// Whether the model takes `temperature` and `top_p`, and a budget for its thoughts: those from 4.7 on
/// refuse all of them. (<https://platform.claude.com/docs/en/about-claude/models/migration-guide>)
pub(in crate::llm::conversion) fn takes_sampling(model: &str) -> bool {
    match generation(model) {
        Some(version) => version < (4, 7),
        None => !model.contains("claude-mythos"),
    }
}

/// Whether the model knows the effort `xhigh`, which came between `high` and `max`.
pub(super) fn has_xhigh(model: &str) -> bool {
    !takes_sampling(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_limit_may_be_as_long_as_the_model_can() {
        assert_eq!(max_tokens("claude-sonnet-4-5"), Some(64_000));
        assert_eq!(max_tokens("claude-3-haiku@20240307"), Some(4096));
        assert_eq!(max_tokens("claude-opus-4-5@20251101"), Some(64_000));
        assert_eq!(max_tokens("my-model"), None);
    }

    #[test]
    fn the_generation_is_read_off_every_spelling() {
        for (name, wanted) in [
            ("claude-opus-4-6", Some((4, 6))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-3-haiku@20240307", Some((3, 0))),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Some((4, 5))),
            ("claude-opus-5", Some((5, 0))),
            ("claude-instant", None),
            ("my-model", None),
        ] {
            assert_eq!(generation(name), wanted, "{name}");
        }
        assert!(!has_structured_outputs("claude-sonnet-4-20250514"));
        assert!(has_structured_outputs("claude-opus-4-1-20250805"));
        assert!(has_structured_outputs("claude-haiku-4-5"));
        assert!(has_adaptive_thinking("claude-opus-4-6"));
        assert!(!has_adaptive_thinking("claude-sonnet-4-5"));
        assert!(has_thinking("claude-3-7-sonnet-20250219"));
        assert!(!has_thinking("claude-3-5-sonnet-20241022"));
        assert!(takes_sampling("claude-opus-4-6"));
        assert!(takes_sampling("my-model"));
        for name in [
            "claude-opus-4-7",
            "claude-sonnet-5",
            "claude-mythos-preview",
        ] {
            assert!(!takes_sampling(name), "{name}");
        }
    }
}
