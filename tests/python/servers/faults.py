"""What can go wrong on the way from a real server, for the proxy of `fault_proxy.py` and for `scripted.py`.

Each table says what happens to one call of a tool; what becomes of the call is said where it is
made, by a client or through the gateway. The tool is `add` of `official.py`, whose answer is 3.
"""

from __future__ import annotations

import json

from servers.fault_proxy import forward, reset
from servers.http_scripted import PATIENCE

MEGABYTE = 1 << 20


def say(status, body="", kind="text/plain", *headers):
    return lambda exchange: exchange.respond(status, body, kind, "Connection: close", *headers)


def result_of(exchange, text="3"):
    return exchange.answer(text)


def stream(*pieces, end=True):
    """Answer with an event stream of these pieces; functions are given the exchange."""

    def action(exchange):
        exchange.stream()
        for piece in pieces:
            exchange.write(piece(exchange) if callable(piece) else piece)
        if end:
            exchange.end()
        else:
            exchange.wait_until_closed()

    return action


def event(make):
    return lambda exchange: b"data: " + make(exchange) + b"\n\n"


def answer(exchange):
    return json.dumps(result_of(exchange)).encode()


def other(exchange):
    return json.dumps({**result_of(exchange, "no"), "id": 987654}).encode()


def endless(exchange):
    exchange.stream()
    note = {
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": {"level": "info", "data": 1},
    }
    try:
        while True:
            exchange.event(note)
    except OSError:
        return


def huge(exchange):
    exchange.stream()
    exchange.write(
        f'data: {{"jsonrpc": "2.0", "id": {exchange.request.message["id"]}, "result": {{"x": "'
    )
    for _ in range(100):
        exchange.write(b"x" * MEGABYTE)
    exchange.write(b'"}}\n\n')
    exchange.end()


def half_json(exchange):
    text = answer(exchange)
    exchange.head(200, "Content-Type: application/json", f"Content-Length: {len(text)}")
    exchange.write(text[: len(text) // 2])
    exchange.end()


def loop(exchange):
    say(308, "", "text/plain", "Location: /mcp?again=1")(exchange)


def stall(*, head=False, kind="application/json", length=False):
    """Begin an answer, or not even that, and say no more."""

    def action(exchange):
        if head:
            more = ["Content-Length: 100"] if length else ["Connection: close"]
            exchange.head(200, f"Content-Type: {kind}", *more)
        exchange.wait_until_closed()

    return action


ELSEWHERE = "Location: http://127.0.0.1:1/elsewhere?token=hidden"
STREAMABLE = {
    "reset": reset,
    "half a message": half_json,
    "half an answer": lambda exchange: forward(exchange, part=0.5),
    "half an event": stream(lambda exchange: b"data: " + answer(exchange)[:20]),
    "wrong content type": say(200, "<p>hello", "text/html"),
    "401": say(401, "who"),
    "403": say(403, "no"),
    "404": say(404),
    "429": say(429, "slow down", "text/plain", "Retry-After: 7"),
    "500": say(500, "oops"),
    "503": say(503, "", "text/plain", "Retry-After: 1"),
    "redirect elsewhere": say(307, "", "text/plain", ELSEWHERE),
    "redirect that drops the message": say(302, "", "text/plain", "Location: /other"),
    "redirect for ever": loop,
    "endless stream": endless,
    "huge event": huge,
    "invalid utf-8 in JSON": lambda exchange: (
        exchange.head(200, "Content-Type: application/json", "Content-Length: 4"),
        exchange.write(b'"\xff\xfe"'),
        exchange.end(),
    ),
    "invalid utf-8 in an event": stream(
        event(lambda exchange: answer(exchange).replace(b'"3"', b'"\xff"'))
    ),
    "unknown id": stream(event(other), event(answer)),
    "duplicate answers": stream(event(answer), event(answer), event(answer)),
}
STALLS = {
    "head": stall(),
    "body": stall(head=True, length=True),
    "stream": stall(head=True, kind="text/event-stream"),
}


def on_stream(*pieces):
    """Accept the message, and write to the event stream; what is no bytes ends or resets it."""

    def action(exchange):
        assert exchange.server.has_stream.wait(PATIENCE)
        stream = exchange.server.stream
        say(202)(exchange)
        for piece in pieces:
            if piece == "end":
                stream.end()
            else:
                stream.write(piece(exchange) if callable(piece) else piece)

    return action


def message(make):
    return lambda exchange: b"event: message\ndata: " + make(exchange) + b"\n\n"


def huge_message(exchange):
    number = exchange.request.message["id"]
    text = b"x" * (100 * MEGABYTE)
    return b'data: {"jsonrpc":"2.0","id":%d,"result":{"x":"%s"}}\n\n' % (number, text)


SSE = {
    "reset": reset,
    "half a message": on_stream(lambda exchange: b"data: " + answer(exchange)[:20], "end"),
    "401": say(401, "who"),
    "403": say(403, "no"),
    "404": say(404),
    "429": say(429, "slow", "text/plain", "Retry-After: 7"),
    "500": say(500, "oops"),
    "503": say(503),
    "redirect elsewhere": say(307, "", "text/plain", ELSEWHERE),
    "silence": say(202),
    "huge event": on_stream(huge_message),
    "invalid utf-8": on_stream(
        message(lambda exchange: answer(exchange).replace(b'"3"', b'"\xff"'))
    ),
    "unknown id": on_stream(message(other), message(answer)),
    "duplicate answers": on_stream(message(answer), message(answer)),
}


def reply(text):
    return f'{{"jsonrpc":"2.0","id":<id>,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}\n'


# A tool of `scripted.py` and its arguments.
STDIO = {
    "half a message": ("half", {}),
    "silence": ("silent", {}),
    "invalid utf-8": ("raw", {"text": reply("\xff")}),
    "huge message": ("large", {"size": 100 * MEGABYTE}),
    "unknown id": ("raw", {"text": reply("no").replace("<id>", "987654") + reply("3")}),
    "duplicate answers": ("raw", {"text": reply("3") * 3}),
    "no line end": ("half", {"text": reply("3").strip()}),
    "endless stream": ("endless", {}),
}
