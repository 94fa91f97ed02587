"""The values of MCP sessions, by the names of the official SDK's ``mcp.types``.

Fields follow the MCP specification, revisions 2024-11-05 to 2026-07-28. Every class answers to both
spellings of a field (``inputSchema`` and ``input_schema``), keeps unknown fields, and dumps to the
object that was on the wire.
"""

from __future__ import annotations

from toolbridge.mcp._content import (
    Annotations,
    AnyResourceContents,
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    Icon,
    ImageContent,
    ProtocolObject,
    Resource,
    ResourceContents,
    ResourceLink,
    ResourceTemplate,
    Root,
    TextContent,
    TextResourceContents,
)
from toolbridge.mcp._params import (
    CallToolRequestParams,
    CancelledNotificationParams,
    ClientCapabilities,
    CompleteRequestParams,
    CompletionArgument,
    CompletionContext,
    CompletionsCapability,
    CreateMessageRequestParams,
    CreateMessageResult,
    CreateMessageResultWithTools,
    ElicitationCapability,
    ElicitCompleteNotificationParams,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    FormElicitationCapability,
    GetPromptRequestParams,
    Implementation,
    InitializeRequestParams,
    ListRootsResult,
    LoggingCapability,
    LoggingMessageNotificationParams,
    ModelHint,
    ModelPreferences,
    NotificationParams,
    PaginatedRequestParams,
    ProgressNotificationParams,
    PromptReference,
    PromptsCapability,
    ReadResourceRequestParams,
    RequestParams,
    ResourcesCapability,
    ResourceTemplateReference,
    ResourceUpdatedNotificationParams,
    RootsCapability,
    SamplingCapability,
    SamplingContextCapability,
    SamplingMessage,
    SamplingMessageContentBlock,
    SamplingToolsCapability,
    ServerCapabilities,
    SetLevelRequestParams,
    SubscribeRequestParams,
    Task,
    TaskMetadata,
    Tool,
    ToolAnnotations,
    ToolChoice,
    ToolExecution,
    ToolResultContent,
    ToolsCapability,
    ToolUseContent,
    UnsubscribeRequestParams,
    UrlElicitationCapability,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "CONNECTION_CLOSED",
    "HEADER_MISMATCH",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "LATEST_PROTOCOL_VERSION",
    "METHOD_NOT_FOUND",
    "MISSING_REQUIRED_CLIENT_CAPABILITY",
    "PARSE_ERROR",
    "REQUEST_TIMEOUT",
    "UNSUPPORTED_PROTOCOL_VERSION",
    "URL_ELICITATION_REQUIRED",
    "Annotations",
    "AudioContent",
    "BlobResourceContents",
    "CallToolRequestParams",
    "CallToolResult",
    "CancelledNotificationParams",
    "ClientCapabilities",
    "CompleteRequestParams",
    "CompleteResult",
    "Completion",
    "CompletionArgument",
    "CompletionContext",
    "CompletionsCapability",
    "ContentBlock",
    "CreateMessageRequestParams",
    "CreateMessageResult",
    "CreateMessageResultWithTools",
    "Cursor",
    "DiscoverResult",
    "ElicitCompleteNotificationParams",
    "ElicitRequestFormParams",
    "ElicitRequestParams",
    "ElicitRequestURLParams",
    "ElicitResult",
    "ElicitationCapability",
    "EmbeddedResource",
    "EmptyResult",
    "ErrorData",
    "FormElicitationCapability",
    "GetPromptRequestParams",
    "GetPromptResult",
    "Icon",
    "ImageContent",
    "Implementation",
    "IncludeContext",
    "InitializeRequestParams",
    "InitializeResult",
    "InputRequiredResult",
    "ListPromptsResult",
    "ListResourceTemplatesResult",
    "ListResourcesResult",
    "ListRootsResult",
    "ListToolsResult",
    "LoggingCapability",
    "LoggingLevel",
    "LoggingMessageNotificationParams",
    "ModelHint",
    "ModelPreferences",
    "NotificationParams",
    "PaginatedRequestParams",
    "PaginatedResult",
    "ProgressNotificationParams",
    "ProgressToken",
    "Prompt",
    "PromptArgument",
    "PromptMessage",
    "PromptReference",
    "PromptsCapability",
    "ProtocolObject",
    "ReadResourceRequestParams",
    "ReadResourceResult",
    "RequestId",
    "RequestParams",
    "Resource",
    "ResourceContents",
    "ResourceLink",
    "ResourceTemplate",
    "ResourceTemplateReference",
    "ResourceUpdatedNotificationParams",
    "ResourcesCapability",
    "Result",
    "Role",
    "Root",
    "RootsCapability",
    "SamplingCapability",
    "SamplingContextCapability",
    "SamplingMessage",
    "SamplingMessageContentBlock",
    "SamplingToolsCapability",
    "ServerCapabilities",
    "SetLevelRequestParams",
    "StopReason",
    "SubscribeRequestParams",
    "SubscriptionFilter",
    "Task",
    "TaskMetadata",
    "TextContent",
    "TextResourceContents",
    "Tool",
    "ToolAnnotations",
    "ToolChoice",
    "ToolExecution",
    "ToolResultContent",
    "ToolUseContent",
    "ToolsCapability",
    "UnsubscribeRequestParams",
    "UrlElicitationCapability",
]

LATEST_PROTOCOL_VERSION = "2026-07-28"
HEADER_MISMATCH = -32020
MISSING_REQUIRED_CLIENT_CAPABILITY = -32021
UNSUPPORTED_PROTOCOL_VERSION = -32022
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CONNECTION_CLOSED = -32000
REQUEST_TIMEOUT = -32001
URL_ELICITATION_REQUIRED = -32042


class Result(ProtocolObject):
    """What the result of every request may carry."""

    __slots__ = ()

    result_type: str | None


class EmptyResult(Result):
    """The result of a request that has nothing to say."""

    __slots__ = ()


class PaginatedResult(Result):
    """One page of a listing; ``next_cursor`` asks for the next one."""

    __slots__ = ()

    next_cursor: str | None
    ttl_ms: int | None
    cache_scope: str | None


class InitializeResult(Result):
    """The result of ``initialize``."""

    __slots__ = ()

    protocol_version: str
    capabilities: ServerCapabilities
    server_info: Implementation
    instructions: str | None


class DiscoverResult(Result):
    """The result of ``server/discover``."""

    __slots__ = ()

    supported_versions: list[str]
    capabilities: ServerCapabilities
    instructions: str | None
    ttl_ms: int | None
    cache_scope: str | None

    @property
    def server_info(self) -> Implementation | None:
        """The server's name and version, if it said."""
        meta = self.get("_meta") or {}
        info = meta.get("io.modelcontextprotocol/serverInfo") or self.get("serverInfo")
        return Implementation._wrap(dict(info)) if hasattr(info, "keys") else None


class InputRequiredResult(Result):
    """A result that asks for input: the request is to be repeated with it."""

    __slots__ = ()

    input_requests: dict[str, Any] | None
    request_state: str | None


class SubscriptionFilter(ProtocolObject):
    """Which changes a subscription tells of."""

    __slots__ = ()

    tools_list_changed: bool | None
    prompts_list_changed: bool | None
    resources_list_changed: bool | None
    resource_subscriptions: list[str] | None


class ListToolsResult(PaginatedResult):
    """The result of ``tools/list``."""

    __slots__ = ()

    tools: list[Tool]


class CallToolResult(Result):
    """The result of ``tools/call``; a tool that failed says so in ``is_error``."""

    __slots__ = ()

    content: list[ContentBlock]
    structured_content: Any = None
    is_error: bool = False


class PromptArgument(ProtocolObject):
    """An argument that a prompt takes."""

    __slots__ = ()

    name: str
    title: str | None
    description: str | None
    required: bool | None


class Prompt(ProtocolObject):
    """A prompt of a server."""

    __slots__ = ()

    name: str
    title: str | None
    description: str | None
    arguments: list[PromptArgument] | None
    icons: list[Icon] | None


class PromptMessage(ProtocolObject):
    """A message of a prompt."""

    __slots__ = ()

    role: str
    content: ContentBlock


class ListPromptsResult(PaginatedResult):
    """The result of ``prompts/list``."""

    __slots__ = ()

    prompts: list[Prompt]


class GetPromptResult(Result):
    """The result of ``prompts/get``."""

    __slots__ = ()

    description: str | None
    messages: list[PromptMessage]


class ListResourcesResult(PaginatedResult):
    """The result of ``resources/list``."""

    __slots__ = ()

    resources: list[Resource]


class ListResourceTemplatesResult(PaginatedResult):
    """The result of ``resources/templates/list``."""

    __slots__ = ()

    resource_templates: list[ResourceTemplate]


class ReadResourceResult(Result):
    """The result of ``resources/read``."""

    __slots__ = ()

    contents: list[AnyResourceContents]


class Completion(ProtocolObject):
    """What an argument can be completed to."""

    __slots__ = ()

    # The field hides the method of the name that other values have.
    values: list[str]  # type: ignore[assignment]
    total: int | None
    has_more: bool | None


class CompleteResult(Result):
    """The result of ``completion/complete``."""

    __slots__ = ()

    completion: Completion


class ErrorData(ProtocolObject):
    """The error of a JSON-RPC answer."""

    __slots__ = ()

    code: int
    message: str
    data: Any = None


# The aliases of the official SDK; its literals are plain text here.
Role = str
LoggingLevel = str
IncludeContext = str
StopReason = str
Cursor = str
ProgressToken = str | int
RequestId = str | int
