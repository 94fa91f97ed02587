"""MCP sessions, the MCP to LLM tool bridge and the completion call, in one Rust engine.

The names are those of LiteLLM's ``experimental_mcp_client`` and ``acompletion``; the session is
``toolbridge.mcp``. Everything beside the version loads at its first use.
"""

from __future__ import annotations

import atexit
import os

from toolbridge._toolbridge import __version__, forked, shutdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from toolbridge import agent as agent
    from toolbridge import catalogue as catalogue
    from toolbridge import exceptions as exceptions
    from toolbridge import experimental_mcp_client as experimental_mcp_client
    from toolbridge import mcp as mcp
    from toolbridge import mcp_client as mcp_client
    from toolbridge import types as types
    from toolbridge._cassette import cassette as cassette
    from toolbridge._completion.timeouts import Timeouts as Timeouts
    from toolbridge.catalogue import completion_cost as completion_cost
    from toolbridge.catalogue import cost_per_token as cost_per_token
    from toolbridge.catalogue import get_max_tokens as get_max_tokens
    from toolbridge.catalogue import get_model_info as get_model_info
    from toolbridge.catalogue import model_cost as model_cost
    from toolbridge.catalogue import register_model as register_model
    from toolbridge.catalogue import supports as supports
    from toolbridge.catalogue import supports_audio_input as supports_audio_input
    from toolbridge.catalogue import supports_audio_output as supports_audio_output
    from toolbridge.catalogue import supports_function_calling as supports_function_calling
    from toolbridge.catalogue import (
        supports_parallel_function_calling as supports_parallel_function_calling,
    )
    from toolbridge.catalogue import supports_pdf_input as supports_pdf_input
    from toolbridge.catalogue import supports_prompt_caching as supports_prompt_caching
    from toolbridge.catalogue import supports_reasoning as supports_reasoning
    from toolbridge.catalogue import supports_response_schema as supports_response_schema
    from toolbridge.catalogue import supports_system_messages as supports_system_messages
    from toolbridge.catalogue import supports_tool_choice as supports_tool_choice
    from toolbridge.catalogue import supports_vision as supports_vision
    from toolbridge.catalogue import supports_web_search as supports_web_search
    from toolbridge.catalogue import token_counter as token_counter
    from toolbridge.catalogue import unregister_model as unregister_model
    from toolbridge.client import Client as Client
    from toolbridge.completions import AsyncLiteLLM as AsyncLiteLLM
    from toolbridge.completions import LiteLLM as LiteLLM
    from toolbridge.exceptions import APIConnectionError as APIConnectionError
    from toolbridge.exceptions import APIError as APIError
    from toolbridge.exceptions import APIResponseValidationError as APIResponseValidationError
    from toolbridge.exceptions import APIStatusError as APIStatusError
    from toolbridge.exceptions import APITimeoutError as APITimeoutError
    from toolbridge.exceptions import AuthenticationError as AuthenticationError
    from toolbridge.exceptions import BadGatewayError as BadGatewayError
    from toolbridge.exceptions import BadRequestError as BadRequestError
    from toolbridge.exceptions import ConfigurationError as ConfigurationError
    from toolbridge.exceptions import ConflictError as ConflictError
    from toolbridge.exceptions import ConnectionClosedError as ConnectionClosedError
    from toolbridge.exceptions import ContentPolicyViolationError as ContentPolicyViolationError
    from toolbridge.exceptions import ContextWindowExceededError as ContextWindowExceededError
    from toolbridge.exceptions import InternalServerError as InternalServerError
    from toolbridge.exceptions import JSONSchemaValidationError as JSONSchemaValidationError
    from toolbridge.exceptions import MCPError as MCPError
    from toolbridge.exceptions import McpError as McpError
    from toolbridge.exceptions import MCPTimeoutError as MCPTimeoutError
    from toolbridge.exceptions import NotFoundError as NotFoundError
    from toolbridge.exceptions import PaymentRequired as PaymentRequired
    from toolbridge.exceptions import PermissionDeniedError as PermissionDeniedError
    from toolbridge.exceptions import RateLimitError as RateLimitError
    from toolbridge.exceptions import RoundLimitError as RoundLimitError
    from toolbridge.exceptions import ServiceUnavailableError as ServiceUnavailableError
    from toolbridge.exceptions import Timeout as Timeout
    from toolbridge.exceptions import ToolbridgeError as ToolbridgeError
    from toolbridge.exceptions import ToolCallArgumentsError as ToolCallArgumentsError
    from toolbridge.exceptions import ToolOutputError as ToolOutputError
    from toolbridge.exceptions import TransportError as TransportError
    from toolbridge.exceptions import UnprocessableEntityError as UnprocessableEntityError
    from toolbridge.exceptions import UnsupportedParamsError as UnsupportedParamsError
    from toolbridge.experimental_mcp_client.results import to_anthropic_block as to_anthropic_block
    from toolbridge.experimental_mcp_client.results import to_bedrock_block as to_bedrock_block
    from toolbridge.experimental_mcp_client.results import to_gemini_parts as to_gemini_parts
    from toolbridge.experimental_mcp_client.results import to_openai_message as to_openai_message
    from toolbridge.experimental_mcp_client.results import to_openai_messages as to_openai_messages
    from toolbridge.experimental_mcp_client.results import (
        to_openai_responses_item as to_openai_responses_item,
    )
    from toolbridge.gateway import Gateway as Gateway
    from toolbridge.main import CustomStreamWrapper as CustomStreamWrapper
    from toolbridge.main import ModelResponse as ModelResponse
    from toolbridge.main import acompletion as acompletion
    from toolbridge.main import completion as completion
    from toolbridge.main import stream_chunk_builder as stream_chunk_builder
    from toolbridge.router import Router as Router
    from toolbridge.sampling import SamplingModel as SamplingModel

# What a completion call takes where it does not say so itself, and who is told of calls; the names
# are LiteLLM's, and users assign to them: ``toolbridge.drop_params = True``.
api_base: str | None = None
api_key: str | None = None
drop_params: bool = False
enable_json_schema_validation: bool = False
headers: Mapping[str, str] | None = None
num_retries: int | None = None
organization: str | None = None
request_timeout: float | object | None = None
ssl_verify: bool | str | None = None
callbacks: list[Any] = []
success_callback: list[Any] = []
failure_callback: list[Any] = []

_MODULES = frozenset(
    {
        "agent",
        "catalogue",
        "client",
        "exceptions",
        "experimental_mcp_client",
        "gateway",
        "mcp",
        "mcp_client",
        "types",
    }
)
# Where the classes with a module of their own are.
_CLASSES = {
    "AsyncLiteLLM": "completions",
    "Client": "client",
    "Gateway": "gateway",
    "LiteLLM": "completions",
    "Router": "router",
    "SamplingModel": "sampling",
    "Timeouts": "_completion.timeouts",
    "cassette": "_cassette",
}
_COMPLETION = frozenset(
    {"CustomStreamWrapper", "ModelResponse", "acompletion", "completion", "stream_chunk_builder"}
)
# The results of tools as models read them.
_RESULTS = frozenset(
    {
        "to_anthropic_block",
        "to_bedrock_block",
        "to_gemini_parts",
        "to_openai_message",
        "to_openai_messages",
        "to_openai_responses_item",
    }
)

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncLiteLLM",
    "AuthenticationError",
    "BadGatewayError",
    "BadRequestError",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "ConnectionClosedError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "CustomStreamWrapper",
    "Gateway",
    "InternalServerError",
    "JSONSchemaValidationError",
    "LiteLLM",
    "MCPError",
    "MCPTimeoutError",
    "McpError",
    "ModelResponse",
    "NotFoundError",
    "PaymentRequired",
    "PermissionDeniedError",
    "RateLimitError",
    "RoundLimitError",
    "Router",
    "SamplingModel",
    "ServiceUnavailableError",
    "Timeout",
    "Timeouts",
    "ToolCallArgumentsError",
    "ToolOutputError",
    "ToolbridgeError",
    "TransportError",
    "UnprocessableEntityError",
    "UnsupportedParamsError",
    "__version__",
    "acompletion",
    "agent",
    "cassette",
    "catalogue",
    "completion",
    "completion_cost",
    "cost_per_token",
    "exceptions",
    "experimental_mcp_client",
    "get_max_tokens",
    "get_model_info",
    "mcp",
    "mcp_client",
    "model_cost",
    "register_model",
    "stream_chunk_builder",
    "supports",
    "supports_audio_input",
    "supports_audio_output",
    "supports_function_calling",
    "supports_parallel_function_calling",
    "supports_pdf_input",
    "supports_prompt_caching",
    "supports_reasoning",
    "supports_response_schema",
    "supports_system_messages",
    "supports_tool_choice",
    "supports_vision",
    "supports_web_search",
    "to_anthropic_block",
    "to_bedrock_block",
    "to_gemini_parts",
    "to_openai_message",
    "to_openai_messages",
    "to_openai_responses_item",
    "token_counter",
    "types",
    "unregister_model",
]

atexit.register(shutdown)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forked)


def __getattr__(name: str) -> object:
    """Load a public name at its first use, so that the import itself costs nothing."""
    from importlib import import_module

    if name in _COMPLETION:
        value: object = getattr(import_module("toolbridge.main"), name)
    elif name in _CLASSES:
        value = getattr(import_module(f"toolbridge.{_CLASSES[name]}"), name)
    elif name in _RESULTS:
        value = getattr(import_module("toolbridge.experimental_mcp_client.results"), name)
    elif name in _MODULES:
        value = import_module(f"toolbridge.{name}")
    elif name in __all__:
        # What is left are exceptions, which are classes, and the functions and facts of the catalogue.
        module = "exceptions" if name[0].isupper() else "catalogue"
        value = getattr(import_module(f"toolbridge.{module}"), name)
    else:
        message = f"module 'toolbridge' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
