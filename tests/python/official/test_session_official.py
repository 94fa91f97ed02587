"""Our sessions beside the official SDK that is installed, 1.x or 2.x: its lists, its objects."""

from __future__ import annotations

import mcp.types
import pytest
from mcp import ClientSession as OfficialSession
from mcp import StdioServerParameters as OfficialParameters
from mcp.client.stdio import DEFAULT_INHERITED_ENV_VARS
from mcp.client.stdio import get_default_environment as official_environment
from mcp.client.stdio import stdio_client as official_stdio_client

from servers.sessions import ask, scripted, session
from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client
from toolbridge.mcp.client.stdio import get_default_environment


def official(parameters: StdioServerParameters) -> OfficialParameters:
    return OfficialParameters(command=parameters.command, args=parameters.args)


def test_the_inherited_environment_is_the_official_one(monkeypatch):
    for name in DEFAULT_INHERITED_ENV_VARS:
        monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.setenv("API_TOKEN", "secret")
    assert get_default_environment() == official_environment()
    monkeypatch.setenv("SHELL", "() { :; }")
    monkeypatch.delenv("LOGNAME", raising=False)
    assert get_default_environment() == official_environment()


@pytest.mark.asyncio
async def test_a_server_sees_the_same_environment_from_both():
    parameters = scripted(env={"EXTRA": "1"})
    theirs = OfficialParameters(
        command=parameters.command, args=parameters.args, env=parameters.env
    )
    async with session(server=parameters) as one:
        ours = (await ask(one, "environment"))["environ"]
    async with official_stdio_client(theirs) as streams, OfficialSession(*streams) as other:
        await other.initialize()
        answer = await other.call_tool("environment", {})
        dumped = answer.model_dump(by_alias=True)
    assert ours == dumped["structuredContent"]["value"]["environ"]


@pytest.mark.asyncio
async def test_official_server_parameters_are_taken():
    async with (
        stdio_client(official(scripted()), None) as streams,
        ClientSession(*streams) as one,
    ):
        await one.initialize()
        assert await ask(one, "echo", a=1) == {"a": 1}


@pytest.mark.asyncio
async def test_our_streams_tell_an_official_session_whose_they_are():
    async with stdio_client(scripted()) as streams:
        with pytest.raises((BaseExceptionGroup, TypeError, AttributeError)) as found:
            async with OfficialSession(*streams) as other:
                await other.initialize()
        failure = found.value
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
    assert "give it to toolbridge.mcp.ClientSession" in str(failure)


@pytest.mark.asyncio
async def test_official_streams_are_refused_by_name():
    async with official_stdio_client(official(scripted())) as (read, write):
        with pytest.raises(TypeError, match="read_stream takes a stream of a toolbridge") as found:
            ClientSession(read, write)
        assert "official mcp package" in str(found.value)


@pytest.mark.asyncio
async def test_both_sessions_dump_the_same_known_fields():
    async with session() as one:
        ours = [await one.list_prompts(), await one.list_resources(), await one.send_ping()]
    parameters = official(scripted())
    async with official_stdio_client(parameters) as streams, OfficialSession(*streams) as other:
        await other.initialize()
        theirs = [await other.list_prompts(), await other.list_resources(), await other.send_ping()]
    for mine, its in zip(ours, theirs, strict=True):
        known = its.model_dump(by_alias=True, exclude_none=True, mode="json")
        # What SDK 2 adds of its own to every result is not on the wire.
        known = {key: value for key, value in known.items() if key in mine}
        assert mine.model_dump(by_alias=True, exclude_none=True) == known


@pytest.mark.asyncio
async def test_official_objects_are_taken_as_arguments_and_from_callbacks():
    def sampling(_context, params):
        if params.maxTokens == 0:
            return mcp.types.ErrorData(code=-5, message="no tokens", data={"n": 0})
        content = mcp.types.TextContent(type="text", text="official")
        return mcp.types.CreateMessageResult(role="assistant", content=content, model="m")

    client_info = mcp.types.Implementation(name="mine", version="1")
    async with session(sampling_callback=sampling, client_info=client_info) as one:
        page = await one.list_tools(params=mcp.types.PaginatedRequestParams(cursor="1"))
        assert page.tools[0].name == "echo1"
        initialize = (await ask(one, "got"))[0]
        assert initialize["params"]["clientInfo"] == {"name": "mine", "version": "1"}
        answer = await ask(
            one, "ask", method="sampling/createMessage", params={"messages": [], "maxTokens": 1}
        )
        assert answer["result"]["content"] == {"type": "text", "text": "official"}
        assert answer["result"]["model"] == "m"
        answer = await ask(
            one, "ask", method="sampling/createMessage", params={"messages": [], "maxTokens": 0}
        )
        assert answer["error"] == {"code": -5, "message": "no tokens", "data": {"n": 0}}
        completion = await one.complete(
            mcp.types.PromptReference(type="ref/prompt", name="p"), {"name": "n", "value": ""}
        )
        assert completion.completion.total == 2
