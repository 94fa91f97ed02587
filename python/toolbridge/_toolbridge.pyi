"""The native half of the package; its public face is the Python modules beside it."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Self, final

from typing_extensions import disjoint_base

from toolbridge.mcp.client._http import HttpArguments
from toolbridge.types.chat import ModelResponseStream

__all__ = [
    "DEFAULT_MAXIMUM_MESSAGE_BYTES",
    "INHERITED_VARIABLES",
    "Authorization",
    "ChatStream",
    "ChatStreamSource",
    "Connection",
    "Question",
    "Responder",
    "Session",
    "Subscription",
    "TokenFile",
    "__version__",
    "chat_completion",
    "chat_completion_sync",
    "chat_stream",
    "chat_stream_sync",
    "connect_http",
    "forked",
    "model_provider",
    "open_sse",
    "open_stdio",
    "open_streamable_http",
    "read_tool_call",
    "shutdown",
    "sign_jwt",
    "tool_arguments",
    "transform_tools",
]

__version__: str
DEFAULT_MAXIMUM_MESSAGE_BYTES: int
INHERITED_VARIABLES: list[str]

def shutdown() -> None: ...
def forked() -> None: ...
def open_stdio(
    command: str,
    args: Sequence[str],
    env: Mapping[str, str],
    cwd: str | None,
    maximum_message_bytes: int,
    errlog: object | None,
) -> Future[Connection]: ...
def open_streamable_http(
    arguments: HttpArguments, terminate_on_close: bool
) -> Future[Connection]: ...
def connect_http(
    arguments: HttpArguments,
    terminate_on_close: bool,
    mode: str,
    setup: dict[str, Any],
    on_notification: Callable[[str, dict[str, Any] | None], object],
    on_garbage: Callable[[str, str], object],
    on_request: Callable[[str, dict[str, Any] | None, Responder], object],
) -> Future[tuple[Session, dict[str, Any]]]: ...
def open_sse(arguments: HttpArguments) -> Future[Connection]: ...
def sign_jwt(claims: dict[str, Any], key: str, algorithm: str) -> str: ...
def transform_tools(target: str, tools: list[Any]) -> list[dict[str, Any]]: ...
def read_tool_call(call: object) -> tuple[str, Any]: ...
def tool_arguments(text: str) -> dict[str, Any]: ...

@final
class Authorization:
    def __new__(
        cls,
        settings: dict[str, Any],
        ask: Callable[[str, Any, Question], object],
        file: TokenFile | None,
    ) -> Authorization: ...
    def bind(self) -> None: ...

@final
class Question:
    def attach(self, task: object) -> None: ...
    def answer(self, value: object) -> None: ...
    def fail(self, message: str) -> None: ...

@final
class TokenFile:
    def __new__(cls, path: str | PathLike[str], server: str) -> TokenFile: ...
    def tokens(self) -> Future[dict[str, Any] | None]: ...
    def set_tokens(self, tokens: object) -> Future[None]: ...
    def client(self) -> Future[dict[str, Any] | None]: ...
    def set_client(self, client: object) -> Future[None]: ...

@final
class Connection:
    def session_id(self) -> str | None: ...
    def close(self) -> Future[None] | None: ...

@final
class Session:
    def __new__(
        cls,
        connection: Connection,
        on_notification: Callable[[str, dict[str, Any] | None], object],
        on_garbage: Callable[[str, str], object],
        on_request: Callable[[str, dict[str, Any] | None, Responder], object],
        setup: dict[str, Any],
    ) -> Session: ...
    def connect(self, mode: str) -> Future[Any]: ...
    def adopt(self, described: object) -> None: ...
    def version(self) -> str | None: ...
    def request(
        self,
        method: str,
        params: object | None,
        meta: object | None,
        timeout: float | None,
        progress: Callable[[dict[str, Any]], object] | None,
        allow_input_required: bool = False,
        cache: str = "use",
        hands_out_task: bool = False,
    ) -> Future[Any]: ...
    def finish_task(
        self,
        tool: str | None,
        created: object,
        timeout: float | None,
        on_status: Callable[[dict[str, Any]], object] | None,
    ) -> Future[Any]: ...
    def listen(self, wanted: object, timeout: float | None) -> Future[Subscription]: ...
    def notify(self, method: str, params: object | None) -> Future[None]: ...
    def close(self) -> Future[None] | None: ...

@final
class CacheStore:
    def __new__(cls, entries: int | None, maximum_bytes: int) -> CacheStore: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...

@final
class Subscription:
    def honored(self) -> dict[str, Any]: ...
    def next(self) -> Future[tuple[str, str | None] | None]: ...
    def close(self) -> None: ...

@final
class Responder:
    def when_given_up(self, cancel: Callable[[], object]) -> None: ...
    def answer(self, result: object) -> None: ...
    def refuse(self, code: int, message: str, data: object | None) -> None: ...

def chat_completion(
    model: str, body: dict[str, Any], options: dict[str, Any]
) -> Future[tuple[dict[str, Any], dict[str, Any]]]: ...
def chat_completion_sync(
    model: str, body: dict[str, Any], options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]: ...
def chat_stream(
    model: str, body: dict[str, Any], options: dict[str, Any]
) -> Future[tuple[ChatStreamSource, dict[str, Any]]]: ...
def chat_stream_sync(
    model: str, body: dict[str, Any], options: dict[str, Any]
) -> tuple[ChatStreamSource, dict[str, Any]]: ...
def model_provider(
    model: str, custom_llm_provider: str | None, has_api_base: bool
) -> tuple[str, str]: ...

@final
class ChatStreamSource: ...

@disjoint_base
class ChatStream:
    def __new__(cls, source: ChatStreamSource | None = None) -> Self: ...
    def __aiter__(self) -> Self: ...
    def __iter__(self) -> Self: ...
    def __anext__(self) -> Awaitable[ModelResponseStream]: ...
    def __next__(self) -> ModelResponseStream: ...
    def close(self) -> None: ...
