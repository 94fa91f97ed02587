//! What differs between generations of Gemini, read off their names.

use serde_json::{Value, json};

/// The major and minor number, as in `gemini-2.5-flash`.
fn generation(model: &str) -> Option<(u32, u32)> {
    let start = model.find("gemini-")? + "gemini-".len();
    let version = model[start..].split('-').next()?;
    let mut numbers = version.split('.').map(str::parse);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next().and_then(Result::ok).unwrap_or_default();
    Some((major, minor))
}

/// Whether the model is told a level of thinking instead of a budget.
fn has_levels(model: &str) -> bool {
    generation(model).is_none_or(|version| version >= (3, 0))
}

/// Whether each picture has a resolution of its own; before, a request has one for all.
pub(super) fn has_resolutions(model: &str) -> bool {
    has_levels(model)
}

/// Whether a call that goes back without its signature is refused.
pub(super) fn needs_signatures(model: &str) -> bool {
    generation(model).is_some_and(|version| version >= (3, 0))
}

/// Whether the result of a tool has pictures and files inside of it; others refuse a request with such
/// a one. (<https://ai.google.dev/gemini-api/docs/function-calling>)
pub(in crate::llm) fn takes_media_in_results(model: &str) -> bool {
    generation(model).is_some_and(|version| version >= (3, 0))
}

/// `reasoning_effort` as the model has it; none where the effort is not known.
pub(super) fn thinking(model: &str, effort: &str) -> Option<Value> {
    if has_levels(model) {
        let is_pro = model.contains("-pro");
        let level = match effort {
            // It cannot be switched off.
            "none" | "minimal" if is_pro => "LOW",
            "none" | "minimal" => "MINIMAL",
            "low" => "LOW",
            "medium" => "MEDIUM",
            "high" | "xhigh" | "max" => "HIGH",
            _ => return None,
        };
        return Some(json!({ "thinkingLevel": level, "includeThoughts": effort != "none" }));
    }
    let budget = match effort {
        "none" if model.contains("-pro") => 128,
        "none" => 0,
        "minimal" if model.contains("lite") => 512,
        "minimal" => 128,
        "low" => 1024,
        "medium" => 2048,
        "high" | "xhigh" | "max" => 4096,
        _ => return None,
    };
    Some(json!({ "thinkingBudget": budget, "includeThoughts": effort != "none" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effort_is_a_budget_before_the_third_generation_and_a_level_from_it_on() {
        let thinking = |model, effort| thinking(model, effort).unwrap();
        assert_eq!(thinking("gemini-2.5-flash", "low")["thinkingBudget"], 1024);
        assert_eq!(thinking("gemini-2.5-flash", "none")["thinkingBudget"], 0);
        assert_eq!(thinking("gemini-2.5-pro", "none")["thinkingBudget"], 128);
        assert_eq!(
            thinking("gemini-3-pro-preview", "none")["thinkingLevel"],
            "LOW"
        );
        assert_eq!(
            thinking("gemini-3.1-flash", "minimal")["thinkingLevel"],
            "MINIMAL"
        );
        assert!(needs_signatures("gemini-3.1-flash"));
        assert!(!needs_signatures("gemini-2.5-pro"));
        assert!(!needs_signatures("gemma-3-27b-it"));
    }
}
