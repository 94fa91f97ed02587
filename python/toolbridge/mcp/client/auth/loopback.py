"""The way back from the browser to a program: a port of this machine that listens for a moment."""

from __future__ import annotations

import sys
from contextlib import suppress

from toolbridge.mcp.client._arguments import check_str, type_error
from toolbridge.mcp.client.auth.exceptions import OAuthFlowError
from toolbridge.mcp.shared.auth import AuthorizationCodeResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

__all__ = ["LoopbackRedirect", "loopback_redirect", "visit"]

_LONGEST_REQUEST = 16 << 10
_VISIT_SECONDS = 30
_LAST_PORT = 65535
_NO_PATH = frozenset(" ?#")
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>{title}</title>"
    "<body style='font-family:sans-serif;margin:4em'><h1>{title}</h1><p>{text}</p>"
)


class LoopbackRedirect:
    """A redirect URI on this machine, with both handlers of ``OAuthClientProvider``.

    It listens on 127.0.0.1, and only from the moment when the browser is opened until it has come
    back; the port is its own for as long as it lives. Made by ``loopback_redirect``.

    Attributes:
        redirect_uri: For ``redirect_uris`` of the client's metadata.
    """

    def __init__(self, port: int, path: str, open_url: Callable[[str], object] | None) -> None:
        """See ``loopback_redirect``."""
        import weakref

        # Bound, and not listening: nobody else gets the port before the browser needs it.
        held = _bind(port, is_again=False)
        port = held.getsockname()[1]
        self._held = [held]
        weakref.finalize(self, _close_all, self._held)
        self._port = port
        self._path = path
        self._open_url = open_url
        self._server: asyncio.Server | None = None
        self._came_back: asyncio.Future[AuthorizationCodeResult] | None = None
        self._state = ""
        self._open: set[asyncio.StreamWriter] = set()
        self.redirect_uri = f"http://127.0.0.1:{port}{path}"

    async def redirect_handler(self, url: str) -> None:
        """Listen, then open the browser.

        Args:
            url: That of the authorization server.

        Raises:
            OAuthFlowError: Another program has taken the port since the last time.
        """
        import asyncio
        from socket import SO_REUSEADDR, SOL_SOCKET
        from urllib.parse import parse_qs, urlsplit

        await self._close()
        self._state = parse_qs(urlsplit(url).query).get("state", [""])[0]
        self._came_back = asyncio.get_running_loop().create_future()
        listener = self._held.pop() if self._held else _bind(self._port, is_again=True)
        # Its connections, once they are over, must not keep the port from the next flow.
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self._server = await asyncio.start_server(
            self._serve, sock=listener, limit=_LONGEST_REQUEST
        )
        opened = await asyncio.to_thread(self._open_url or _open_browser, url)
        if opened is False:
            sys.stderr.write(f"Open this URL in a browser to go on:\n{url}\n")

    async def callback_handler(self) -> AuthorizationCodeResult:
        """Wait until the browser has come back.

        Returns:
            What the authorization server sent with it.

        Raises:
            OAuthFlowError: ``redirect_handler`` was not called before.
        """
        if self._came_back is None:
            message = "nobody waits for the browser: redirect_handler comes first"
            raise OAuthFlowError(None, message)
        try:
            return await self._came_back
        finally:
            await self._close()

    async def _close(self) -> None:
        server, self._server, self._came_back = self._server, None, None
        if server is not None:
            server.close()
            # A browser holds connections open that it asks nothing on, and the end of the server
            # would wait for them. What was written to the others still goes out.
            for connection in self._open:
                connection.close()
            await server.wait_closed()
            with suppress(OAuthFlowError):
                # For the next flow, which tries again if this fails.
                self._held.append(_bind(self._port, is_again=True))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.close()
            return
        self._open.add(writer)
        try:
            request = (await reader.readline()).decode("latin-1").split()
            while (await reader.readline()).strip():
                pass
            target = request[1] if len(request) > 1 and request[0] == "GET" else ""
            status, title, text = self._take(target)
            page = _PAGE.format(title=title, text=text).encode()
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
                f"Content-Length: {len(page)}\r\nCache-Control: no-store\r\n"
                "Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + page)
            await writer.drain()
        except (OSError, ValueError):
            # A browser that gives up, or something that is none.
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _take(self, target: str) -> tuple[str, str, str]:
        """Read where the browser was sent to; the status, title and text of the page."""
        from urllib.parse import parse_qs, urlsplit

        parts = urlsplit(target)
        found = {name: values[0] for name, values in parse_qs(parts.query).items()}
        waiting = self._came_back
        is_ours = parts.path == self._path and found.get("state", "") == self._state
        if waiting is None or waiting.done() or not is_ours:
            # Whatever else asks must not end the waiting.
            return "404 Not Found", "Nothing here", "This page waits for another request."
        fields = ("code", "state", "iss", "error", "error_description")
        given = {name: found[name] for name in fields if name in found}
        waiting.set_result(AuthorizationCodeResult(**given))
        if "error" in given:
            return "200 OK", "Not authorized", "The program was told. You can close this page."
        return "200 OK", "Authorized", "You can close this page and go back to the program."


def loopback_redirect(
    port: int = 0,
    path: str = "/callback",
    open_url: Callable[[str], object] | None = None,
) -> LoopbackRedirect:
    """Make the redirect URI and the handlers of a program with a browser beside it.

    ``OAuthClientProvider(url, {"redirect_uris": [it.redirect_uri]}, storage, it.redirect_handler,
    it.callback_handler)`` is all that a script needs.

    Args:
        port: The port of 127.0.0.1; 0 takes a free one. A client that is registered once and stored
            needs the same port again.
        path: The path of the redirect URI.
        open_url: ``(url)``, called in a thread of its own; `visit` does without a browser. Default:
            the browser of the system; the URL is written to the standard error if there is none.

    Raises:
        OAuthFlowError: Another program has the port.
        TypeError: An argument has a type that it does not take.
        ValueError: ``port`` is none, or ``path`` does not start with a slash.
    """
    if isinstance(port, bool) or not isinstance(port, int):
        raise type_error("port", "an int", port)
    if not 0 <= port <= _LAST_PORT:
        message = f"port is {port}; it takes 0 for a free one, or 1 to {_LAST_PORT}"
        raise ValueError(message)
    check_str("path", path)
    if (
        not path.startswith("/")
        or not path.isascii()
        or not path.isprintable()
        or _NO_PATH & {*path}
    ):
        message = (
            f"path is {path!r}; it takes a slash and the rest of a path, without ? # or spaces"
        )
        raise ValueError(message)
    if open_url is not None and not callable(open_url):
        raise type_error("open_url", "a function or None", open_url)
    return LoopbackRedirect(port, path, open_url)


def visit(url: str) -> None:
    """Go to a URL and wherever it leads, as a browser would, where no person has to be asked.

    For ``loopback_redirect(open_url=visit)``, with an authorization server that sends everybody back
    at once, as those of tests do.

    Args:
        url: That of the authorization server, http or https.

    Raises:
        OSError: It could not be reached, or refused.
        ValueError: ``url`` is no http or https URL.
    """
    from urllib.request import urlopen

    if not url.startswith(("http://", "https://")):
        message = "url takes an http or https URL"
        raise ValueError(message)
    urlopen(url, timeout=_VISIT_SECONDS).close()  # noqa: S310 - checked above


def _bind(port: int, *, is_again: bool) -> socket.socket:
    import socket

    held = socket.socket()
    try:
        if is_again:
            # Connections of the time before may still be on their way out.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
    except OSError as cause:
        held.close()
        message = f"port {port} of 127.0.0.1 is taken: {cause.strerror}"
        raise OAuthFlowError(None, message) from cause
    return held


def _close_all(held: list[socket.socket]) -> None:
    for one in held:
        one.close()


def _open_browser(url: str) -> bool:
    import webbrowser

    return webbrowser.open(url)
