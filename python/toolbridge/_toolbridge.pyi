"""The native half of the package; its public face is the Python modules beside it."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

__version__: str
DEFAULT_MAXIMUM_MESSAGE_BYTES: int
INHERITED_VARIABLES: list[str]

def shutdown() -> None: ...
def open_stdio(
    command: str,
    args: Sequence[str],
    env: Mapping[str, str],
    cwd: str | None,
    maximum_message_bytes: int,
    errlog: object | None,
) -> Future[StdioConnection]: ...
@final
class StdioConnection:
    def close(self) -> Future[None]: ...

@final
class Session:
    def __new__(
        cls,
        connection: StdioConnection,
        on_notification: Callable[[str, dict[str, Any] | None], object],
        on_garbage: Callable[[str, str], object],
        on_request: Callable[[str, dict[str, Any] | None, Responder], object],
    ) -> Session: ...
    def request(
        self,
        method: str,
        params: object | None,
        meta: object | None,
        timeout: float | None,
        progress: Callable[[dict[str, Any]], object] | None,
    ) -> Future[Any]: ...
    def notify(self, method: str, params: object | None) -> Future[None]: ...
    def close(self) -> Future[None]: ...

@final
class Responder:
    def answer(self, result: object) -> None: ...
    def refuse(self, code: int, message: str, data: object | None) -> None: ...
