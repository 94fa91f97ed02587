"""Completions that MCP servers ask for, answered by a model: `SamplingModel`."""

from __future__ import annotations

from toolbridge._toolbridge import sampling_request, sampling_result
from toolbridge.exceptions import ConfigurationError, ToolbridgeError
from toolbridge.mcp import types
from toolbridge.mcp.client._arguments import check_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SamplingModel"]

_INVALID_PARAMS = -32602
_INTERNAL_ERROR = -32603
# What the server says, or what would make something else than one answer.
_NOT_TAKEN = {
    "messages": "the server sends them",
    "tools": "the server sends them",
    "stream": "the server waits for a whole answer",
    "n": "the server waits for one answer",
}


class SamplingModel:
    """A model that answers the servers that ask for a completion (``sampling/createMessage``).

    ``Client(servers, sampling_callback=SamplingModel("openai/gpt-4o-mini"))``: it stands wherever a
    ``sampling_callback`` is taken, in sessions too, and answers inside of ``client.run`` as it does
    outside of it. Servers are told that it takes tools.

    What a server prefers among models is not looked at: the model is the one that is given here. A
    server that asks for what no model takes gets an error, as does one whose question the model does
    not answer; what a provider said goes to the log (``toolbridge.mcp``) and not to the server.

    Args:
        model: As for ``acompletion``.
        **parameters: As for ``acompletion``: ``api_key``, ``api_base``, ``timeout``, … Where a server
            sends one as well, such as ``max_tokens`` or ``temperature``, the one given here holds.

    Raises:
        ConfigurationError: A parameter that is the server's, or that makes more than one answer.
        TypeError: The model is no str.
    """

    def __init__(self, model: str, **parameters: Any) -> None:
        """See the class."""
        check_str("model", model)
        for name, why in _NOT_TAKEN.items():
            if parameters.get(name) is not None:
                message = f"a SamplingModel takes no {name}: {why}"
                raise ConfigurationError(message)
        self._model = model
        self._parameters = parameters
        # What servers are told unless the session is given something else.
        self.sampling_capabilities = types.SamplingCapability(tools={})

    async def __call__(
        self, context: Any, params: Any
    ) -> types.CreateMessageResult | types.ErrorData:
        """Answer a server.

        Args:
            context: Who asks; not looked at.
            params: What it asks, a ``CreateMessageRequestParams``.
        """
        import logging

        from toolbridge.main import acompletion

        del context
        try:
            request = sampling_request(params)
        except ValueError as failure:
            return types.ErrorData(code=_INVALID_PARAMS, message=str(failure))
        if "max_completion_tokens" in self._parameters:
            # Another name of the same limit.
            request.pop("max_tokens", None)
        try:
            response = await acompletion(self._model, **{**request, **self._parameters})
            return types.CreateMessageResult._wrap(sampling_result(response, self._model))
        except (ToolbridgeError, ValueError) as failure:
            # What a provider said may be about keys; the kind of failure is not.
            message = f"the model {self._model!r} gave no answer ({type(failure).__name__})"
            logging.getLogger("toolbridge.mcp").warning("%s: %s", message, failure)
            return types.ErrorData(code=_INTERNAL_ERROR, message=message)

    def __repr__(self) -> str:
        """Show the model, and nothing that may be a secret."""
        return f"SamplingModel({self._model!r})"
