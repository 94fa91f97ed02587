"""What the public API says to arguments that it does not take: never raw, never silent."""

from __future__ import annotations

import math

import pytest

import toolbridge
from servers.http_scripted import Server
from toolbridge import ConfigurationError
from toolbridge.experimental_mcp_client.client import MCPClient
from toolbridge.mcp import Client, StdioServerParameters
from toolbridge.mcp.client.auth import loopback_redirect
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client
from toolbridge.mcp.shared.auth import OAuthClientMetadata

LEVELS = "'debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'"


def servers(**server):
    return toolbridge.Client({"mcpServers": {"a": server}})


def parameters(*arguments, **keywords):
    return StdioServerParameters("python", *arguments, **keywords)


def http(**keywords):
    return streamable_http_client("http://127.0.0.1:1", **keywords)


CASES = [
    # The servers of a client.
    (
        lambda: toolbridge.Client({"mcpservers": {"a": {"command": "x"}}}),
        'stand under is "mcpServers", not "mcpservers"',
    ),
    (lambda: toolbridge.Client("example.com/mcp"), r"no scheme.*https://example.com/…"),
    (lambda: Client("example.com/mcp"), r"server begins with 'example.com' and has no scheme"),
    (lambda: Client("me:key@example.com/mcp"), r"begins with 'example.com' and has no scheme"),
    (lambda: toolbridge.Client("localhost:80/mcp"), "such as http://localhost:80/…"),
    (lambda: sse_client("h/sse"), "has no scheme"),
    (lambda: Client("ftp://h/mcp"), "scheme 'ftp'; it takes an http or https URL"),
    (lambda: toolbridge.Client("ftp://h/mcp"), "begins with ftp://"),
    (lambda: toolbridge.Client(""), "servers is empty"),
    (lambda: Client(""), "server is empty"),
    (lambda: toolbridge.Client("http://h:99999/"), "URL that cannot be read: Port out of range"),
    (lambda: toolbridge.Client("a\0b"), "servers holds a NUL"),
    (lambda: servers(url="h/mcp"), "a.* has a url that is no absolute http or https URL"),
    (lambda: servers(url=""), "has a url that is no absolute http or https URL"),
    (lambda: servers(command=" "), "has an empty command"),
    (lambda: servers(command="x\0"), "a command with a NUL"),
    (lambda: servers(command="x", args=["a", "\0"]), r"a NUL character in args\[1\]"),
    (lambda: servers(command="x", env={"A=B": "c"}), 'variable "A=B" in env'),
    (lambda: servers(command="x", env={"A": "\0"}), 'the value of "A" in env'),
    (lambda: toolbridge.Client({"": "http://h/mcp"}), "an empty name"),
    # A child process.
    (lambda: parameters(["a\0b"]), r"args\[0\] holds a NUL"),
    (lambda: parameters(["\ud800"]), r"args\[0\] holds a lone surrogate"),
    (lambda: StdioServerParameters("a\0"), "command holds a NUL"),
    (lambda: StdioServerParameters(" "), "command is empty"),
    (lambda: parameters(env={"A=B": "c"}), "variable 'A=B'.*holds no '='"),
    (lambda: parameters(env={"": "c"}), "variable ''; a name is not empty"),
    (lambda: parameters(env={"A": "\0"}), "env: the value of 'A' holds a NUL"),
    (lambda: parameters(cwd=""), "cwd is empty"),
    (lambda: parameters(cwd="\0"), "cwd holds a NUL"),
    # HTTP.
    (lambda: http(headers={"a": "\ud800"}), "headers: the value of a holds a lone surrogate"),
    (lambda: http(auth=("\ud800", "b")), "auth holds a lone surrogate"),
    (lambda: http(auth=""), "auth is empty"),
    (lambda: http(uds="a\0"), "uds holds a NUL"),
    # Sessions.
    (lambda: Client("http://h", log_level="loud"), f"log_level is 'loud'; it takes {LEVELS}"),
    # Authorization.
    (lambda: OAuthClientMetadata(redirect_uris=["x"]), "'x', which is no absolute URI"),
    (lambda: loopback_redirect(99999), "port is 99999; it takes 0 for a free one"),
    (lambda: loopback_redirect(-1), "port is -1"),
    (lambda: loopback_redirect(path="/a\r\nb"), "it takes a slash and the rest of a path"),
]
TYPES = [
    (lambda: OAuthClientMetadata(redirect_uris="x"), "redirect_uris takes a list.*found str"),
    (lambda: OAuthClientMetadata(redirect_uris=[5]), "redirect_uris takes.*found list with int"),
    (lambda: OAuthClientMetadata(redirect_uris=5), "redirect_uris takes a list.*found int"),
    (lambda: loopback_redirect("80"), "port takes an int; found str"),
    (lambda: loopback_redirect(path=5), "path takes a str; found int"),
    (lambda: loopback_redirect(open_url=5), "open_url takes a function or None; found int"),
    (lambda: Client("http://h", log_level=5), "log_level takes a str; found int"),
    (
        lambda: MCPClient(transport_type="stdio", stdio_config=5),
        "stdio_config takes a dict with a command, or None; found int",
    ),
    (lambda: MCPClient("http://h", extra_headers=5), "extra_headers takes a dict"),
]


@pytest.mark.parametrize(("make", "words"), CASES)
def test_a_wrong_value_is_named_with_what_is_accepted(make, words):
    with pytest.raises(ValueError, match=words) as failure:
        make()
    assert "key@" not in str(failure.value)


@pytest.mark.parametrize(("make", "words"), TYPES)
def test_a_wrong_type_is_named_with_what_is_accepted(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def circle():
    items = {}
    items["a"] = items
    return items


@pytest.mark.asyncio
async def test_arguments_of_a_call_that_are_no_json_name_the_place():
    with Server(tools__call=lambda exchange: exchange.result({"content": []})) as server:
        async with Client(server.url, mode="legacy") as client:
            for arguments, kind, words in [
                ({"a": math.nan}, ValueError, r"arguments\.a: NaN"),
                ({"a": [1, 10**5000]}, ValueError, r"arguments\.a\[1\]: the int has more digits"),
                ({"a": b"x"}, TypeError, r"arguments\.a: a value of type bytes"),
                ({"a": "\ud800"}, ValueError, r"arguments\.a: .* surrogate"),
                ({1: 2}, TypeError, "arguments: the key 1 is of type int"),
                (circle(), ValueError, r"arguments(\.a){15}…: nested deeper than 200 levels"),
            ]:
                with pytest.raises(kind, match=words):
                    await client.call_tool("a", arguments)
            with pytest.raises(ConfigurationError, match=f"level is 'loud'; it takes {LEVELS}"):
                await client.set_logging_level("loud")
            # Longer than any float, and a time limit all the same.
            await client.call_tool("a", {}, 10**400)
            with pytest.raises(TypeError, match="progress_token takes a str or an int; found bool"):
                await client.session.send_progress_notification(True, 1)
    assert server.names().count("tools/call") == 1
