"""The server that the official MCP conformance suite asks for, on the official `mcp` 2.x.

``everything_server.py --port N`` serves Streamable HTTP on the loopback interface and prints its
URL, 0 takes a free port; ``everything_server.py --stdio`` serves its standard streams. Every
revision that the package has is served. What is listed and answered is what the suite's scenarios
look for, and nothing else.
"""

import argparse
import asyncio
import json
import logging
import socket
import warnings
from collections import defaultdict

import mcp_types as types
import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

# Scenarios of older revisions ask for what newer ones advise against.
warnings.simplefilter("ignore")

NAME = "everything"
MISSING_CAPABILITY = -32021
RETRY_MILLISECONDS = 100
# One pixel, and one sample of silence.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA=="
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

JSON_SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
OPTIONS = ["option1", "option2", "option3"]


def titled(*titles):
    return [{"const": f"value{n}", "title": title} for n, title in enumerate(titles, 1)]


ENUMS = {
    "untitledSingle": {"type": "string", "enum": OPTIONS},
    "titledSingle": {"type": "string", "oneOf": titled("First Option", "Second Option")},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
    "titledMulti": {
        "type": "array",
        "items": {"anyOf": titled("First Choice", "Second Choice")},
    },
}


def text(said):
    return {"type": "text", "text": said}


def image():
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def resource(uri, kind, said):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": said}}


def content(*blocks):
    return {"content": list(blocks)}


def whole(model, result):
    """Make an object of the package, which knows what a result of each revision has besides."""
    return result if "resultType" in result else model.model_validate(result)


# What a tool or a prompt wants to know before it goes on; of 2026-07-28.


def form(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def sampling(prompt):
    message = {"role": "user", "content": text(prompt)}
    return {
        "method": "sampling/createMessage",
        "params": {"messages": [message], "maxTokens": 100},
    }


ROOTS = {"method": "roots/list", "params": {}}
NAME_FORM = form("What is your name?", name={"type": "string"})
OK_FORM = form("Please confirm", ok={"type": "boolean"})


def wanted(params, wishes, state=None):
    """Ask for the wishes that are not answered yet; None when all of them are."""
    answers = params.input_responses or {}
    if answers.keys() >= wishes.keys():
        return None
    result = {"resultType": "input_required", "inputRequests": wishes}
    return result | ({} if state is None else {"requestState": state})


def answered(params, key):
    """What the client answered to a wish, as JSON."""
    return params.input_responses[key].model_dump(mode="json", by_alias=True, exclude_none=True)


def wish(wishes, *, state=None):
    """Make a tool that wants answers once and then says them."""

    async def tool(ctx, params):
        asked = wanted(params, wishes, state)
        if asked is not None:
            return asked
        if params.request_state != state:
            raise MCPError(types.INVALID_PARAMS, "requestState is missing")
        said = json.dumps({key: answered(params, key) for key in wishes})
        return content(text(f"{'state-ok' if state else 'complete'}: {said}"))

    return tool


async def ask_twice(ctx, params):
    if params.request_state is None:
        return wanted(params, {"step1": form("Step 1: your name?", name={"type": "string"})}, "1")
    if params.request_state == "1":
        colour = form("Step 2: your favourite colour?", color={"type": "string"})
        return wanted(params, {"step2": colour}, "2")
    return content(text(f"complete: {json.dumps(answered(params, 'step2'))}"))


async def ask_what_the_client_can(ctx, params):
    able = ctx.session.client_capabilities or types.ClientCapabilities()
    wishes = {
        "name": NAME_FORM if able.elicitation is not None else None,
        "greeting": sampling("Generate a greeting") if able.sampling is not None else None,
        "roots": ROOTS if able.roots is not None else None,
    }
    wishes = {key: value for key, value in wishes.items() if value is not None}
    return wanted(params, wishes) or content(text(f"asked for {sorted(wishes)}"))


# Tools of every revision.


def fixed(*blocks):
    async def tool(ctx, params):
        return content(*blocks)

    return tool


async def fail(ctx, params):
    return content(text("This tool intentionally returns an error for testing")) | {"isError": True}


async def log(ctx, params):
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        if LEVELS.index("info") >= LEVELS.index(levels.get(id(ctx.session.client_params), "debug")):
            await ctx.session.send_log_message("info", said, related_request_id=ctx.request_id)
    return content(text("logged three times"))


async def report_progress(ctx, params):
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
    return content(text("reported three times"))


async def need_sampling(ctx, params):
    able = ctx.session.client_capabilities
    if able is None or able.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_CAPABILITY, "The client did not declare sampling", needed)
    return content(text("the client can sample"))


async def stream_elicitation(ctx, params):
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return wanted(params, {"name": NAME_FORM}) or content(text("complete"))
    return await elicit(ctx, "What is your name?", {"name": {"type": "string"}})


async def change_tools(ctx, params):
    await bus.publish(ToolsListChanged())
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        await ctx.session.send_tool_list_changed()
    return content(text("changed"))


async def change_prompts(ctx, params):
    await bus.publish(PromptsListChanged())
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        await ctx.session.send_prompt_list_changed()
    return content(text("changed"))


async def repeat_header(ctx, params):
    return content(text(f"region {params.arguments['region']}"))


# Tools of the revisions in which servers send requests.


async def sample(ctx, params):
    prompt = types.TextContent(type="text", text=params.arguments["prompt"])
    result = await ctx.session.create_message(
        [types.SamplingMessage(role="user", content=prompt)],
        max_tokens=100,
        related_request_id=ctx.request_id,
    )
    return content(text(f"LLM response: {result.content.text}"))


async def elicit(ctx, message, properties):
    # Sent as it stands: the suite looks for keywords that the package's own model may not have.
    schema = {"type": "object", "properties": properties, "required": []}
    request = types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=message, requested_schema=schema)
    )
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    result = await ctx.session.send_request(request, types.ElicitResult, metadata=metadata)
    said = f"action={result.action}, content={json.dumps(result.content)}"
    return content(text(f"Elicitation completed: {said}"))


async def elicit_contact(ctx, params):
    contact = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    return await elicit(ctx, params.arguments["message"], contact)


async def elicit_defaults(ctx, params):
    return await elicit(ctx, "Please look at the defaults", DEFAULTS)


async def elicit_enums(ctx, params):
    return await elicit(ctx, "Please choose", ENUMS)


async def close_stream(ctx, params):
    """End the stream of this call before its answer; the client comes back for it."""
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    return content(text("Reconnection test completed successfully"))


NOTHING = {"type": "object", "properties": {}}


def texts(*names, header=None):
    properties = {name: {"type": "string"} for name in names}
    if header:
        properties[names[0]]["x-mcp-header"] = header
    return {"type": "object", "properties": properties, "required": list(names)}


MIXED = (
    text("Multiple content types test:"),
    image(),
    resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
)
AUDIO = {"type": "audio", "data": WAV, "mimeType": "audio/wav"}
EMBEDDED = resource(
    "test://embedded-resource", "text/plain", "This is an embedded resource content."
)
ASKED = "test_input_required_result_"
TOOLS = {
    "test_simple_text": (NOTHING, fixed(text("This is a simple text response for testing."))),
    "test_image_content": (NOTHING, fixed(image())),
    "test_audio_content": (NOTHING, fixed(AUDIO)),
    "test_embedded_resource": (NOTHING, fixed(EMBEDDED)),
    "test_multiple_content_types": (NOTHING, fixed(*MIXED)),
    "test_error_handling": (NOTHING, fail),
    "test_tool_with_logging": (NOTHING, log),
    "test_logging_tool": (NOTHING, log),
    "test_tool_with_progress": (NOTHING, report_progress),
    "test_sampling": (texts("prompt"), sample),
    "test_elicitation": (texts("message"), elicit_contact),
    "test_elicitation_sep1034_defaults": (NOTHING, elicit_defaults),
    "test_elicitation_sep1330_enums": (NOTHING, elicit_enums),
    "test_reconnection": (NOTHING, close_stream),
    "test_missing_capability": (NOTHING, need_sampling),
    "test_streaming_elicitation": (NOTHING, stream_elicitation),
    "test_trigger_tool_change": (NOTHING, change_tools),
    "test_trigger_prompt_change": (NOTHING, change_prompts),
    "test_mirrored_header": (texts("region", header="Region"), repeat_header),
    "json_schema_2020_12_tool": (JSON_SCHEMA_2020_12, fixed(text("checked"))),
    f"{ASKED}elicitation": (NOTHING, wish({"user_name": NAME_FORM})),
    f"{ASKED}sampling": (
        NOTHING,
        wish({"capital_question": sampling("What is the capital of France?")}),
    ),
    f"{ASKED}list_roots": (NOTHING, wish({"client_roots": ROOTS})),
    f"{ASKED}request_state": (NOTHING, wish({"confirm": OK_FORM}, state="confirmed")),
    f"{ASKED}tampered_state": (NOTHING, wish({"confirm": OK_FORM}, state="untouched")),
    f"{ASKED}multiple_inputs": (
        NOTHING,
        wish(
            {
                "user_name": NAME_FORM,
                "greeting": sampling("Generate a greeting"),
                "client_roots": ROOTS,
            },
            state="all",
        ),
    ),
    f"{ASKED}multi_round": (NOTHING, ask_twice),
    f"{ASKED}capabilities": (NOTHING, ask_what_the_client_can),
}


async def list_tools(ctx, params):
    listed = {
        "tools": [
            {"name": name, "description": name.replace("_", " "), "inputSchema": schema}
            for name, (schema, _) in TOOLS.items()
        ]
    }
    return whole(types.ListToolsResult, listed)


async def call_tool(ctx, params):
    known = TOOLS.get(params.name)
    if known is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
    return whole(types.CallToolResult, await known[1](ctx, params))


RESOURCES = {
    "test://static-text": {
        "mimeType": "text/plain",
        "text": "This is the content of the static text resource.",
    },
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "watched"},
}
TEMPLATE = "test://template/{id}/data"


async def list_resources(ctx, params):
    listed = {
        "resources": [
            {
                "uri": uri,
                "name": uri.removeprefix("test://"),
                "description": f"what is at {uri}",
                "mimeType": held["mimeType"],
            }
            for uri, held in RESOURCES.items()
        ]
    }
    return whole(types.ListResourcesResult, listed)


async def list_templates(ctx, params):
    template = {
        "uriTemplate": TEMPLATE,
        "name": "template",
        "description": "an id in a document",
        "mimeType": "application/json",
    }
    return whole(types.ListResourceTemplatesResult, {"resourceTemplates": [template]})


async def read_resource(ctx, params):
    uri = str(params.uri)
    before, after = TEMPLATE.split("{id}")
    held = RESOURCES.get(uri)
    if held is None and uri.startswith(before) and uri.endswith(after):
        number = uri.removeprefix(before).removesuffix(after)
        filled = {"id": number, "templateTest": True, "data": f"Data for ID: {number}"}
        held = {"mimeType": "application/json", "text": json.dumps(filled)}
    if held is None:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return whole(types.ReadResourceResult, {"contents": [{"uri": uri} | held]})


PROMPTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    f"{ASKED}prompt": (),
}
CONTEXT_FORM = form("What context should the prompt use?", context={"type": "string"})


async def list_prompts(ctx, params):
    listed = {
        "prompts": [
            {
                "name": name,
                "description": name.replace("_", " "),
                "arguments": [
                    {"name": argument, "description": argument, "required": True}
                    for argument in arguments
                ],
            }
            for name, arguments in PROMPTS.items()
        ]
    }
    return whole(types.ListPromptsResult, listed)


async def get_prompt(ctx, params):
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            blocks = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            said = f"arg1='{given['arg1']}', arg2='{given['arg2']}'"
            blocks = [text(f"Prompt with arguments: {said}")]
        case "test_prompt_with_embedded_resource":
            said = "Embedded resource content for testing."
            blocks = [
                resource(given["resourceUri"], "text/plain", said),
                text("Please process the embedded resource above."),
            ]
        case "test_prompt_with_image":
            blocks = [image(), text("Please analyze the image above.")]
        case name if name == f"{ASKED}prompt":
            asked = wanted(params, {"user_context": CONTEXT_FORM})
            if asked is not None:
                return asked
            blocks = [text(f"The context: {json.dumps(answered(params, 'user_context'))}")]
        case name:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name}")
    messages = [{"role": "user", "content": block} for block in blocks]
    return whole(types.GetPromptResult, {"messages": messages})


async def complete(ctx, params):
    known = ["paris", "park", "party"]
    values = [one for one in known if one.startswith(params.argument.value)]
    found = {"values": values, "total": len(values), "hasMore": False}
    return whole(types.CompleteResult, {"completion": found})


async def do_nothing(ctx, params):
    return {}


async def set_level(ctx, params):
    levels[id(ctx.session.client_params)] = params.level
    return {}


# The level of each session, by what its client said at its start.
levels = {}
bus = InMemorySubscriptionBus()
HINT = CacheHint(ttl_ms=0, scope="public")


def make_server():
    server = Server(
        NAME,
        version="1.0.0",
        cache_hints=dict.fromkeys(
            ("tools/list", "prompts/list", "resources/list", "resources/templates/list"), HINT
        )
        | {"resources/read": HINT},
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=do_nothing,
        on_unsubscribe_resource=do_nothing,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=set_level,
    )
    server.middleware.append(
        RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME)
    )
    return server


class Events(EventStore):
    """Everything that was sent, for clients that come back."""

    def __init__(self):
        self.streams = defaultdict(list)
        self.stream_of = {}

    async def store_event(self, stream_id, message):
        event_id = str(len(self.stream_of) + 1)
        self.stream_of[event_id] = stream_id
        self.streams[stream_id].append((event_id, message))
        return event_id

    async def replay_events_after(self, last_event_id, send_callback):
        stream_id = self.stream_of.get(last_event_id)
        for event_id, message in self.streams.get(stream_id, ()):
            if int(event_id) > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream_id


async def serve_http(port):
    app = make_server().streamable_http_app(event_store=Events(), retry_interval=RETRY_MILLISECONDS)
    listener = socket.create_server(("127.0.0.1", port))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve(sockets=[listener])


async def serve_stdio():
    server = make_server()
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(changes))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--port", type=int, help="the port of Streamable HTTP; 0 takes a free one")
    way.add_argument("--stdio", action="store_true", help="serve the standard streams")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    asyncio.run(serve_stdio() if arguments.stdio else serve_http(arguments.port))


if __name__ == "__main__":
    main()
