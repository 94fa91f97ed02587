"""What the answers in ``tests/fixtures/llm/answers`` say, whoever gave them and in whatever protocol."""

import json


def assert_is_what_was_told(answer):
    """One text or one call of a tool, why it ended, and what it took; in OpenAI's form."""
    (choice,) = answer.choices
    if choice.message.tool_calls:
        (call,) = choice.message.tool_calls
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        assert choice.finish_reason == "tool_calls"
    else:
        assert choice.message.content == "It is sunny in Paris."
        assert choice.finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)
