"""What all providers are: settings for the engine, and the user's functions that it asks."""

from __future__ import annotations

from inspect import isawaitable

from toolbridge import _toolbridge
from toolbridge.mcp.client._arguments import check_str, read_seconds, type_error
from toolbridge.mcp.client.auth.exceptions import OAuthFlowError
from toolbridge.mcp.client.auth.storage import FileTokenStorage, MemoryTokenStorage
from toolbridge.mcp.shared.auth import OAuthClientInformationFull, OAuthToken, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Any

_STORAGE = ("get_tokens", "set_tokens", "get_client_info", "set_client_info")


class Provider:
    """Authorization with one server; made by the constructors of the providers."""

    def __init__(
        self,
        server_url: str,
        storage: Any,
        grant: object,
        timeout: timedelta | float | None,
        dpop: bool | str | None,
        **settings: object,
    ) -> None:
        """Check the arguments; nothing is asked or sent before the server refuses a request."""
        check_str("server_url", server_url)
        if storage is None:
            storage = MemoryTokenStorage()
        missing = [name for name in _STORAGE if not callable(getattr(storage, name, None))]
        if missing:
            accepted = f"an object with {', '.join(_STORAGE)} (TokenStorage)"
            raise type_error("storage", accepted, storage)
        if dpop is not None and not isinstance(dpop, (bool, str)):
            raise type_error("dpop", "a bool, a private key in PEM, or None", dpop)
        file = None
        if isinstance(storage, FileTokenStorage):
            storage = storage.for_server(server_url)
            file = storage._file
        self._server_url = server_url
        self._storage = storage
        self._questions: dict[str, Callable[[Any], Any]] = {
            "storage.get_tokens": lambda _: storage.get_tokens(),
            "storage.set_tokens": lambda it: storage.set_tokens(OAuthToken.model_validate(it)),
            "storage.get_client_info": lambda _: storage.get_client_info(),
            "storage.set_client_info": lambda it: storage.set_client_info(
                OAuthClientInformationFull.model_validate(it)
            ),
        }
        limit = read_seconds("timeout", timeout)
        settings = {
            "server_url": server_url,
            "grant": grant,
            # A century stands for no limit.
            "timeout_seconds": 3.2e9 if limit is None else limit,
            "dpop": True if isinstance(dpop, str) else dpop,
            "dpop_key": dpop if isinstance(dpop, str) else None,
            **settings,
        }
        given = {name: value for name, value in settings.items() if value is not None}
        self._authorization = _toolbridge.Authorization(given, self._ask, file)
        self._take_loop()

    def _take_loop(self) -> None:
        """Have the user's functions called on the loop that makes the provider, if there is one."""
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # The first connection brings one.
            return
        self._authorization.bind()

    def _bound(self) -> _toolbridge.Authorization:
        """Give the engine's half to a connection that is about to be opened."""
        self._authorization.bind()
        return self._authorization

    def _ask(self, name: str, argument: Any, question: _toolbridge.Question) -> None:
        """Begin to answer a question of the engine; on the user's loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        question.attach(loop.create_task(self._answer(name, argument, question)))

    async def _answer(self, name: str, argument: Any, question: _toolbridge.Question) -> None:
        try:
            answer = self._questions[name](argument)
            if isawaitable(answer):
                answer = await answer
            question.answer(answer if isinstance(answer, str) else plain(answer))
        except OAuthFlowError as failure:
            question.fail(str(failure))
        except Exception as failure:  # noqa: BLE001 - the user's function may raise anything
            question.fail(f"{name} failed: {type(failure).__name__}: {failure}")
        except BaseException:
            question.fail(f"{name} was cancelled")
            raise

    def __repr__(self) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(self._server_url)
        host = parts.netloc.rpartition("@")[2]
        return f"<{type(self).__name__} for {parts.scheme}://{host}>"


def is_provider(auth: object) -> bool:
    """Tell one of ours."""
    return isinstance(auth, Provider)
