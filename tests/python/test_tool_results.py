"""The results of tools as models read them: the golden files that the Rust tests read too, by the functions
of the package and by the official SDKs' types."""

import base64
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import toolbridge
from judges import requests
from toolbridge import (
    to_anthropic_block,
    to_bedrock_block,
    to_gemini_parts,
    to_openai_message,
    to_openai_messages,
    to_openai_responses_item,
)
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp.types import CallToolResult
from toolbridge.types import ChatCompletionMessageToolCall, Function

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests/fixtures/results"
CASES = {
    name: case["result"]
    for name, case in json.loads((FIXTURES / "cases.json").read_text()).items()
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
LOOK = {"role": "user", "content": "Look."}


def golden(path):
    return json.loads((FIXTURES / path).read_text())


def of_older_gemini(result, call):
    return to_gemini_parts(result, call, model="gemini/gemini-2.5-flash")


def of_text(result, call):
    return [to_openai_message(result, call)]


FORMS = {
    "openai": to_openai_messages,
    "openai_text": of_text,
    "openai_responses": to_openai_responses_item,
    "anthropic": to_anthropic_block,
    "gemini_3": to_gemini_parts,
    "gemini_2": of_older_gemini,
    "bedrock": to_bedrock_block,
}


def chat(messages):
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return requests.chat({"model": "m", "messages": [LOOK, asked, *messages]})


def responses(item):
    asked = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
    return requests.responses({"model": "m", "input": [LOOK, asked, item]})


def anthropic(block):
    asked = {"type": "tool_use", "id": "call_1", "name": "look", "input": {}}
    messages = [
        LOOK,
        {"role": "assistant", "content": [asked]},
        {"role": "user", "content": [block]},
    ]
    return requests.anthropic({"model": "m", "max_tokens": 5, "messages": messages})


def gemini(parts):
    return requests.gemini({"contents": [{"role": "user", "parts": parts}]})


def bedrock(block):
    return requests.bedrock({"messages": [{"role": "user", "content": [block]}]})


JUDGES = {
    "openai": chat,
    "openai_text": chat,
    "openai_responses": responses,
    "anthropic": anthropic,
    "gemini_3": gemini,
    "gemini_2": gemini,
    "bedrock": bedrock,
}
PROTOCOLS = {
    "anthropic_claude-sonnet-4-5": "anthropic",
    "bedrock_amazon.nova-pro-v1_0": "bedrock",
    "bedrock_anthropic.claude-sonnet-4-5-20250929-v1_0": "bedrock",
    "bedrock_meta.llama3-1-70b-instruct-v1_0": "bedrock",
    "cohere_chat_command-a-03-2025": "cohere",
    "deepseek_deepseek-chat": "chat",
    "gemini_gemini-2.5-flash": "gemini",
    "gemini_gemini-3-pro-preview": "gemini",
    "mistral_mistral-large-latest": "mistral",
    "ollama_chat_llama3.2": "ollama",
    "openai_gpt-4o": "chat",
    "openai_gpt-4o-audio-preview": "chat",
    "openai_responses_gpt-4o": "responses",
    "vertex_ai_claude-sonnet-4-5@20250929": "anthropic_on_vertex",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_result_has_the_form_that_the_golden_file_says(form):
    made = {name: FORMS[form](result, CALL) for name, result in CASES.items()}
    assert made == golden(f"forms/{form}.json")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken_by_the_official_sdk(form):
    problems = {name: JUDGES[form](body) for name, body in golden(f"forms/{form}.json").items()}
    assert {name: found for name, found in problems.items() if found} == {}


@pytest.mark.parametrize("model", PROTOCOLS)
def test_every_request_with_a_result_is_taken_by_the_official_sdk(model):
    judge = getattr(requests, PROTOCOLS[model])
    problems = {name: judge(body) for name, body in golden(f"requests/{model}.json").items()}
    assert {name: found for name, found in problems.items() if found} == {}


def test_every_golden_file_of_a_model_is_judged():
    assert sorted(PROTOCOLS) == sorted(path.stem for path in (FIXTURES / "requests").iterdir())


def test_no_bytes_stand_in_a_text():
    image = CASES["image"]["content"][0]["data"]
    for form in FORMS:
        for name, body in golden(f"forms/{form}.json").items():
            for text in _texts(body):
                assert image not in text, (form, name)


def _texts(value):
    """The texts of a form, without the places of bytes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in {"data", "bytes", "url", "image_url", "file_data"}:
                yield from _texts(item)


def test_a_result_of_a_session_is_taken_like_its_dict():
    for name, result in CASES.items():
        if "content" not in result:
            continue
        own = CallToolResult._wrap(result)
        assert to_anthropic_block(own, CALL) == golden("forms/anthropic.json")[name], name


def test_a_tool_call_of_any_kind_is_taken():
    own = ChatCompletionMessageToolCall(
        id="call_1", type="function", function=Function(name="look", arguments="{}")
    )
    foreign = SimpleNamespace(model_dump=lambda **_: CALL)
    expected = to_openai_messages(CASES["image"], CALL)
    assert to_openai_messages(CASES["image"], own) == expected
    assert to_openai_messages(CASES["image"], foreign) == expected
    assert to_openai_message(CASES["text"], "call_1") == to_openai_message(CASES["text"], CALL)


def test_a_round_has_its_tool_messages_first_and_one_user_message_behind():
    calls = [{**CALL, "id": f"call_{number}"} for number in range(3)]
    results = [CASES["image"], CASES["text"], CASES["resource_pdf"]]
    messages = to_openai_messages(results, calls)
    assert [message["role"] for message in messages] == ["tool", "tool", "tool", "user"]
    assert [message.get("tool_call_id") for message in messages] == [
        "call_0",
        "call_1",
        "call_2",
        None,
    ]
    kinds = [part["type"] for part in messages[3]["content"]]
    assert kinds == ["text", "text", "image_url", "text", "file"]


def test_a_model_that_takes_pictures_in_results_gets_them_there():
    messages = to_openai_messages(CASES["image"], CALL, model="anthropic/claude-sonnet-4-5")
    assert len(messages) == 1
    assert messages[0]["content"][0]["type"] == "image_url"
    blind = to_openai_messages(CASES["image"], CALL, model="deepseek/deepseek-chat")
    assert "image/png" in blind[0]["content"]
    assert len(blind) == 1


def test_bytes_of_a_block_are_those_of_the_result():
    block = to_bedrock_block(CASES["image"], CALL)["toolResult"]["content"][0]
    png = base64.b64decode(block["image"]["source"]["bytes"])
    assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [None, 5, "text", CallToolResult, object()])
def test_what_is_no_result_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match="result takes a CallToolResult"):
        to_openai_message(wrong, CALL)


@pytest.mark.parametrize("wrong", [None, 5, {}, []])
def test_what_is_no_tool_call_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match="tool_call takes the tool call of a model"):
        to_openai_message(CASES["text"], wrong)


def test_a_call_without_what_an_api_needs_is_refused_with_what_to_do():
    nameless = pytest.raises(ConfigurationError, match="give the whole tool call")
    with nameless:
        to_gemini_parts(CASES["text"], "call_1")
    with pytest.raises(ConfigurationError, match="has no id"):
        to_openai_message(CASES["text"], {"functionCall": {"name": "look", "args": {}}})
    with pytest.raises(ValueError, match="2 results and 1 tool calls"):
        to_openai_messages([CASES["text"], CASES["text"]], [CALL])


def test_the_functions_stand_where_the_transforms_stand():
    from toolbridge.experimental_mcp_client import tools

    for name in (
        "to_anthropic_block",
        "to_bedrock_block",
        "to_gemini_parts",
        "to_openai_message",
        "to_openai_messages",
        "to_openai_responses_item",
    ):
        assert getattr(tools, name) is getattr(toolbridge, name)
        assert name in tools.__all__
        assert name in toolbridge.__all__


def test_the_table_of_results_in_the_reference_is_that_of_the_golden_files():
    spec = importlib.util.spec_from_file_location("tool_results", ROOT / "scripts/tool_results.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (ROOT / "TOOLS.md").read_text()
    assert script.table() in text, "run `make reference`"
    assert script.rewritten(text) == text
