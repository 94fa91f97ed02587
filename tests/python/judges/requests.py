"""Judges of requests, one for each protocol: what is wrong with a body, by the provider's official SDK."""

import functools
import inspect
import typing

from judges.shapes import problems


def chat(body):
    """OpenAI's chat completions, by ``openai``."""
    from openai.types.chat import completion_create_params as params

    streaming = params.CompletionCreateParamsStreaming
    plain = params.CompletionCreateParamsNonStreaming
    return problems(body, streaming if body.get("stream") else plain)


def sagemaker(body):
    """The same, which endpoints of SageMaker take that speak it."""
    return chat(body)


def watsonx(body):
    """The same at IBM, under its own names and in a project."""
    names = {"model_id": "model", "tool_choice_option": "tool_choice"}
    found = [f"body has no {name!r}" for name in ("model_id", "project_id") if name not in body]
    found += [f"body.{name} has another name" for name in names.values() if name in body]
    others = {name: value for name, value in body.items() if name != "project_id"}
    return found + chat({names.get(name, name): value for name, value in others.items()})


def responses(body):
    """OpenAI's responses, by ``openai``."""
    from openai.types.responses import response_create_params as params

    streaming = params.ResponseCreateParamsStreaming
    plain = params.ResponseCreateParamsNonStreaming
    return problems(body, streaming if body.get("stream") else plain)


def anthropic(body):
    """Anthropic's messages, by ``anthropic``."""
    from anthropic.types import message_create_params as params

    streaming = params.MessageCreateParamsStreaming
    plain = params.MessageCreateParamsNonStreaming
    # The SDK speaks a version of the API without them; 2023-06-01, which is asked for, has them.
    sampling = {"temperature": float, "top_p": float, "top_k": int}
    others = {name: value for name, value in body.items() if name not in sampling}
    found = problems(others, streaming if body.get("stream") else plain)
    for name, shape in sampling.items():
        if name in body:
            found += problems(body[name], shape, f"body.{name}")
    return found


def anthropic_on_vertex(body):
    """The same as Vertex AI takes it: the model is in the URL, and the documented version in the body."""
    version = "vertex-2023-10-16"
    others = {name: value for name, value in body.items() if name != "anthropic_version"}
    found = anthropic(others | {"model": "in-the-url"})
    if body.get("anthropic_version") != version:
        found.append(f"body.anthropic_version is not {version!r}")
    if "model" in body:
        found.append("body.model is in the URL")
    return found


def gemini(body):
    """Gemini's generateContent, by ``google-genai``."""
    from google.genai import types

    members = {
        "contents": list[types.Content],
        "systemInstruction": types.Content,
        "tools": list[types.Tool],
        "toolConfig": types.ToolConfig,
        "safetySettings": list[types.SafetySetting],
        "generationConfig": types.GenerationConfig,
        "cachedContent": str,
        "labels": dict[str, str],
    }
    return _by_name(body, members, {"contents"})


def cohere(body):
    """Cohere's chat, version 2, by ``cohere``."""
    members, needed = _cohere_members()
    return _by_name(body, members, needed)


@functools.cache
def _cohere_members():
    from cohere.v2.raw_client import RawV2Client

    method = RawV2Client.chat
    hints = typing.get_type_hints(method, include_extras=True)
    parameters = inspect.signature(method).parameters.values()
    names = [one for one in parameters if one.name not in {"self", "request_options"}]
    needed = {one.name for one in names if one.default is inspect.Parameter.empty}
    return {one.name: hints[one.name] for one in names} | {"stream": bool}, needed


def mistral(body):
    """Mistral's chat completions, by ``mistralai``."""
    from mistralai.client.models import ChatCompletionRequest, ChatCompletionStreamRequest

    return problems(
        body, ChatCompletionStreamRequest if body.get("stream") else ChatCompletionRequest
    )


def ollama(body):
    """Ollama's chat, by ``ollama``."""
    from ollama import _types as types

    # The SDK takes any mapping in the place of its classes: the judge does not.
    members = {name: field.annotation for name, field in types.ChatRequest.model_fields.items()}
    members |= {
        "messages": list[types.Message],
        "tools": list[types.Tool],
        "options": types.Options,
    }
    found, messages = [], []
    for index, message in enumerate(body.get("messages", [])):
        place = f"body.messages[{index}]"
        known = dict(message)
        # A picture is an object of the SDK's, and base64 text on the wire.
        if "images" in known:
            found += problems(known.pop("images"), list[str], f"{place}.images")
        # Ids of calls are the server's API's; the SDK has none.
        if "tool_call_id" in known:
            found += problems(known.pop("tool_call_id"), str, f"{place}.tool_call_id")
        calls = known.get("tool_calls", [])
        if calls:
            known["tool_calls"] = [
                {name: value for name, value in call.items() if name != "id"} for call in calls
            ]
        messages.append(known)
    # Of a schema the SDK lists what it looks at itself.
    tools = [
        {**tool, "function": {**tool["function"], "parameters": None}}
        for tool in body.get("tools", [])
    ]
    plain = {**body, "messages": messages} | ({"tools": tools} if tools else {})
    return found + _by_name(plain, members, {"model", "messages"})


def bedrock(body):
    """Bedrock's Converse, by the service model in ``botocore``."""
    from botocore.validate import ParamValidator

    shape = _converse()
    report = ParamValidator().validate(_with_bytes(body, shape) | {"modelId": "m"}, shape)
    found = report.generate_report()
    return [*(found.splitlines() if found else ()), *_strange(body, shape, "body")]


@functools.cache
def _converse():
    from botocore.session import get_session

    model = get_session().get_service_model("bedrock-runtime")
    return model.operation_model("Converse").input_shape


def _with_bytes(value, shape):
    """The value as the SDK takes it: blobs are bytes there, base64 text on the wire."""
    import base64

    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        return {
            name: _with_bytes(item, members[name]) if name in members else item
            for name, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_with_bytes(item, shape.member) for item in value]
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    return value


def _strange(value, shape, place):
    if shape.type_name == "structure" and isinstance(value, dict) and not shape.is_document_type:
        for name, item in value.items():
            if name in shape.members:
                yield from _strange(item, shape.members[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is no member of {shape.name}"
    elif shape.type_name == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strange(item, shape.member, f"{place}[{index}]")


def _by_name(body, members, needed):
    found = [f"body has no {name!r}" for name in sorted(needed - set(body))]
    for name, value in body.items():
        if name in members:
            found += problems(value, members[name], f"body.{name}")
        else:
            found.append(f"body.{name} is no member of a request")
    return found
