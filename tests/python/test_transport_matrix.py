"""One body of sessions over every transport, against servers that others wrote.

Those of the official `mcp` package, 2.x and 1.x, and of `fastmcp`; the last two live in environments of
their own, which `make test` makes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from toolbridge.mcp import (
    Client,
    ClientSession,
    MCPError,
    StdioServerParameters,
    stdio_client,
    types,
)
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client, streamablehttp_client
from toolbridge.mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

pytest.importorskip("mcp.server.mcpserver", reason="needs the official SDK 2")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The Python of each server, and its program.
SERVERS = {
    "mcp2": (sys.executable, "official.py"),
    "mcp1": (str(ROOT / ".venv-mcp1/bin/python"), "official_sdk1.py"),
    "fastmcp": (str(ROOT / ".venv-fastmcp/bin/python"), "fast.py"),
}
HANDSHAKE = ("stdio", "sse", "streamable", "stateless", "json")
# The same servers, spoken to without a handshake.
WITHOUT = ("modern stdio", "modern streamable", "modern json")


def places(server, *modes):
    """A server in each of these modes."""
    return [f"{server} {mode}" for mode in modes]


MODERN = places("mcp2", *WITHOUT)
SDK_2 = places("mcp2", *HANDSHAKE, *WITHOUT)
ALL = [
    *SDK_2,
    *places("mcp1", *HANDSHAKE),
    *places("fastmcp", *HANDSHAKE, *WITHOUT),
]
# A JSON answer is one message; a server without sessions cannot match an answer to its question.
REPORTING = [
    *places("mcp2", "stdio", "sse", "streamable", "stateless", "modern stdio", "modern streamable"),
    *places("mcp1", "stdio", "sse", "streamable", "stateless"),
]
ASKING = [
    one for server in ("mcp2", "mcp1") for one in places(server, "stdio", "sse", "streamable")
]
CANCELLING = [
    *places("mcp2", "stdio", "sse", "streamable", "json", "modern stdio", "modern streamable"),
    *places("mcp1", "stdio", "sse", "streamable"),
]


def command_of(place):
    """The command of a server, or a skip where it is not installed."""
    server, *_, mode = place.split()
    python, program = SERVERS[server]
    if not Path(python).exists():
        pytest.skip(f"{python} is not there: make test makes it")
    return [python, str(HERE / "servers" / program), mode]


@pytest.fixture(scope="module")
def urls():
    """The URL of a server, which is started when it is first asked for."""
    processes, found = [], {}

    def url_of(place):
        place = place.replace("modern ", "")
        if place not in found:
            process = subprocess.Popen(command_of(place), stdout=subprocess.PIPE, text=True)
            processes.append(process)
            path = "sse" if place.endswith("sse") else "mcp"
            found[place] = f"http://127.0.0.1:{int(process.stdout.readline())}/{path}"
        return found[place]

    try:
        yield url_of
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def transport(place, urls):
    if place.endswith("stdio"):
        command, *arguments = command_of(place)
        return stdio_client(StdioServerParameters(command, arguments), None)
    return (sse_client if place.endswith("sse") else streamable_http_client)(urls(place))


@asynccontextmanager
async def opened(place, urls, **options):
    options.setdefault("read_timeout_seconds", 30)
    if "modern" in place:
        server = transport(place, urls) if place.endswith("stdio") else urls(place)
        async with Client(server, log_level="info", **options) as client:
            assert client.protocol_version == "2026-07-28"
            assert client.server_info.name == "official"
            yield client
        return
    async with (
        transport(place, urls) as (read, write),
        ClientSession(read, write, **options) as session,
    ):
        result = await session.initialize()
        assert result.serverInfo.name == "official"
        yield session


async def text_of(session, tool, **arguments):
    result = await session.call_tool(tool, arguments)
    assert not result.isError, result
    return result.content[0].text


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ALL)
async def test_every_request_of_a_session_is_answered(place, urls):
    async with opened(place, urls) as session:
        assert session.instructions == "Call a tool."
        await session.send_ping()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"add", "large", "hold"} <= tools
        assert await text_of(session, "add", a=2, b=3) == "5"
        failed = await session.call_tool("fail", {"reason": "on purpose"})
        assert failed.isError
        assert "fail" in failed.content[0].text
        read = await session.read_resource("test://one")
        assert read.contents[0].text == "one"
        prompt = await session.get_prompt("ask_about", {"topic": "tests"})
        assert prompt.messages[0].content.text == "About tests."
        with pytest.raises(MCPError) as refused:
            await session.get_prompt("no such prompt")
        assert refused.value.code != -32090


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ALL)
async def test_a_megabyte_comes_whole_and_a_hundred_calls_run_at_once(place, urls):
    async with opened(place, urls) as session:
        assert await text_of(session, "large", size=1 << 20) == "x" * (1 << 20)
        sums = await asyncio.gather(
            *(text_of(session, "add", a=number, b=1) for number in range(100))
        )
        assert sums == [str(number + 1) for number in range(100)]


@pytest.mark.asyncio
@pytest.mark.parametrize("place", REPORTING)
async def test_progress_and_log_lines_come_in_order_before_the_result(place, urls):
    heard = []

    async def on_progress(progress, total, message):
        heard.append(("progress", progress, total, message))

    async def on_log(params):
        heard.append(("log", params.level, params.logger, params.data))

    async with opened(place, urls, logging_callback=on_log) as session:
        result = await session.call_tool("report", {"count": 20}, progress_callback=on_progress)
        assert result.content[0].text == "reported"
        progress = [one for one in heard if one[0] == "progress"]
        assert progress == [("progress", step, 20, f"step {step}") for step in range(20)]
        logged = [one for one in heard if one[0] == "log"]
        assert logged == [("log", "info", "test", {"step": step}) for step in range(20)]


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ASKING)
async def test_the_server_asks_the_client_in_the_middle_of_a_call(place, urls):
    async def on_sampling(context, params):
        assert params.maxTokens == 7
        return types.CreateMessageResult(
            role="assistant", content={"type": "text", "text": "that one"}, model="none"
        )

    async def on_elicitation(context, params):
        assert params.message == "Which colour?"
        return types.ElicitResult(action="accept", content={"colour": "red"})

    async def on_roots(context):
        return types.ListRootsResult(roots=[types.Root(uri="file:///work")])

    callbacks = {
        "sampling_callback": on_sampling,
        "elicitation_callback": on_elicitation,
        "list_roots_callback": on_roots,
    }
    async with opened(place, urls, **callbacks) as session:
        assert await text_of(session, "sample") == "that one"
        assert await text_of(session, "elicit") == "accept red"
        assert await text_of(session, "roots") == "file:///work"


@pytest.mark.asyncio
@pytest.mark.parametrize("place", MODERN)
async def test_input_that_the_server_wants_comes_from_the_callbacks(place, urls):
    async def on_elicitation(context, params):
        assert params.message == "Which colour?"
        return types.ElicitResult(action="accept", content={"colour": "red"})

    def on_roots(context):
        return types.ListRootsResult(roots=[types.Root(uri="file:///work")])

    callbacks = {"elicitation_callback": on_elicitation, "list_roots_callback": on_roots}
    async with opened(place, urls, **callbacks) as session:
        assert await text_of(session, "choose") == "red file:///work é as it is"
        wish = await session.call_tool("choose", allow_input_required=True)
        assert isinstance(wish, types.InputRequiredResult)
        assert set(wish.input_requests) == {"colour", "ä"}
        answers = {
            "colour": {"action": "accept", "content": {"colour": "blue"}},
            "ä": {"roots": [{"uri": "file:///other"}]},
        }
        result = await session.call_tool(
            "choose", input_responses=answers, request_state=wish.request_state
        )
        assert result.content[0].text == "blue file:///other é as it is"


@pytest.mark.asyncio
@pytest.mark.parametrize("place", MODERN)
async def test_changes_are_told_to_a_subscription_and_to_the_message_handler(place, urls):
    heard = []
    async with (
        opened(
            place, urls, message_handler=lambda message: heard.append(message.method)
        ) as session,
        session.listen(
            tools_list_changed=True, resource_subscriptions=["test://one"]
        ) as subscription,
    ):
        assert subscription.honored.tools_list_changed is True
        assert subscription.honored.resource_subscriptions == ["test://one"]
        assert await text_of(session, "announce") == "announced"
        told = {await anext(subscription), await anext(subscription)}
        assert told == {ToolsListChanged(), ResourceUpdated("test://one")}
        assert "notifications/tools/list_changed" in heard
        assert "notifications/resources/updated" in heard


@pytest.mark.asyncio
async def test_the_client_finds_the_old_transport_behind_a_url(urls):
    async with Client(urls("mcp2 sse"), read_timeout_seconds=30) as client:
        assert client.protocol_version == "2025-11-25"
        assert await text_of(client, "add", a=2, b=3) == "5"
    async with Client(urls("mcp2 streamable"), mode="legacy", read_timeout_seconds=30) as client:
        assert client.protocol_version == "2025-11-25"
        assert await text_of(client, "add", a=2, b=3) == "5"


@pytest.mark.asyncio
@pytest.mark.parametrize("place", CANCELLING)
async def test_a_call_that_is_given_up_ends_at_the_server(place, urls):
    async with opened(place, urls) as session:
        held = asyncio.ensure_future(session.call_tool("hold"))
        assert await text_of(session, "wait_for_hold") == "held"
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        assert await text_of(session, "wait_for_release") == "released"


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ALL)
async def test_two_sessions_with_one_server_do_not_meet(place, urls):
    async with opened(place, urls) as left, opened(place, urls) as right:
        answers = await asyncio.gather(
            *(text_of(session, "add", a=1, b=2) for session in (left, right) * 5)
        )
        assert answers == ["3"] * 10


@pytest.mark.asyncio
async def test_the_session_id_is_that_of_the_server(urls):
    async with streamablehttp_client(urls("mcp2 streamable")) as (read, write, get_session_id):
        assert get_session_id() is None
        async with ClientSession(read, write, read_timeout_seconds=30) as session:
            await session.initialize()
            assert len(get_session_id()) == 32
    async with (
        streamablehttp_client(urls("mcp2 stateless")) as (read, write, get_session_id),
        ClientSession(read, write, read_timeout_seconds=30) as session,
    ):
        await session.initialize()
        assert get_session_id() is None
    named = []
    async with (
        sse_client(urls("mcp2 sse"), on_session_created=named.append) as (read, write),
        ClientSession(read, write, read_timeout_seconds=30) as session,
    ):
        await session.initialize()
    assert len(named) == 1
    assert len(named[0]) == 32


@pytest.mark.asyncio
@pytest.mark.parametrize("place", SDK_2)
@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_call_is_made_as_the_schemas_of_its_tool_ask(place, is_listed, urls):
    async with opened(place, urls) as session:
        if is_listed:
            await session.list_tools()
        # The server compares the header with the argument, and the result has a schema.
        result = await session.call_tool("route", {"region": " süd"})
        assert result.structured_content == {"region": " süd"}
        assert not result.is_error
