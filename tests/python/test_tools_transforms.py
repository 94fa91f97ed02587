"""The transforms of the tool bridge, against the fixtures that the Rust tests read too."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolbridge
from toolbridge.exceptions import ConfigurationError, ToolCallArgumentsError
from toolbridge.experimental_mcp_client import call_mcp_tool, call_openai_tool, load_mcp_tools
from toolbridge.experimental_mcp_client.tools import (
    list_tools_with_pagination,
    read_tool_arguments,
    transform_mcp_tool_to_anthropic_tool,
    transform_mcp_tool_to_openai_responses_api_tool,
    transform_mcp_tool_to_openai_tool,
    transform_openai_tool_call_request_to_mcp_tool_call_request,
)
from toolbridge.mcp.types import CallToolRequestParams, Tool
from toolbridge.types import ChatCompletionMessageToolCall, Function

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "tools").glob("*.json"))
TRANSFORMS = {
    "openai": transform_mcp_tool_to_openai_tool,
    "openai_responses": transform_mcp_tool_to_openai_responses_api_tool,
    "anthropic": transform_mcp_tool_to_anthropic_tool,
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
SCHEMAS = st.dictionaries(
    st.sampled_from(["type", "properties", "additionalProperties", "$defs", "anyOf"])
    | st.text(max_size=4),
    JSON,
    max_size=5,
)


def read(openai_tool, **options):
    return transform_openai_tool_call_request_to_mcp_tool_call_request(openai_tool, **options)


def call(arguments, name="add"):
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("form", TRANSFORMS)
def test_tools_become_what_litellm_makes_of_them_where_their_provider_takes_that_key_order_included(
    path, form
):
    case = json.loads(path.read_text())
    untouched = json.dumps(case["tool"])
    for tool in (case["tool"], Tool.model_validate(case["tool"])):
        assert json.dumps(TRANSFORMS[form](tool)) == json.dumps(case[form])
    assert json.dumps(case["tool"]) == untouched


@given(schema=SCHEMAS)
def test_a_schema_is_whole_or_what_is_changed_is_told(schema):
    tool = {"name": "t", "inputSchema": schema}
    described, changes = transform_mcp_tool_to_openai_tool(tool, report=True)
    parameters = described["function"]["parameters"]
    assert {"type", "properties", "additionalProperties"} <= parameters.keys()
    if all(change["action"] == "added" for change in changes):
        assert {key: parameters[key] for key in schema} == schema
    anthropic, changes = transform_mcp_tool_to_anthropic_tool(tool, report=True)
    if all(change["action"] == "added" for change in changes):
        assert {key: anthropic["input_schema"][key] for key in schema} == schema


UNION = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "text": {"type": "string"}},
    "anyOf": [{"required": ["id"]}, {"required": ["text"]}],
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_what_is_changed_is_reported_where_that_is_asked_for_and_logged_otherwise(
    transform, caplog
):
    caplog.set_level(logging.INFO, "toolbridge.schema")
    tool = {"name": "find", "inputSchema": UNION}
    described, changes = transform(tool, report=True)
    assert caplog.records == []
    assert [(change["path"], change["keyword"], change["action"]) for change in changes] == [
        ("", "anyOf", "widened")
    ]
    assert transform(tool) == described
    assert "the schema of the tool 'find' is changed" in caplog.text
    assert "root: anyOf widened" in caplog.text
    caplog.clear()
    assert transform({"name": "ping"}, report=True)[1] is not None
    assert transform({"name": "ping"})
    assert caplog.records == []


def test_strict_tools_are_read_back():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": []}
    tool = {"name": "t", "inputSchema": schema}
    for transform in (
        transform_mcp_tool_to_openai_tool,
        transform_mcp_tool_to_openai_responses_api_tool,
    ):
        described = transform(tool, strict=True)
        function = described.get("function", described)
        assert function["strict"] is True
        assert function["parameters"]["required"] == ["a", "b"]
    sent = '{"a": null, "b": "[1, 2]"}'
    assert read_tool_arguments(tool, sent, strict=True) == {"b": [1, 2]}
    assert read_tool_arguments(Tool.model_validate(tool), None) == {}
    assert read_tool_arguments(tool, {"a": 1}) == {"a": 1}


def test_arguments_that_do_not_fit_say_where_and_what_fits():
    tool = {"name": "find", "inputSchema": UNION}
    with pytest.raises(ToolCallArgumentsError) as caught:
        read_tool_arguments(tool, '{"id": 5}')
    assert caught.value.tool_name == "find"
    assert caught.value.arguments == '{"id": 5}'
    assert caught.value.message == (
        'The arguments for the tool "find" do not fit its schema: at /id they have 5, and the schema'
        " accepts a string. Call it again with arguments that fit."
    )
    with pytest.raises(ToolCallArgumentsError, match="not valid JSON"):
        read_tool_arguments(tool, '{"id"')


def test_a_tool_may_have_the_snake_case_names_of_the_official_sdk_2():
    schema = {"type": "object", "properties": {"a": {}}}
    expected = transform_mcp_tool_to_openai_tool({"name": "add", "inputSchema": schema})
    for tool in (
        {"name": "add", "input_schema": schema},
        SimpleNamespace(name="add", description=None, input_schema=schema),
        SimpleNamespace(name="add", description=None, inputSchema=schema),
    ):
        assert transform_mcp_tool_to_openai_tool(tool) == expected


def test_the_tool_is_passed_by_the_name_that_litellm_gives_it():
    assert transform_mcp_tool_to_openai_tool(mcp_tool={"name": "a"})["type"] == "function"
    described = transform_mcp_tool_to_openai_responses_api_tool(mcp_tool={"name": "a"})
    assert described["name"] == "a"


@pytest.mark.parametrize("wrong", [3, None, "add", [], Tool, object()], ids=repr)
def test_what_is_no_tool_is_a_type_error_that_says_what_is_taken(wrong):
    for transform in TRANSFORMS.values():
        with pytest.raises(TypeError, match="mcp_tool takes a tool of toolbridge or of the mcp"):
            transform(wrong)


def test_a_tool_that_cannot_be_used_is_an_error_that_says_why():
    with pytest.raises(ConfigurationError, match='inputSchema of the tool "a" is a text'):
        transform_mcp_tool_to_openai_tool({"name": "a", "inputSchema": "object"})
    with pytest.raises(ConfigurationError, match="a tool has no name"):
        transform_mcp_tool_to_openai_tool({"inputSchema": {}})
    with pytest.raises(ConfigurationError, match="the name of a tool is a text, not null"):
        transform_mcp_tool_to_openai_tool({"name": None})


def test_a_tool_call_is_read_from_every_object_that_has_one():
    openai = importlib.import_module("openai.types.chat")
    responses = importlib.import_module("openai.types.responses")
    function = {"name": "add", "arguments": '{"a": 3}'}
    theirs = openai.ChatCompletionMessageToolCall.model_validate(call('{"a": 3}'))
    ours = ChatCompletionMessageToolCall._wrap(call('{"a": 3}'))
    response = responses.ResponseFunctionToolCall(
        type="function_call", call_id="1", name="add", arguments='{"a": 3}'
    )
    for openai_tool in (
        call('{"a": 3}'),
        ours,
        ours.model_dump(),
        theirs,
        theirs.model_dump(),
        {"function": theirs.function},
        {"function": Function(**function)},
        {"type": "function_call", "call_id": "1", **function},
        response,
        response.model_dump(),
        {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 3}},
    ):
        params = read(openai_tool)
        assert isinstance(params, CallToolRequestParams)
        assert (params.name, params.arguments) == ("add", {"a": 3})
        assert params.model_dump() == {"name": "add", "arguments": {"a": 3}}


@given(arguments=st.dictionaries(st.text(), JSON))
def test_any_object_that_a_model_sends_arrives(arguments):
    assert read(call(json.dumps(arguments))).arguments == arguments
    assert read(call(json.dumps(arguments, ensure_ascii=False))).arguments == arguments
    assert read(call(arguments)).arguments == arguments


@pytest.mark.parametrize("blank", ["", " \n", None, {}], ids=repr)
def test_no_arguments_are_an_empty_object(blank):
    assert read(call(blank)).arguments == {}
    assert read({"function": {"name": "add"}}).arguments == {}


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ('{"a": ', "not valid JSON"),
        ("{'a': 3}", "not valid JSON"),
        ('{"a": 3} trailing', "not valid JSON"),
        ("[1, 2]", "a list instead of a JSON object"),
        ('"text"', "a text instead of a JSON object"),
        ("null", "null instead of a JSON object"),
        ("3", "a number instead of a JSON object"),
        ([1], "list instead of a JSON object"),
        (3, "int instead of a JSON object"),
    ],
    ids=repr,
)
def test_arguments_that_are_no_object_are_an_error_that_shows_what_the_model_sent(sent, problem):
    with pytest.raises(ToolCallArgumentsError) as caught:
        read(call(sent))
    error = caught.value
    assert str(error).startswith("the arguments for the tool 'add' are ")
    assert problem in str(error)
    assert str(sent) in str(error)
    assert error.tool_name == "add"
    assert read(call(sent), strict=False).arguments == {}


@pytest.mark.parametrize("wrong", [3, None, "add", [call("{}")], Function, object()], ids=repr)
def test_what_is_no_tool_call_is_a_type_error_that_says_what_is_taken(wrong):
    with pytest.raises(TypeError, match="openai_tool takes a tool call of toolbridge, openai or"):
        read(wrong)


@pytest.mark.parametrize(
    "nameless", [{}, {"function": {}}, {"function": {"name": ""}}, {"function": {"name": 3}}]
)
def test_a_tool_call_without_a_name_is_an_error(nameless):
    with pytest.raises(ConfigurationError, match="the tool call names no tool"):
        read(nameless)


class Session:
    """What a session has, and nothing behind it: the argument checks come first."""

    async def list_tools(self, **_):
        raise AssertionError

    async def call_tool(self, **_):
        raise AssertionError


@pytest.mark.parametrize("wrong", [None, "stdio", Session, object()], ids=repr)
def test_what_is_no_session_is_a_type_error_that_says_what_is_taken(wrong):
    for made in (
        load_mcp_tools(wrong),
        load_mcp_tools(wrong, format="openai"),
        list_tools_with_pagination(wrong),
        call_openai_tool(wrong, call("{}")),
        call_mcp_tool(wrong, {"name": "add"}),
    ):
        with pytest.raises(TypeError, match=r"session takes a ClientSession of toolbridge\.mcp"):
            asyncio.run(made)


def test_wrong_arguments_beside_the_session_are_named():
    session = Session()
    with pytest.raises(ConfigurationError, match='format takes "mcp" or "openai", not \'gemini\''):
        asyncio.run(load_mcp_tools(session, format="gemini"))
    with pytest.raises(TypeError, match="listing_deadline takes seconds as a number or None"):
        asyncio.run(list_tools_with_pagination(session, "soon"))
    with pytest.raises(ConfigurationError, match="listing_deadline takes a number of seconds abo"):
        asyncio.run(list_tools_with_pagination(session, 0))
    with pytest.raises(TypeError, match="call_tool_request_params takes a CallToolRequestParams"):
        asyncio.run(call_mcp_tool(session, 3))
    with pytest.raises(ToolCallArgumentsError):
        asyncio.run(call_openai_tool(session, call("[")))


def test_the_module_answers_to_every_import_path_of_litellm():
    from toolbridge import experimental_mcp_client, mcp_client
    from toolbridge.mcp_client.tools import load_mcp_tools as by_the_other_name

    assert mcp_client is experimental_mcp_client is toolbridge.experimental_mcp_client
    assert by_the_other_name is load_mcp_tools
    assert set(experimental_mcp_client.__all__) >= {"load_mcp_tools", "call_openai_tool"}
