"""`experimental_mcp_client.client.MCPClient`: LiteLLM's names over a connection that is kept open."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import toolbridge
from servers.http_scripted import Exchange, Server
from toolbridge.exceptions import ConfigurationError, TransportError
from toolbridge.experimental_mcp_client.client import MCPClient

SCRIPT = Path(__file__).parent / "servers" / "lasting.py"


def stdio(diary: Path, **more: Any) -> MCPClient:
    config = {
        "command": sys.executable,
        "args": ["-I", str(SCRIPT), str(diary)],
        "env": {"A": "${B}"},
    }
    return MCPClient(transport_type="stdio", stdio_config=config, **more)


def starts(diary: Path) -> int:
    return diary.read_text().count("start ")


@pytest.mark.asyncio
async def test_every_operation_uses_the_connection_that_is_open(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    async with stdio(diary) as client:
        assert "echo" in [tool.name for tool in await client.list_tools()]
        result = await client.call_tool({"name": "echo", "arguments": {"n": 1}})
        assert result.structuredContent == {"value": {"n": 1}}
        assert (await client.list_tools_page()).tools[0].name == "echo"
        assert await client.run_with_session(lambda session: session.send_ping()) == {}
        session = await client.open_persistent_session()
        assert await session.run(lambda session: session.send_ping()) == {}
    assert starts(diary) == 1
    # A client that was closed opens another connection at the next use.
    await client.call_tool({"name": "echo"})
    assert starts(diary) == 2
    await client.aclose()


@pytest.mark.asyncio
async def test_a_failure_is_a_value_unless_it_is_to_be_raised(caplog: Any) -> None:
    client = MCPClient("http://127.0.0.1:1/mcp", timeout=5)
    with caplog.at_level(logging.WARNING, logger="toolbridge.mcp"):
        assert await client.list_tools() == []
        result = await client.call_tool({"name": "echo"})
        assert await client.list_prompts() == []
    assert result.isError
    assert result.content[0].text.startswith("TransportError: cannot connect to the MCP server")
    assert "list_tools of <Server 'server' at http://127.0.0.1:1 " in caplog.text
    with pytest.raises(TransportError):
        await client.list_tools(raise_on_error=True)
    with pytest.raises(TransportError):
        await client.call_tool({"name": "echo"}, raise_on_error=True)
    await client.aclose()


@pytest.mark.parametrize(
    ("auth_type", "auth_value", "name", "value"),
    [
        ("bearer_token", "t", "authorization", "Bearer t"),
        ("bearer_token", "Bearer t", "authorization", "Bearer t"),
        ("oauth2", "t", "authorization", "Bearer t"),
        ("basic", "user:pass", "authorization", "Basic dXNlcjpwYXNz"),
        ("api_key", "k", "x-api-key", "k"),
        ("authorization", "raw", "authorization", "raw"),
        ("token", "t", "authorization", "token t"),
        (None, {"x-own": "h"}, "x-own", "h"),
    ],
)
@pytest.mark.asyncio
async def test_credentials_become_headers(
    auth_type: str | None, auth_value: Any, name: str, value: str
) -> None:
    with Server() as server:
        extra = {"x-extra": "e"}
        async with MCPClient(
            server.url,
            "http",
            auth_type,
            auth_value,
            extra_headers=extra,
            protocol_version="2025-06-18",
        ) as client:
            await client.call_tool({"name": "any"})
        headers = server.seen[0].headers
        assert (headers[name], headers["x-extra"]) == (value, "e")


@pytest.mark.asyncio
async def test_new_credentials_are_used_at_the_next_call() -> None:
    with Server() as server:
        client = MCPClient(server.url, auth_type="api_key", auth_value="one")
        await client.call_tool({"name": "any"})
        client.update_auth_value("two")
        await client.call_tool({"name": "any"})
        await client.aclose()
        calls = [one.headers["x-api-key"] for one in server.seen if one.name == "tools/call"]
        assert calls == ["one", "two"]


@pytest.mark.asyncio
async def test_a_refusal_is_told_to_whoever_calls() -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.respond(401, "who are you?")

    script: dict[str, Any] = {"initialize": refuse, "server__discover": refuse}
    with Server(**script) as server:
        client = MCPClient(server.url)
        with pytest.raises(TransportError, match="status 401"):
            await client.list_tools(raise_on_error=True)
        await client.aclose()


def test_settings_that_cannot_be_used_are_named(monkeypatch: Any) -> None:
    with pytest.raises(ConfigurationError, match="transport_type is 'ws'; it takes 'http', 'sse'"):
        MCPClient("http://h", transport_type="ws")
    with pytest.raises(ConfigurationError, match="protocol_version is '1'"):
        MCPClient("http://h", protocol_version="1")
    with pytest.raises(ConfigurationError, match="2026-07-28 has no transport_type 'sse'"):
        MCPClient("http://h", transport_type="sse", protocol_version="2026-07-28")
    with pytest.raises(ConfigurationError, match="auth_type is 'magic'"):
        MCPClient("http://h", auth_type="magic", auth_value="x")
    monkeypatch.setenv("LITELLM_MCP_CLIENT_TIMEOUT", "soon")
    with pytest.raises(ConfigurationError, match="LITELLM_MCP_CLIENT_TIMEOUT is 'soon'"):
        MCPClient("http://h")
    assert "s3cret" not in repr(MCPClient("http://h/s3cret", timeout=1))


def test_a_client_that_nobody_closes_serves_one_loop_after_another(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    code = (
        "import asyncio, sys\n"
        "from toolbridge.experimental_mcp_client.client import MCPClient\n"
        "client = MCPClient(transport_type='stdio', stdio_config={'command': sys.executable,"
        f" 'args': ['-I', {str(SCRIPT)!r}, {str(diary)!r}]}})\n"
        "for number in range(2):\n"
        "    call = client.call_tool({'name': 'echo', 'arguments': {'n': number}})\n"
        "    print(asyncio.run(call).structuredContent)\n"
    )
    import subprocess

    package = str(Path(toolbridge.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{'value': {'n': 0}}\n{'value': {'n': 1}}\n", "")
    for line in diary.read_text().splitlines():
        if line.startswith("start "):
            with pytest.raises(ProcessLookupError):
                os.kill(int(line.split()[1]), 0)


def test_no_loop_runs_when_it_is_made() -> None:
    client = MCPClient("http://127.0.0.1:1/mcp")
    assert asyncio.run(client.aclose()) is None  # type: ignore[func-returns-value]
