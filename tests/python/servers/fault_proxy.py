"""A proxy before a real MCP server that spoils what a test tells it to; standard library only.

A test gives faults as it gives a script to `http_scripted.Server`. What has no fault goes to the
server behind the proxy and comes back as it is.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from servers.http_scripted import PATIENCE, Exchange, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# What belongs to one connection, and not to the message that it carries.
HOP = ("connection", "content-length", "transfer-encoding", "keep-alive")


class FaultProxy(Server):
    """Forwards to one server."""

    def __init__(self, behind: str, **faults: Callable[[Exchange], object]) -> None:
        super().__init__(**faults)
        target = urlsplit(behind)
        assert target.hostname is not None
        self.behind = (target.hostname, target.port)
        self.url = f"{self.origin}{target.path}"
        # The event stream that the client has open, for faults in it.
        self.stream: Exchange | None = None
        self.has_stream = threading.Event()

    def well_behaved(self, exchange: Exchange) -> None:
        """Forward a request, and its answer as it comes."""
        forward(exchange)


def forward(exchange: Exchange, *, part: float = 1.0) -> None:
    """Ask the server behind; with a `part` below 1 the connection breaks in the middle."""
    request, proxy = exchange.request, exchange.server
    link = http.client.HTTPConnection(*proxy.behind, timeout=PATIENCE)
    try:
        kept = {name: value for name, value in request.headers.items() if name not in HOP}
        link.request(request.method, request.path, request.body or None, kept)
        answer = link.getresponse()
        headers = [f"{name}: {value}" for name, value in answer.getheaders()]
        headers = [line for line in headers if line.partition(":")[0].lower() not in HOP]
        exchange.head(answer.status, *headers, "Connection: close")
        if request.method == "GET":
            proxy.stream = exchange
            proxy.has_stream.set()
            # Ends when either side does.
            threading.Thread(target=watch, args=(exchange, link), daemon=True).start()
        whole = part == 1.0
        text = b"" if whole else answer.read()
        exchange.write(text[: int(len(text) * part)])
        while whole and (piece := answer.read1()):
            exchange.write(piece)
    except (OSError, http.client.HTTPException, ValueError):
        # One of both sides is gone; the other hears of it below.
        pass
    finally:
        link.close()
        exchange.end()


def watch(exchange: Exchange, link: http.client.HTTPConnection) -> None:
    """Close the connection to the server behind when the client is gone."""
    with suppress(OSError):
        exchange.connection.recv(1, socket.MSG_PEEK)
    with suppress(OSError, AttributeError):
        link.sock.shutdown(socket.SHUT_RDWR)


def reset(exchange: Exchange) -> None:
    """End the connection with a RST."""
    linger = struct.pack("ii", 1, 0)
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    # Closed, not shut down, when the reader of the connection goes too.
    raise ConnectionResetError


class Counts:
    """What this process holds: open descriptors, threads of the engine, children."""

    def __init__(self) -> None:
        self.descriptors = sorted(
            target
            for one in Path("/proc/self/fd").iterdir()
            if (target := readlink(one)).startswith(("socket:", "pipe:"))
        )
        tasks = list(Path("/proc/self/task").iterdir())
        self.threads = sum(text_of(one / "comm").startswith("toolbridge") for one in tasks)
        self.children = " ".join(text_of(one / "children") for one in tasks).split()

    def __le__(self, before: Counts) -> bool:
        """Whether nothing is there that was not before; what others closed meanwhile is not missed."""
        more = Counter(self.descriptors) - Counter(before.descriptors)
        children = set(self.children) - set(before.children)
        return not more and not children and self.threads <= before.threads

    def __repr__(self) -> str:
        return repr(vars(self))


def text_of(path: Path) -> str:
    """What a file says; nothing when its thread has ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def readlink(path: Path) -> str:
    """Where a descriptor leads; nothing when it is closed meanwhile."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


def resident_kilobytes(line: str = "VmRSS") -> int:
    """What the process holds in memory; `VmHWM` is the most that it ever held."""
    status = Path("/proc/self/status").read_text()
    found = next(one for one in status.splitlines() if one.startswith(line))
    return int(found.split()[1])


def peak_kilobytes(*, reset: bool = True) -> int:
    """The most that the process held in memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return resident_kilobytes("VmHWM")
