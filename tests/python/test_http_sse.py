"""HTTP+SSE against a scripted server: the endpoint, the stream, and its end."""

from __future__ import annotations

import asyncio
import json
import queue
from contextlib import asynccontextmanager

import pytest

from servers.http_scripted import INITIALIZE, PATIENCE, Exchange, Server
from toolbridge.exceptions import ConnectionClosedError, TransportError
from toolbridge.mcp import ClientSession
from toolbridge.mcp.client.sse import sse_client


class EventServer(Server):
    """Answers what is posted on the stream that was opened last."""

    def __init__(self, endpoint="/messages/?session_id=s1", **script):
        super().__init__(GET=self.listen, **script)
        self.endpoint = endpoint
        self.stream: queue.Queue[str | None] = queue.Queue()
        self.streams: list[queue.Queue[str | None]] = []
        self.url = f"{self.origin}/sse"

    def listen(self, exchange):
        # The first is there before it is opened, for tests that speak first.
        own = self.stream = queue.Queue() if self.streams else self.stream
        self.streams.append(own)
        exchange.stream()
        exchange.write(f": hello\r\n\r\nevent: endpoint\r\ndata: {self.endpoint}\r\n\r\n")
        while (text := own.get(timeout=PATIENCE)) is not None:
            if text == "wait":
                exchange.wait_until_closed()
                return
            exchange.event(text, "event: message")
        exchange.end()

    def well_behaved(self, exchange: Exchange) -> None:
        exchange.respond(202, "Accepted")
        request = exchange.request
        if "id" in request.message and request.name != "answer":
            value = INITIALIZE if request.name == "initialize" else "done"
            self.stream.put(json.dumps(exchange.answer(value)))

    def __exit__(self, *failure):
        for stream in self.streams:
            stream.put(None)
        super().__exit__(*failure)


@asynccontextmanager
async def session(server, **options):
    async with (
        sse_client(server.url, **options) as (read, write),
        ClientSession(read, write, read_timeout_seconds=PATIENCE) as one,
    ):
        await one.initialize()
        yield one


@pytest.mark.asyncio
@pytest.mark.parametrize("form", ["absolute path", "relative path", "whole URL"])
async def test_messages_go_to_the_endpoint_that_the_stream_names(form):
    named = []
    with EventServer() as server:
        server.endpoint = {
            "absolute path": "/messages/?session_id=s1",
            "relative path": "messages/?session_id=s1",
            "whole URL": f"{server.origin}/messages/?session_id=s1",
        }[form]
        options = {"headers": {"X-Mine": "1"}, "auth": ("me", "secret")}
        async with session(server, on_session_created=named.append, **options) as one:
            assert (await one.call_tool("any")).content[0].text == "done"
        assert named == ["s1"]
        paths = {(one.method, one.path) for one in server.seen}
        assert paths == {("GET", "/sse"), ("POST", "/messages/?session_id=s1")}
        for request in server.seen:
            assert request.headers["x-mine"] == "1"
            assert request.headers["authorization"] == "Basic bWU6c2VjcmV0"
        assert server.seen[0].headers["accept"] == "text/event-stream"


@pytest.mark.asyncio
async def test_the_end_of_the_stream_is_the_end_of_the_connection_and_there_is_another():
    named = []
    with EventServer(tools__call=lambda exchange: exchange.respond(202)) as server:
        async with session(server, on_session_created=named.append) as one:
            call = asyncio.ensure_future(one.call_tool("any"))
            await asyncio.to_thread(server.wait_for, "tools/call")
            server.endpoint = "/messages/?session_id=s2"
            server.stream.put(None)
            with pytest.raises(ConnectionClosedError, match="ended its event stream") as lost:
                await call
            assert lost.value.outcome_unknown
            await one.send_ping()
            assert named == ["s1", "s2"]
        assert server.names().count("initialize") == 2


@pytest.mark.asyncio
async def test_a_silent_stream_ends_the_connection():
    with EventServer(tools__call=lambda exchange: exchange.respond(202)) as server:
        async with session(server, sse_read_timeout=0.3) as one:
            with pytest.raises(ConnectionClosedError, match=r"silent for 0.3 s"):
                await one.call_tool("any")


@pytest.mark.asyncio
async def test_a_refused_message_is_an_error_of_its_caller_alone():
    with EventServer(tools__call=lambda exchange: exchange.respond(500, "broken")) as server:
        async with session(server) as one:
            with pytest.raises(TransportError, match="tools/call with status 500 .*broken"):
                await one.call_tool("any")
            await one.send_ping()


@pytest.mark.asyncio
async def test_an_answer_over_the_limit_is_an_error_of_its_caller_alone():
    def call(exchange):
        exchange.respond(202)
        exchange.server.stream.put(json.dumps(exchange.answer("x" * 5000)))

    with EventServer(tools__call=call) as server:
        async with session(server, maximum_message_bytes=2000) as one:
            with pytest.raises(TransportError, match="maximum_message_bytes"):
                await one.call_tool("any")
            await one.send_ping()


@pytest.mark.asyncio
async def test_an_endpoint_elsewhere_is_refused():
    with EventServer(endpoint="http://127.0.0.1:1/messages?token=hidden") as server:
        with pytest.raises(TransportError, match=r"at http://127.0.0.1:1; only its own") as failure:
            async with sse_client(server.url):
                pass
        assert "hidden" not in str(failure.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda exchange: exchange.respond(401, "who?"), "401 Unauthorized.*who"),
        (lambda exchange: exchange.respond(200, "<p>", "text/html"), "'text/html'|\"text/html\""),
        (lambda exchange: (exchange.stream(), exchange.end()), "before it named its endpoint"),
    ],
)
async def test_a_server_that_is_none_of_this_transport_is_refused_when_it_opens(action, words):
    with Server(GET=action) as server:
        with pytest.raises(TransportError, match=words) as failure:
            async with sse_client(server.url):
                pass
        assert server.origin in str(failure.value)


@pytest.mark.asyncio
async def test_closing_ends_every_socket():
    with EventServer() as server:
        async with session(server) as one:
            await one.call_tool("any")
            server.stream.put("wait")
        for thread in server.threads[1:]:
            await asyncio.to_thread(thread.join, PATIENCE)
            assert not thread.is_alive()
