"""The exceptions, with the names, the fields and the tree of the openai and litellm packages.

``except openai.RateLimitError`` catches :class:`RateLimitError` when the ``openai`` package is in
use: an instance that is made while ``openai`` is loaded belongs to both trees. Nothing here imports
``openai``.
"""

from __future__ import annotations

import sys

from toolbridge._error_response import ErrorResponse, Headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Self

    from toolbridge.agent import RunResult
    from toolbridge.mcp.types import ErrorData

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadGatewayError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionClosedError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "EngineError",
    "ErrorResponse",
    "InputRequiredRoundsExceededError",
    "InternalServerError",
    "JSONSchemaValidationError",
    "MCPError",
    "MCPTimeoutError",
    "McpError",
    "NotFoundError",
    "PaymentRequired",
    "PermissionDeniedError",
    "RateLimitError",
    "RoundLimitError",
    "ServiceUnavailableError",
    "Timeout",
    "ToolCallArgumentsError",
    "ToolOutputError",
    "ToolbridgeError",
    "TransportError",
    "UnprocessableEntityError",
    "UnsupportedParamsError",
]

_LONGEST_SHOWN_ARGUMENTS = 300


class ToolbridgeError(Exception):
    """The root of everything that this package raises on its own account.

    Args:
        message: the sentence: what happened, what was found, what to do.
    """

    message: str

    def __init__(self, message: str = "") -> None:
        Exception.__init__(self, message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (_own_class(type(self)), self.args, dict(self.__dict__))


class EngineError(Exception):
    """What lay beneath an error, in the words of the layer that reported it.

    It stands in ``__cause__`` of the error that was raised, and has its own cause there.
    """


class ConfigurationError(ToolbridgeError, ValueError):
    """A setting or an argument that cannot be used."""


class ToolCallArgumentsError(ToolbridgeError, ValueError):
    """The model sent tool arguments that are not a JSON object.

    Args:
        message: what is wrong with them.
        tool_name: the tool that was to be called.
        arguments: what the model sent, as text.
    """

    tool_name: str | None
    arguments: str | None

    def __init__(
        self, message: str = "", tool_name: str | None = None, arguments: str | None = None
    ) -> None:
        super().__init__(message)
        self.tool_name = tool_name
        self.arguments = arguments

    def __str__(self) -> str:
        if self.arguments is None:
            return self.message
        sent = self.arguments
        if len(sent) > _LONGEST_SHOWN_ARGUMENTS:
            sent = f"{sent[:_LONGEST_SHOWN_ARGUMENTS]}… ({len(self.arguments)} characters)"
        return f"{self.message}; the model sent: {sent}"


class RoundLimitError(ToolbridgeError):
    """A model still called tools when a run had asked it as often as it may.

    Attributes:
        run_result: how far the run came; ``client.run(resume=error.run_result, …)`` goes on there.
    """

    run_result: RunResult | None = None

    @classmethod
    def of(cls, result: RunResult) -> Self:
        """Make it of how far the run came."""
        names = ", ".join(call.name for call in result.pending) or "none that could be made"
        error = cls(
            f"the model still calls tools after {result.rounds} rounds; its last calls are {names}. "
            "Give a larger max_rounds, or go on with resume=error.run_result and a larger one"
        )
        error.run_result = result
        return error


class MCPError(ToolbridgeError):
    """The MCP peer answered a request with an error (JSON-RPC 2.0, section 5.1).

    Takes the arguments of both official SDKs: an ``ErrorData`` (1.x), or code, message and data.

    Args:
        code: the code of the error, or an ``ErrorData``, or the message alone.
        message: the message of the peer.
        data: what the peer added.
        error: an ``ErrorData``, instead of the three.
    """

    code: int
    data: Any
    # The code of errors that no peer sent: CONNECTION_CLOSED of the official SDK.
    _default_code: int = -32000

    def __init__(
        self,
        code: int | str | ErrorData | Any = None,
        message: str | None = None,
        data: Any = None,
        *,
        error: ErrorData | Any = None,
    ) -> None:
        source: Any = code if error is None else error
        if hasattr(source, "code") and hasattr(source, "message"):
            code, message, data = source.code, source.message, getattr(source, "data", None)
        elif isinstance(code, str) and message is None:
            code, message = None, code
        super().__init__(message or "")
        self.code = code if isinstance(code, int) else self._default_code
        self.data = data

    @property
    def error(self) -> ErrorData:
        """Code, message and data as one value, as in both official SDKs."""
        from toolbridge.mcp.types import ErrorData

        fields = {"code": self.code, "message": self.message}
        return ErrorData._wrap(fields if self.data is None else {**fields, "data": self.data})

    @classmethod
    def from_error_data(cls, error: ErrorData | Any) -> Self:
        """Makes the exception of an ``ErrorData``, ours or the official SDK's."""
        return cls(error=error)


McpError = MCPError


class ConnectionClosedError(MCPError):
    """The MCP connection ended before the answer came.

    Attributes:
        outcome_unknown: Whether the request may have been carried out; False where the server
            refused it, or where it never left.
    """

    outcome_unknown: bool = True


class TransportError(MCPError):
    """The MCP transport could not be opened, or could not carry a message.

    Attributes:
        status_code: The HTTP status of the answer that was a refusal; None where no HTTP answer
            came, and on transports without HTTP.
    """

    status_code: int | None = None


class InputRequiredRoundsExceededError(MCPError, RuntimeError):
    """A server wanted input more than ``max_rounds`` times; the official SDK's is a RuntimeError."""

    @property
    def max_rounds(self) -> int | None:
        """How often one call may; None if that is not known."""
        return self.data.get("maxRounds") if isinstance(self.data, dict) else None


class ToolOutputError(MCPError, RuntimeError):
    """The structured result of a tool does not fit the output schema that the tool declares.

    The official SDKs raise a ``RuntimeError`` for it, so this is one too. The result of a tool that
    reports an error itself (``isError``) is never checked.

    Attributes:
        tool: The tool.
        path: Where it does not fit, a JSON pointer into ``structuredContent``, empty for the whole
            of it; None where it is missing, or the schema cannot be used.
        found: What is there, in words; None as above.
        accepted: What the schema accepts there, in words; None as above.
    """

    # INTERNAL_ERROR of JSON-RPC: no peer sent it.
    _default_code = -32603

    @property
    def tool(self) -> str | None:
        """See the class."""
        return self._told("tool")

    @property
    def path(self) -> str | None:
        """See the class."""
        return self._told("path")

    @property
    def found(self) -> str | None:
        """See the class."""
        return self._told("found")

    @property
    def accepted(self) -> str | None:
        """See the class."""
        return self._told("accepted")

    def _told(self, name: str) -> str | None:
        told = self.data.get(name) if isinstance(self.data, dict) else None
        return told if isinstance(told, str) else None


class MCPTimeoutError(MCPError, TimeoutError):
    """The MCP peer did not answer in time."""

    _default_code = -32001


class APIError(ToolbridgeError):
    """The root of what goes wrong with a completion call.

    Args:
        message: the sentence. LiteLLM's ``APIError(status_code, message, …)`` works as well.
        llm_provider: the provider, as in ``openai``; ``provider`` is the same.
        model: the model, as the caller named it.
        response: the answer of the provider, if there was one.
        litellm_debug_info: kept for LiteLLM's sake.
        max_retries: how often the call was to be repeated.
        num_retries: how often it was repeated.
        status_code: the HTTP status; that of the class when it is left out.
        body: the body, decoded if it was JSON; of ``{"error": {…}}`` the inner object, as with
            the openai package (the whole text is in ``response``).
        headers: the headers of the answer; those of ``response`` when left out.
        request_id: the provider's id of the request.
        code: the provider's code of the error.
        param: the parameter that the provider complains of.
        type: the provider's type of the error.
        retry_after: seconds that the provider asks to wait.
        request: kept for openai's sake.
        provider: the same as ``llm_provider``.
    """

    # openai's classes say the same of an error whose status has no class of its own.
    _default_status: int | None = None
    _openai_name: str | None = "APIError"

    llm_provider: str | None
    model: str | None
    response: Any
    request: Any
    litellm_debug_info: str | None
    max_retries: int | None
    num_retries: int | None
    status_code: int | None
    body: Any
    headers: Mapping[str, str]
    request_id: str | None
    code: str | None
    param: str | None
    type: str | None
    retry_after: float | None

    def __new__(cls, *args: Any, **_fields: Any) -> Self:
        """Makes an instance that belongs to openai's tree too, when that package is loaded."""
        made: Self = Exception.__new__(_with_openai(cls), *args)
        return made

    def __init__(
        self,
        message: str | int = "",
        llm_provider: str | None = None,
        model: str | None = None,
        response: Any = None,
        litellm_debug_info: str | None = None,
        max_retries: int | None = None,
        num_retries: int | None = None,
        *,
        status_code: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,  # noqa: A002 - openai's name
        retry_after: float | None = None,
        request: Any = None,
        provider: str | None = None,
        **_ignored: Any,
    ) -> None:
        if isinstance(message, int):
            status_code, message, llm_provider = message, llm_provider or "", model
            model, response = response, None
        super().__init__(message)
        if status_code is None:
            status_code = getattr(response, "status_code", None) or self._default_status
        if headers is None:
            headers = getattr(response, "headers", None)
        self.headers = Headers(headers)
        inner = body if isinstance(body, dict) else {}
        self.llm_provider = llm_provider or provider
        self.model = model
        self.response = response
        self.request = request
        self.litellm_debug_info = litellm_debug_info
        self.max_retries = max_retries
        self.num_retries = num_retries
        self.status_code = status_code
        self.body = body
        self.request_id = request_id or self.headers.get("x-request-id")
        self.code = inner.get("code") if code is None else code
        self.param = inner.get("param") if param is None else param
        self.type = inner.get("type") if type is None else type
        self.retry_after = retry_after

    @property
    def provider(self) -> str | None:
        """The provider, as in ``openai``."""
        return self.llm_provider

    def __str__(self) -> str:
        facts = [
            f"{name} {value}"
            for name, value in (
                ("provider", self.llm_provider),
                ("model", self.model),
                ("status", self.status_code),
                ("request", self.request_id),
                ("retries", self.num_retries or None),
            )
            if value is not None
        ]
        return f"{self.message} ({', '.join(facts)})" if facts else self.message


class APIConnectionError(APIError):
    """The provider could not be reached, or the connection broke."""

    _openai_name = "APIConnectionError"


class APIResponseValidationError(APIError):
    """The provider answered with something that is not an answer."""

    _openai_name = "APIResponseValidationError"


class JSONSchemaValidationError(APIResponseValidationError):
    """The answer does not fit the JSON Schema that was asked for.

    Args:
        model: the model.
        llm_provider: the provider.
        raw_response: the answer, as text.
        schema: the schema that was asked for.
        message: the sentence; made of the others when it is left out.
        **fields: those of :class:`APIError`.
    """

    raw_response: str | None
    schema: Any

    def __init__(
        self,
        model: str | None = None,
        llm_provider: str | None = None,
        raw_response: str | None = None,
        schema: Any = None,
        *,
        message: str = "the answer of the model does not fit the JSON Schema",
        **fields: Any,
    ) -> None:
        super().__init__(message, llm_provider, model, **fields)
        self.raw_response = raw_response
        self.schema = schema


class APIStatusError(APIError):
    """The provider answered with an error status."""

    _openai_name = "APIStatusError"


class _ModelFirst(APIError):
    """The errors whose second argument is the model: LiteLLM has the two orders."""

    def __init__(
        self,
        message: str = "",
        model: str | None = None,
        llm_provider: str | None = None,
        response: Any = None,
        litellm_debug_info: str | None = None,
        max_retries: int | None = None,
        num_retries: int | None = None,
        body: Any = None,
        **fields: Any,
    ) -> None:
        super().__init__(
            message,
            llm_provider,
            model,
            response,
            litellm_debug_info,
            max_retries,
            num_retries,
            body=body,
            **fields,
        )


class Timeout(_ModelFirst, APIConnectionError):
    """The provider did not answer in time: no answer at all, or status 408."""

    _default_status = 408
    _openai_name = "APITimeoutError"


APITimeoutError = Timeout


class BadRequestError(_ModelFirst, APIStatusError):
    """400: the provider does not take the request as it is."""

    _default_status = 400
    _openai_name = "BadRequestError"


class ContextWindowExceededError(BadRequestError):
    """400: the messages do not fit the context window of the model."""


class ContentPolicyViolationError(BadRequestError):
    """400: the provider's content policy refuses the request."""


class UnsupportedParamsError(BadRequestError):
    """400: a parameter that the provider or the model does not take."""

    def __init__(
        self,
        message: str = "",
        llm_provider: str | None = None,
        model: str | None = None,
        status_code: int | None = None,
        response: Any = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, model, llm_provider, response, status_code=status_code, **fields)


class AuthenticationError(APIStatusError):
    """401, or no key at all: the message names the variable that was looked up."""

    _default_status = 401
    _openai_name = "AuthenticationError"


class PaymentRequired(APIStatusError):
    """402: the provider wants to be paid first."""

    _default_status = 402


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this."""

    _default_status = 403
    _openai_name = "PermissionDeniedError"


class NotFoundError(_ModelFirst, APIStatusError):
    """404: no such model, or no such path."""

    _default_status = 404
    _openai_name = "NotFoundError"


class ConflictError(APIStatusError):
    """409: the request contradicts another one."""

    _default_status = 409
    _openai_name = "ConflictError"


class UnprocessableEntityError(_ModelFirst, APIStatusError):
    """422: the provider understands the request and cannot do it."""

    _default_status = 422
    _openai_name = "UnprocessableEntityError"


class RateLimitError(APIStatusError):
    """429: too many requests or tokens; ``retry_after`` says how long to wait, if it is known."""

    _default_status = 429
    _openai_name = "RateLimitError"


class InternalServerError(APIStatusError):
    """500, and every 5xx without a class of its own."""

    _default_status = 500
    _openai_name = "InternalServerError"


# The openai package has one class for every 5xx, and its users catch that one.
class BadGatewayError(APIStatusError):
    """502: the provider's own upstream failed."""

    _default_status = 502
    _openai_name = "InternalServerError"


class ServiceUnavailableError(APIStatusError):
    """503: the provider is overloaded or down."""

    _default_status = 503
    _openai_name = "InternalServerError"


# A class of ours -> (openai's class, the class that is both).
_with_openai_classes: dict[type, tuple[type, type]] = {}


def _with_openai(cls: type[Any]) -> type[Any]:
    """Finds the class of ours that is openai's too; our own when openai is not loaded."""
    openai = sys.modules.get("openai")
    theirs = getattr(openai, cls._openai_name, None) if openai and cls._openai_name else None
    if theirs is None or issubclass(cls, theirs):
        return cls
    known = _with_openai_classes.get(cls)
    if known is None or known[0] is not theirs:
        namespace = {
            "__doc__": cls.__doc__,
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "_own_class": cls,
        }
        known = _with_openai_classes[cls] = (theirs, type(cls.__name__, (cls, theirs), namespace))
    return known[1]


def _own_class(cls: type[Any]) -> type[Any]:
    """Finds the class of ours behind one that is openai's too."""
    own: type[Any] = cls.__dict__.get("_own_class", cls)
    return own


def _restore(cls: Any, args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Makes a pickled exception again."""
    restored: BaseException = cls.__new__(cls, *args)
    restored.args = args
    restored.__dict__.update(state)
    return restored
