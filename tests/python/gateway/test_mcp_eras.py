"""The official `mcp` client behind the gateway, and the official server behind that: each of either era."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, MCPError
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
)

from gateway.process import ROOT, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = str(ROOT / "tests/python/servers/official.py")
PATIENCE = 60


@contextmanager
def serving(transport: str, era: str) -> Iterator[dict[str, Any]]:
    """The configuration of a server that the gateway takes for one of that era."""
    config: dict[str, Any] = {"protocol_version": era}
    if transport == "stdio":
        yield {**config, "transport": "stdio", "command": sys.executable, "args": [SERVER, "stdio"]}
        return
    command = [sys.executable, SERVER, transport]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        path = "sse" if transport == "sse" else "mcp"
        try:
            yield {**config, "url": f"http://127.0.0.1:{port}/{path}"}
        finally:
            process.kill()


async def elicit(_context: Any, _params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"colour": "blue"})


async def sample(_context: Any, _params: Any) -> CreateMessageResult:
    text = TextContent(type="text", text="sampled")
    return CreateMessageResult(role="assistant", content=text, model="m")


async def roots(_context: Any) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri="file:///r")])


class Caller:
    """A client that answers whatever it is asked, and remembers what it heard."""

    def __init__(self, url: str, mode: str) -> None:
        self.lines: list[Any] = []
        self.progress: list[float] = []
        self.client = Client(
            url,
            mode=mode,
            sampling_callback=sample,
            elicitation_callback=elicit,
            list_roots_callback=roots,
            logging_callback=self.line,
            log_level="debug",
        )

    async def line(self, params: Any) -> None:
        self.lines.append(params.data)

    async def step(self, progress: float, _total: float | None, _message: str | None) -> None:
        self.progress.append(progress)

    async def call(self, tool: str, **arguments: Any) -> str:
        result = await self.client.call_tool(tool, arguments, progress_callback=self.step)
        return str(result.content[0].text)


@pytest.mark.parametrize("transport", ["stdio", "streamable", "sse"])
@pytest.mark.parametrize("client", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("server", ["legacy", "2026-07-28"])
def test_peers_of_any_era_understand_each_other(
    client: str, server: str, transport: str, tmp_path: Path
) -> None:
    if transport == "sse" and server != "legacy":
        pytest.skip("HTTP+SSE has one era")

    async def use(origin: str) -> None:
        caller = Caller(f"{origin}/mcp/one", client)
        async with asyncio.timeout(PATIENCE), caller.client as session:
            assert await caller.call("add", a=1, b=2) == "3"
            assert "add" in [tool.name for tool in (await session.list_tools()).tools]
            assert await caller.call("report", count=3) == "reported"
            assert caller.progress == [0, 1, 2]
            assert caller.lines == [{"step": 0}, {"step": 1}, {"step": 2}] or client == "legacy"
            if server == "legacy":
                assert await caller.call("sample") == "sampled"
                assert await caller.call("elicit") == "accept blue"
                assert await caller.call("roots") == "file:///r"
            else:
                assert await caller.call("choose") == "blue file:///r é as it is"
            assert (await session.read_resource("test://one")).contents[0].text == "one"
            prompt = await session.get_prompt("ask_about", {"topic": "x"})
            assert prompt.messages[0].content.text == "About x."
            with pytest.raises(MCPError, match="Unknown|not found"):
                await session.read_resource("test://nowhere")

    with (
        serving(transport, server) as config,
        running(json.dumps({"mcp_servers": {"one": config}}), tmp_path) as origin,
    ):
        asyncio.run(use(origin))


def test_several_clients_of_both_eras_at_once_are_each_asked_what_is_theirs(tmp_path: Path) -> None:
    async def one(origin: str, number: int) -> None:
        colour = f"colour-{number}"

        async def own(_context: Any, _params: Any) -> ElicitResult:
            await asyncio.sleep(0)
            return ElicitResult(action="accept", content={"colour": colour})

        mode = "legacy" if number % 2 else "2026-07-28"
        async with Client(f"{origin}/mcp/one", mode=mode, elicitation_callback=own) as session:
            for _ in range(3):
                result = await session.call_tool("elicit", {})
                assert result.content[0].text == f"accept {colour}"

    async def all_of_them(origin: str) -> None:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(one(origin, number))

    with (
        serving("streamable", "legacy") as config,
        running(json.dumps({"mcp_servers": {"one": config}}), tmp_path) as origin,
    ):
        asyncio.run(all_of_them(origin))


def test_a_client_of_several_servers_calls_by_their_names(tmp_path: Path) -> None:
    async def use(origin: str) -> None:
        caller = Caller(f"{origin}/mcp", "auto")
        async with asyncio.timeout(PATIENCE), caller.client as session:
            tools = [tool.name for tool in (await session.list_tools()).tools]
            assert {"old-add", "new-add"} <= set(tools)
            assert await caller.call("old-add", a=1, b=2) == "3"
            assert await caller.call("new-choose") == "blue file:///r é as it is"
            assert await caller.call("old-elicit") == "accept blue"
            assert (await session.read_resource("test://one")).contents[0].text == "one"

    with (
        serving("stdio", "legacy") as old,
        serving("streamable", "2026-07-28") as new,
        running(json.dumps({"mcp_servers": {"old": old, "new": new}}), tmp_path) as origin,
    ):
        asyncio.run(use(origin))
