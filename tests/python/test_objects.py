"""The value class: what a peer sent stays what it was, and answers to every way of reading it."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolbridge.mcp import types
from toolbridge.objects import Object
from toolbridge.types import Delta, Function, Message, ModelResponse, ModelResponseStream
from toolbridge.types.utils import ChatCompletionMessageToolCall

TOOL = {
    "name": "add",
    "description": None,
    "x-vendor": {"kept": [{"deep": 1}]},
    "inputSchema": {"type": "object", "properties": {"a": {"default": None}}},
    "execution": {"taskSupport": "optional", "newer": True},
    "annotations": {"readOnlyHint": True},
    "_meta": {"io.example/k": None},
}
RESULT = {
    "_meta": {"trace": "1"},
    "content": [
        {"type": "text", "text": "8", "annotations": {"audience": ["user"]}},
        {"type": "hologram", "frames": [{"z": 1}]},
        {"type": "resource", "resource": {"uri": "a:b", "blob": "AA=="}},
        {"type": "resource_link", "uri": "a:b", "name": "b"},
    ],
    "structuredContent": {"isError": "a key of the tool's own"},
}
RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a": 3}'},
                    }
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KNOWN_KEYS = ["name", "inputSchema", "_meta", "annotations", "execution", "icons", "isError"]
KNOWN_KEYS += ["content", "structuredContent", "tools", "nextCursor", "type", "resource", "uri"]
OBJECTS = st.dictionaries(st.sampled_from(KNOWN_KEYS) | st.text(max_size=5), JSON, max_size=6)


def wrapped(cls, data):
    return cls._wrap(copy.deepcopy(data))


def read_everything(value):
    for name in dir(value):
        getattr(value, name, None)
    for key in list(value):
        assert value[key] is None or key in value
    repr(value)


@pytest.mark.parametrize(("cls", "sent"), [(types.Tool, TOOL), (types.CallToolResult, RESULT)])
def test_a_dump_is_what_was_on_the_wire_key_order_and_nulls_included(cls, sent):
    value = wrapped(cls, sent)
    read_everything(value)
    dumped = value.model_dump(by_alias=True, exclude_none=True)
    assert json.dumps(dumped) == json.dumps(sent)
    assert json.dumps(value.model_dump()) == json.dumps(sent)
    assert json.loads(value.model_dump_json()) == sent


@given(cls=st.sampled_from([types.Tool, types.CallToolResult, types.ListToolsResult]), sent=OBJECTS)
def test_any_object_of_a_peer_survives_reading_dumping_pickling_and_copying(cls, sent):
    value = wrapped(cls, sent)
    read_everything(value)
    text = json.dumps(sent)
    assert json.dumps(value.model_dump(by_alias=True, exclude_none=True)) == text
    for copied in (
        pickle.loads(pickle.dumps(value)),
        copy.deepcopy(value),
        copy.copy(value),
        value.model_copy(deep=True),
        cls.model_validate(value),
    ):
        assert type(copied) is cls
        assert copied == value == sent
        assert json.dumps(copied.model_dump()) == text


@given(sent=OBJECTS)
def test_any_chat_object_keeps_every_member_that_is_not_none(sent):
    value = wrapped(Message, sent)
    read_everything(value)
    assert value == sent
    dumped = value.model_dump(exclude_none=True)
    assert list(dumped) == [key for key in sent if sent[key] is not None]


def test_both_spellings_read_and_write_the_same_field():
    tool = wrapped(types.Tool, TOOL)
    assert tool.inputSchema is tool.input_schema is tool["inputSchema"] is tool["input_schema"]
    assert tool.get("input_schema") is tool.get("inputSchema")
    assert "input_schema" in tool
    assert tool.execution.task_support == tool.execution.taskSupport == "optional"
    assert tool.meta == tool._meta == {"io.example/k": None}
    tool.input_schema = {"type": "object"}
    assert tool.inputSchema == {"type": "object"}
    tool["output_schema"] = {"type": "array"}
    assert tool.model_dump()["outputSchema"] == {"type": "array"}
    del tool.output_schema
    assert "outputSchema" not in tool
    page = types.ListToolsResult(tools=[], next_cursor="2")
    assert page.nextCursor == page.next_cursor == "2"
    assert page.model_dump() == {"tools": [], "nextCursor": "2"}


def test_snake_case_dumps_rename_typed_fields_and_nothing_inside_of_plain_dicts():
    dumped = wrapped(types.Tool, TOOL).model_dump(by_alias=False)
    assert dumped["input_schema"] == TOOL["inputSchema"]
    assert dumped["execution"] == {"task_support": "optional", "newer": True}
    assert dumped["meta"] == TOOL["_meta"]
    assert dumped["x-vendor"] == TOOL["x-vendor"]
    result = wrapped(types.CallToolResult, RESULT).model_dump(by_alias=False)
    assert result["structured_content"] == {"isError": "a key of the tool's own"}


def test_content_blocks_get_their_class_by_type_and_unknown_ones_are_objects():
    text, unknown, embedded, link = wrapped(types.CallToolResult, RESULT).content
    assert isinstance(text, types.TextContent)
    assert isinstance(text, types.ContentBlock)
    assert text.annotations.audience == ["user"]
    assert type(unknown) is Object
    assert unknown.frames[0].z == 1
    assert isinstance(embedded.resource, types.BlobResourceContents)
    assert isinstance(link, types.ResourceLink)
    message = types.SamplingMessage._wrap({"role": "user", "content": {"type": "text", "text": ""}})
    assert isinstance(message.content, types.TextContent)
    assert message.content_as_list == [message.content]


def test_a_type_that_is_no_text_is_an_unknown_block_and_not_a_crash():
    result = types.CallToolResult._wrap({"content": [{"type": ["text"]}, {"type": None}, {}]})
    assert [type(block) for block in result.content] == [Object, Object, Object]


def test_absent_fields_read_as_the_specification_has_them():
    result = types.CallToolResult._wrap({})
    assert result.is_error is result.isError is False
    assert result.content == []
    assert result.structured_content is None
    assert types.Tool._wrap({"name": "x"}).title is None
    with pytest.raises(AttributeError, match="came without 'inputSchema'"):
        _ = types.Tool._wrap({"name": "x"}).inputSchema
    assert result.model_dump() == {}


def test_an_unknown_field_is_an_attribute_error_and_an_absent_key_a_key_error():
    tool = wrapped(types.Tool, TOOL)
    with pytest.raises(AttributeError, match="'Tool' object has no attribute 'nope'"):
        _ = tool.nope
    with pytest.raises(KeyError, match="nope"):
        tool["nope"]
    with pytest.raises(KeyError):
        del tool["nope"]
    with pytest.raises(AttributeError):
        del tool.nope
    assert tool.get("nope", 3) == 3
    assert not hasattr(tool, "_repr_html_")


def test_nested_values_stay_the_same_objects_and_changes_to_them_persist():
    result = wrapped(types.CallToolResult, RESULT)
    assert result.content is result.content
    assert result.content[0] is result["content"][0]
    result.content[0].text = "9"
    result.content.append({"type": "text", "text": "10"})
    assert result.content[-1].text == "10"
    assert result.model_dump()["content"][0]["text"] == "9"


def test_a_value_is_a_mapping():
    tool = wrapped(types.Tool, TOOL)
    assert dict(**tool.execution) == {"taskSupport": "optional", "newer": True}
    assert list(tool) == list(tool.keys()) == list(TOOL)
    assert len(tool) == len(TOOL)
    assert dict(tool.items())["execution"] is tool.execution
    assert next(iter(tool.values())) == "add"
    assert bool(types.EmptyResult._wrap({})) is True


def test_completion_values_are_the_field_and_not_the_method():
    completion = types.Completion._wrap({"values": ["a"], "hasMore": True})
    assert completion.values == ["a"]
    assert completion.has_more is True
    assert dict(completion) == {"values": ["a"], "hasMore": True}


def test_values_equal_dicts_and_values_with_the_same_content():
    assert wrapped(types.Tool, TOOL) == TOOL
    assert wrapped(types.Tool, TOOL) == wrapped(Object, TOOL)
    assert wrapped(types.Tool, TOOL) != {**TOOL, "name": "sub"}
    assert wrapped(types.Tool, TOOL) != "add"
    with pytest.raises(TypeError, match="unhashable"):
        hash(wrapped(types.Tool, TOOL))


def test_a_constructor_copies_what_it_is_given_and_knows_what_it_needs():
    schema = {"type": "object"}
    tool = types.Tool(name="add", inputSchema=schema, description=None)
    assert tool.model_dump() == {"name": "add", "inputSchema": {"type": "object"}}
    tool.inputSchema["type"] = "array"
    assert schema == {"type": "object"}
    assert types.TextContent(text="x").model_dump() == {"type": "text", "text": "x"}
    with pytest.raises(TypeError, match=r"Tool\(\) needs 'inputSchema', 'name'"):
        types.Tool()
    with pytest.raises(TypeError, match=r"Tool\.model_validate\(\) takes a dict, not list"):
        types.Tool.model_validate([])
    validated = types.Tool.model_validate({"name": "a", "input_schema": schema})
    assert validated.model_dump() == {"name": "a", "inputSchema": schema}


def test_no_null_goes_out_where_the_protocol_has_none():
    tool = types.Tool(name="a", inputSchema={}, description="d")
    tool.description = None
    assert tool.model_dump() == {"name": "a", "inputSchema": {}}
    assert types.ErrorData(code=1, message="m", data=None).model_dump()["data"] is None


def test_every_class_of_the_official_names_is_there():
    for name in types.__all__:
        assert hasattr(types, name)
    assert types.ErrorData(code=types.INVALID_PARAMS, message="m").code == -32602


def test_a_chat_response_reads_by_attributes_and_by_subscripts():
    response = wrapped(ModelResponse, RESPONSE)
    call = response["choices"][0]["message"]["tool_calls"][0]
    assert isinstance(call, ChatCompletionMessageToolCall)
    assert call is response.choices[0].message.tool_calls[0]
    assert call["function"]["name"] == call.function.name == "add"
    assert response.usage.completion_tokens_details.reasoning_tokens == 0
    assert response.choices[0].message.function_call is None
    assert json.loads(json.dumps(response, default=str)) == str(response)
    assert response.json() == response.model_dump() == response.dict()


def test_fields_that_providers_add_are_attribute_errors_when_they_are_absent_or_null():
    message = wrapped(ModelResponse, RESPONSE).choices[0].message
    for name in ("refusal", "audio", "images", "annotations", "reasoning_content"):
        assert not hasattr(message, name)
        assert getattr(message, name, "default") == "default"
        assert name not in message
        assert message.get(name, "default") == "default"
    assert message["refusal"] is None
    choice = wrapped(ModelResponse, RESPONSE).choices[0]
    assert not hasattr(choice, "logprobs")
    assert not hasattr(wrapped(ModelResponseStream, {}), "usage")


def test_known_chat_fields_read_as_none_when_they_are_absent():
    message = Message._wrap({})
    assert message.content is message.tool_calls is message.function_call is None
    assert message["tool_calls"] is None
    assert message.role == "assistant"
    assert message.get("tool_calls", []) == []


def test_chat_dumps_leave_out_none_where_the_class_knows_the_field():
    sent = copy.deepcopy(RESPONSE)
    sent["choices"][0]["message"]["provider_specific_fields"] = {"kept": None}
    dumped = wrapped(ModelResponse, sent).model_dump(exclude_none=True)
    message = dumped["choices"][0]["message"]
    assert list(message) == ["role", "tool_calls", "provider_specific_fields"]
    assert message["provider_specific_fields"] == {"kept": None}
    assert "logprobs" not in dumped["choices"][0]


def test_chat_dumps_show_the_fields_that_litellm_always_shows():
    assert Message._wrap({"content": "hi"}).model_dump() == {
        "content": "hi",
        "role": "assistant",
        "tool_calls": None,
        "function_call": None,
    }
    assert Message._wrap({"content": "hi"}).to_dict() == {"content": "hi"}
    assert Message._wrap({"content": "hi"}).model_dump(exclude_none=True) == {"content": "hi"}


def test_include_and_exclude_choose_members_of_the_top_level():
    response = wrapped(ModelResponse, RESPONSE)
    assert response.model_dump(include={"id", "model"}) == {"id": "chatcmpl-1", "model": "gpt-4o"}
    assert "choices" not in response.model_dump(exclude={"choices"})
    assert "inputSchema" not in wrapped(types.Tool, TOOL).model_dump(exclude=["input_schema"])
    with pytest.raises(TypeError, match="exclude takes a set of names of the top level, not dict"):
        response.model_dump(exclude={"choices": {"__all__": {"message"}}})


def test_hidden_params_are_no_part_of_the_answer_and_survive_copies_and_pickling():
    response = wrapped(ModelResponse, RESPONSE)
    assert response._hidden_params == {}
    response._hidden_params["response_cost"] = 0.5
    assert response == RESPONSE
    assert "_hidden_params" not in response.model_dump()
    for copied in (pickle.loads(pickle.dumps(response)), copy.copy(response), response.copy()):
        assert copied._hidden_params == {"response_cost": 0.5}
        assert copied == response
    chunk = ModelResponseStream._wrap({})
    chunk._hidden_params = {"model_id": "1"}
    assert pickle.loads(pickle.dumps(chunk))._hidden_params == {"model_id": "1"}


def test_reasoning_is_read_where_some_servers_put_it():
    assert Delta._wrap({"reasoning": "because"}).reasoning_content == "because"
    assert Delta._wrap({"reasoning_content": "a", "reasoning": "b"}).reasoning_content == "a"


def test_a_tool_call_without_an_id_gets_one_that_stays():
    call = ChatCompletionMessageToolCall._wrap({"function": {"name": "f", "arguments": "{}"}})
    assert call.id.startswith("call_")
    assert call.id == call.model_dump()["id"]
    assert call.type == "function"
    assert Function(arguments={"a": 1}, name="f").arguments == '{"a": 1}'


def test_a_chunk_without_a_delta_has_an_empty_one():
    chunk = ModelResponseStream._wrap({"choices": [{"index": 0, "finish_reason": "stop"}]})
    assert chunk.choices[0].delta.content is None
    assert chunk.object == "chat.completion.chunk"


def test_a_repr_reads_like_the_constructor():
    assert repr(types.TextContent(text="8")) == "TextContent(type='text', text='8')"
    call = wrapped(ModelResponse, RESPONSE).choices[0].message.tool_calls[0]
    assert repr(call) == (
        "ChatCompletionMessageToolCall(id='call_1', type='function', "
        "function=Function(name='add', arguments='{\"a\": 3}'))"
    )
    assert "meta={'io.example/k': None}" in repr(wrapped(types.Tool, TOOL))


def test_a_notebook_shows_long_values_cut():
    pretty = pytest.importorskip("IPython.lib.pretty")
    text = types.TextContent(text="x" * 5_000_000)
    shown = pretty.pretty(text)
    assert len(shown) < 2_000
    assert "(5000000 characters)" in shown
    page = types.ListToolsResult._wrap({"tools": [dict(TOOL) for _ in range(5_000)]})
    assert "(5000 items)" in pretty.pretty(page)
    assert pretty.pretty(types.TextContent(text="8")) == "TextContent(type='text', text='8')"


def test_a_fresh_chunk_is_read_in_a_few_microseconds():
    data = {"choices": [{"index": 0, "delta": {"content": "hi"}}]}

    def fresh():
        return {"choices": [{"index": 0, "delta": {**data["choices"][0]["delta"]}}]}

    def read():
        return ModelResponseStream._wrap(fresh()).choices[0].delta.content

    making = min(timeit.repeat(fresh, number=2_000, repeat=15))
    reading = min(timeit.repeat(read, number=2_000, repeat=15))
    # A ratio, because machines differ: making the three dicts takes about a third of a microsecond.
    assert reading < 12 * making


def test_the_classes_import_without_the_slow_modules():
    script = (
        "import sys; before = set(sys.modules);"
        "import toolbridge.objects, toolbridge.exceptions, toolbridge.types;"
        "slow = {'typing', 'dataclasses', 'inspect', 're', 'json', 'enum', 'asyncio', 'logging'};"
        "print(sorted(slow & (set(sys.modules) - before)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("[]", "")
