"""Content blocks, resources and the other values that tools and prompts hand over."""

from __future__ import annotations

from toolbridge.objects import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

__all__ = [
    "Annotations",
    "AudioContent",
    "BlobResourceContents",
    "ContentBlock",
    "EmbeddedResource",
    "Icon",
    "ImageContent",
    "ProtocolObject",
    "Resource",
    "ResourceContents",
    "ResourceLink",
    "ResourceTemplate",
    "Root",
    "TextContent",
    "TextResourceContents",
]


class ProtocolObject(Object, protocol=True):
    """A value of the MCP specification: camelCase on the wire, both spellings in Python."""

    __slots__ = ()

    meta: dict[str, Any] | None


class Annotations(ProtocolObject):
    """Hints about who a content block is for, and how much it matters."""

    __slots__ = ()

    audience: list[str] | None
    priority: float | None
    last_modified: str | None


class Icon(ProtocolObject):
    """A picture that a client may show for a tool, a prompt, a resource or a server."""

    __slots__ = ()

    src: str
    mime_type: str | None
    sizes: list[str] | None
    theme: str | None


class TextContent(ProtocolObject):
    """Text."""

    __slots__ = ()

    type: Literal["text"] = "text"
    text: str
    annotations: Annotations | None


class ImageContent(ProtocolObject):
    """A picture, as base64 text."""

    __slots__ = ()

    type: Literal["image"] = "image"
    data: str
    mime_type: str
    annotations: Annotations | None


class AudioContent(ProtocolObject):
    """Sound, as base64 text."""

    __slots__ = ()

    type: Literal["audio"] = "audio"
    data: str
    mime_type: str
    annotations: Annotations | None


class Resource(ProtocolObject):
    """A resource that a server can read."""

    __slots__ = ()

    name: str
    uri: str
    title: str | None
    description: str | None
    mime_type: str | None
    size: int | None
    icons: list[Icon] | None
    annotations: Annotations | None


class ResourceLink(Resource):
    """A resource that a tool's result points to."""

    __slots__ = ()

    type: Literal["resource_link"] = "resource_link"


class ResourceTemplate(ProtocolObject):
    """A family of resources, by a URI template (RFC 6570)."""

    __slots__ = ()

    name: str
    uri_template: str
    title: str | None
    description: str | None
    mime_type: str | None
    icons: list[Icon] | None
    annotations: Annotations | None


class ResourceContents(ProtocolObject):
    """What was read from a resource."""

    __slots__ = ()

    uri: str
    mime_type: str | None


class TextResourceContents(ResourceContents):
    """What was read from a resource, as text."""

    __slots__ = ()

    text: str


class BlobResourceContents(ResourceContents):
    """What was read from a resource, as base64 text."""

    __slots__ = ()

    blob: str


AnyResourceContents = TextResourceContents | BlobResourceContents


class EmbeddedResource(ProtocolObject):
    """A resource whose contents stand in the result."""

    __slots__ = ()

    type: Literal["resource"] = "resource"
    resource: AnyResourceContents
    annotations: Annotations | None


class Root(ProtocolObject):
    """A place that a client lets a server work in."""

    __slots__ = ()

    uri: str
    name: str | None


ContentBlock = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource
