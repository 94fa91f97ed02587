"""Capabilities, the parameters of requests and notifications, and what a client answers with."""

# ruff: noqa: TC001 - the names in annotations are looked up when values are converted.
from __future__ import annotations

from toolbridge.mcp._content import (
    AudioContent,
    ContentBlock,
    Icon,
    ImageContent,
    ProtocolObject,
    Root,
    TextContent,
)
from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

__all__ = [
    "CallToolRequestParams",
    "CancelledNotificationParams",
    "ClientCapabilities",
    "CompleteRequestParams",
    "CompletionArgument",
    "CompletionContext",
    "CompletionsCapability",
    "CreateMessageRequestParams",
    "CreateMessageResult",
    "CreateMessageResultWithTools",
    "ElicitCompleteNotificationParams",
    "ElicitRequestFormParams",
    "ElicitRequestParams",
    "ElicitRequestURLParams",
    "ElicitResult",
    "ElicitationCapability",
    "FormElicitationCapability",
    "GetPromptRequestParams",
    "Implementation",
    "InitializeRequestParams",
    "ListRootsResult",
    "LoggingCapability",
    "LoggingMessageNotificationParams",
    "ModelHint",
    "ModelPreferences",
    "NotificationParams",
    "PaginatedRequestParams",
    "ProgressNotificationParams",
    "PromptReference",
    "PromptsCapability",
    "ReadResourceRequestParams",
    "RequestParams",
    "ResourceTemplateReference",
    "ResourceUpdatedNotificationParams",
    "ResourcesCapability",
    "RootsCapability",
    "SamplingCapability",
    "SamplingContextCapability",
    "SamplingMessage",
    "SamplingMessageContentBlock",
    "SamplingToolsCapability",
    "ServerCapabilities",
    "SetLevelRequestParams",
    "SubscribeRequestParams",
    "Task",
    "TaskMetadata",
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


class Implementation(ProtocolObject):
    """The name and version of a client or of a server."""

    __slots__ = ()

    name: str
    version: str
    title: str | None
    description: str | None
    website_url: str | None
    icons: list[Icon] | None


class RootsCapability(ProtocolObject):
    """The client has roots."""

    __slots__ = ()

    list_changed: bool | None


class SamplingContextCapability(ProtocolObject):
    """The client can add context of servers to a sampling request."""

    __slots__ = ()


class SamplingToolsCapability(ProtocolObject):
    """The client can offer tools to the model of a sampling request."""

    __slots__ = ()


class SamplingCapability(ProtocolObject):
    """The client lets servers ask its model."""

    __slots__ = ()

    context: SamplingContextCapability | None
    tools: SamplingToolsCapability | None


class FormElicitationCapability(ProtocolObject):
    """The client can show a form."""

    __slots__ = ()


class UrlElicitationCapability(ProtocolObject):
    """The client can send its user to a page."""

    __slots__ = ()


class ElicitationCapability(ProtocolObject):
    """The client can ask its user."""

    __slots__ = ()

    form: FormElicitationCapability | None
    url: UrlElicitationCapability | None


class ClientCapabilities(ProtocolObject):
    """What a client can do for a server."""

    __slots__ = ()

    experimental: dict[str, Any] | None
    extensions: dict[str, Any] | None
    sampling: SamplingCapability | None
    elicitation: ElicitationCapability | None
    roots: RootsCapability | None
    tasks: Object | None


class PromptsCapability(ProtocolObject):
    """The server has prompts."""

    __slots__ = ()

    list_changed: bool | None


class ResourcesCapability(ProtocolObject):
    """The server has resources."""

    __slots__ = ()

    subscribe: bool | None
    list_changed: bool | None


class ToolsCapability(ProtocolObject):
    """The server has tools."""

    __slots__ = ()

    list_changed: bool | None


class LoggingCapability(ProtocolObject):
    """The server sends log messages."""

    __slots__ = ()


class CompletionsCapability(ProtocolObject):
    """The server completes arguments."""

    __slots__ = ()


class ServerCapabilities(ProtocolObject):
    """What a server offers."""

    __slots__ = ()

    experimental: dict[str, Any] | None
    extensions: dict[str, Any] | None
    logging: LoggingCapability | None
    prompts: PromptsCapability | None
    resources: ResourcesCapability | None
    tools: ToolsCapability | None
    completions: CompletionsCapability | None
    tasks: Object | None


class Task(ProtocolObject):
    """A call that runs at the server: SEP-2663, and the tasks of revision 2025-11-25.

    The times are ISO 8601, the lengths of time milliseconds; the names with ``_ms`` are those of
    SEP-2663.
    """

    __slots__ = ()

    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str | None
    created_at: str | None
    last_updated_at: str | None
    ttl: int | None
    ttl_ms: int | None
    poll_interval: int | None
    poll_interval_ms: int | None
    input_requests: dict[str, Any] | None
    result: dict[str, Any] | None
    error: Object | None


class TaskMetadata(ProtocolObject):
    """Asks for a request to be run as a task."""

    __slots__ = ()

    ttl: int | None


class RequestParams(ProtocolObject):
    """What the parameters of every request may carry."""

    __slots__ = ()

    task: TaskMetadata | None


class PaginatedRequestParams(RequestParams):
    """The parameters of a listing."""

    __slots__ = ()

    cursor: str | None


class InitializeRequestParams(RequestParams):
    """The parameters of ``initialize``."""

    __slots__ = ()

    protocol_version: str
    capabilities: ClientCapabilities
    client_info: Implementation


class CallToolRequestParams(RequestParams):
    """The parameters of ``tools/call``: a tool's name and its arguments."""

    __slots__ = ()

    name: str
    arguments: dict[str, Any] | None
    input_responses: dict[str, Any] | None
    request_state: str | None


class GetPromptRequestParams(RequestParams):
    """The parameters of ``prompts/get``."""

    __slots__ = ()

    name: str
    arguments: dict[str, str] | None


class ReadResourceRequestParams(RequestParams):
    """The parameters of ``resources/read``."""

    __slots__ = ()

    uri: str


class SubscribeRequestParams(RequestParams):
    """The parameters of ``resources/subscribe``."""

    __slots__ = ()

    uri: str


class UnsubscribeRequestParams(RequestParams):
    """The parameters of ``resources/unsubscribe``."""

    __slots__ = ()

    uri: str


class SetLevelRequestParams(RequestParams):
    """The parameters of ``logging/setLevel``."""

    __slots__ = ()

    level: str


class ResourceTemplateReference(ProtocolObject):
    """Names the resource template whose argument is to be completed."""

    __slots__ = ()

    type: Literal["ref/resource"] = "ref/resource"
    uri: str


class PromptReference(ProtocolObject):
    """Names the prompt whose argument is to be completed."""

    __slots__ = ()

    type: Literal["ref/prompt"] = "ref/prompt"
    name: str
    title: str | None


class CompletionArgument(ProtocolObject):
    """The argument to complete, and what was typed of it."""

    __slots__ = ()

    name: str
    value: str


class CompletionContext(ProtocolObject):
    """The arguments that are settled already."""

    __slots__ = ()

    arguments: dict[str, str] | None


CompletionReference = ResourceTemplateReference | PromptReference


class CompleteRequestParams(RequestParams):
    """The parameters of ``completion/complete``."""

    __slots__ = ()

    ref: CompletionReference
    argument: CompletionArgument
    context: CompletionContext | None


class ToolAnnotations(ProtocolObject):
    """Hints about what a tool does; not to be trusted without trust in the server."""

    __slots__ = ()

    title: str | None
    read_only_hint: bool | None
    destructive_hint: bool | None
    idempotent_hint: bool | None
    open_world_hint: bool | None


class ToolExecution(ProtocolObject):
    """How a tool can be run."""

    __slots__ = ()

    task_support: str | None


class Tool(ProtocolObject):
    """A tool of a server: its name, its description and the JSON Schema of its arguments."""

    __slots__ = ()

    name: str
    title: str | None
    description: str | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    icons: list[Icon] | None
    annotations: ToolAnnotations | None
    execution: ToolExecution | None


class ToolUseContent(ProtocolObject):
    """A tool call that the model of a sampling request makes."""

    __slots__ = ()

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


class ToolResultContent(ProtocolObject):
    """The result of a tool call, in a sampling request."""

    __slots__ = ()

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: list[ContentBlock]
    structured_content: Any = None
    is_error: bool | None


SamplingMessageContentBlock = (
    TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent
)


class SamplingMessage(ProtocolObject):
    """A message of a sampling request; its content is one block or a list of them."""

    __slots__ = ()

    role: str
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]

    @property
    def content_as_list(self) -> list[SamplingMessageContentBlock]:
        """The content as a list, also when it is a single block."""
        content = self.content
        return content if isinstance(content, list) else [content]


class ModelHint(ProtocolObject):
    """A name, or a part of one, of a model that a server would like."""

    __slots__ = ()

    name: str | None


class ModelPreferences(ProtocolObject):
    """What a server cares about in the choice of the model."""

    __slots__ = ()

    hints: list[ModelHint] | None
    cost_priority: float | None
    speed_priority: float | None
    intelligence_priority: float | None


class ToolChoice(ProtocolObject):
    """Whether the model may, must or must not call a tool."""

    __slots__ = ()

    mode: str | None


class CreateMessageRequestParams(RequestParams):
    """The parameters of ``sampling/createMessage``."""

    __slots__ = ()

    messages: list[SamplingMessage]
    max_tokens: int
    model_preferences: ModelPreferences | None
    system_prompt: str | None
    include_context: str | None
    temperature: float | None
    stop_sequences: list[str] | None
    metadata: dict[str, Any] | None
    tools: list[Tool] | None
    tool_choice: ToolChoice | None


class CreateMessageResult(ProtocolObject):
    """The answer to ``sampling/createMessage``."""

    __slots__ = ()

    role: str
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]
    model: str
    stop_reason: str | None

    @property
    def content_as_list(self) -> list[SamplingMessageContentBlock]:
        """The content as a list, also when it is a single block."""
        content = self.content
        return content if isinstance(content, list) else [content]


# The official SDK has two classes, for one block and for several; here one class takes both.
CreateMessageResultWithTools = CreateMessageResult


class ListRootsResult(ProtocolObject):
    """The answer to ``roots/list``."""

    __slots__ = ()

    roots: list[Root]


class ElicitRequestFormParams(RequestParams):
    """The parameters of ``elicitation/create``: a form to fill in."""

    __slots__ = ()

    mode: str = "form"
    message: str
    requested_schema: dict[str, Any]


class ElicitRequestURLParams(RequestParams):
    """The parameters of ``elicitation/create``: a page to visit."""

    __slots__ = ()

    mode: str = "url"
    message: str
    url: str
    elicitation_id: str | None


class ElicitRequestParams(RequestParams):
    """The parameters of ``elicitation/create``, in either mode, as a callback receives them."""

    __slots__ = ()

    mode: str = "form"
    message: str
    requested_schema: dict[str, Any] | None
    url: str | None
    elicitation_id: str | None


class ElicitResult(ProtocolObject):
    """The answer to ``elicitation/create``."""

    __slots__ = ()

    action: str
    content: dict[str, Any] | None


class NotificationParams(ProtocolObject):
    """What the parameters of every notification may carry."""

    __slots__ = ()


class ProgressNotificationParams(NotificationParams):
    """How far a request has come."""

    __slots__ = ()

    progress_token: str | int
    progress: float
    total: float | None
    message: str | None


class LoggingMessageNotificationParams(NotificationParams):
    """A line of a server's log; ``data`` is any JSON value."""

    __slots__ = ()

    level: str
    logger: str | None
    data: Any


class ResourceUpdatedNotificationParams(NotificationParams):
    """A resource has changed."""

    __slots__ = ()

    uri: str


class CancelledNotificationParams(NotificationParams):
    """A request is not waited for any more."""

    __slots__ = ()

    request_id: str | int | None
    reason: str | None


class ElicitCompleteNotificationParams(NotificationParams):
    """The user is done with the page of an elicitation."""

    __slots__ = ()

    elicitation_id: str
