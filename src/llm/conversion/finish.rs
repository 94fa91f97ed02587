//! Why answers end, in the words of every provider. One table.

use crate::llm::types::completion::FinishReason;

/// OpenAI's reason for a provider's; a reason that nobody knows means that it was done.
pub fn reason(native: &str) -> FinishReason {
    match native.to_ascii_lowercase().as_str() {
        "length"
        | "max_tokens"
        | "max_output_tokens"
        | "model_length"
        | "model_context_window_exceeded"
        | "max_length" => FinishReason::Length,
        "tool_calls" | "tool_use" | "tool_call" | "function_call" => FinishReason::ToolCalls,
        "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "refusal"
        | "safety"
        | "recitation"
        | "blocklist"
        | "prohibited_content"
        | "spii"
        | "image_safety"
        | "image_prohibited_content"
        | "language"
        | "error_toxic"
        | "eos_toxic" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_known_in_any_case() {
        assert_eq!(reason("MAX_TOKENS"), FinishReason::Length);
        assert_eq!(reason("max_tokens"), FinishReason::Length);
        assert_eq!(reason("SAFETY"), FinishReason::ContentFilter);
        assert_eq!(reason("tool_use"), FinishReason::ToolCalls);
        assert_eq!(reason("end_turn"), FinishReason::Stop);
        assert_eq!(reason("something else"), FinishReason::Stop);
    }
}
