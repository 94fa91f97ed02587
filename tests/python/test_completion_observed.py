"""What a process can see of its completion calls: log records, callbacks, spans."""

from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import toolbridge
from scripted_openai import DONE, UNTIL_GONE, answer, chunk, error, run_script, serve, stream

SECRET = "a sentence that nobody may see"
QUESTION = [{"role": "user", "content": SECRET}]
BUSY = answer(error("slow down"), "429 Too Many Requests", {"retry-after-ms": "0"})
USAGE = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}


def streamed():
    return stream(
        chunk({"role": "assistant", "content": "Par"}),
        chunk({"content": "is"}),
        chunk({}, "stop"),
        {**chunk({}), "choices": [], "usage": USAGE},
        DONE,
    )


def ask(endpoint, **arguments):
    return toolbridge.completion("openai/a", QUESTION, **{**endpoint.settings, **arguments})


@pytest.fixture
def spans(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter.get_finished_spans
    provider.shutdown()


@pytest.fixture
def points(monkeypatch):
    """The points of a metric, by its name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", provider)

    def read(name):
        (resource,) = reader.get_metrics_data().resource_metrics
        (scope,) = resource.scope_metrics
        assert scope.scope.name == "toolbridge"
        (metric,) = [metric for metric in scope.metrics if metric.name == name]
        return metric.unit, list(metric.data.data_points)

    yield read
    provider.shutdown()


def test_a_call_is_one_record_without_content_and_keys(caplog):
    caplog.set_level(logging.INFO, "toolbridge.llm")
    with serve(BUSY, answer()) as endpoint:
        ask(endpoint, max_retries=1)
    (record,) = [one for one in caplog.records if one.name == "toolbridge.llm"]
    fields = record.toolbridge
    assert fields["duration_ms"] > 0
    assert {name: fields[name] for name in fields if name != "duration_ms"} == {
        "model": "openai/a",
        "provider": "openai",
        "status": "ok",
        "http_status": 200,
        "input_tokens": 9,
        "output_tokens": 1,
        "retries": 1,
        "fallbacks": 0,
        "stream": False,
    }
    text = record.getMessage()
    assert not [word for word in (SECRET, "sk-a-secret-key", "Paris") if word in text]


def test_a_failure_and_a_stream_that_is_over_are_records_too(caplog):
    caplog.set_level(logging.INFO, "toolbridge.llm")
    with serve(BUSY, streamed()) as endpoint:
        with pytest.raises(toolbridge.RateLimitError):
            ask(endpoint)
        chunks = ask(endpoint, stream=True)
        next(chunks)
        assert len(caplog.records) == 1
        list(chunks)
    assert [record.toolbridge["status"] for record in caplog.records] == ["RateLimitError", "ok"]
    assert [record.toolbridge["http_status"] for record in caplog.records] == [429, 200]
    assert caplog.records[1].toolbridge["output_tokens"] == 1


def test_functions_are_called_with_litellms_arguments(monkeypatch):
    seen = []

    def succeeded(kwargs, response, start, end):
        seen.append(("ok", kwargs["model"], response.choices[0].message.content, end >= start))
        assert kwargs["messages"] == QUESTION
        assert kwargs["litellm_params"]["metadata"] == {"who": "me"}

    def failed(kwargs, response, _start, _end):
        seen.append(("failed", type(kwargs["exception"]).__name__, response))

    monkeypatch.setattr(toolbridge, "success_callback", [succeeded])
    monkeypatch.setattr(toolbridge, "failure_callback", [failed])
    with serve(answer(), streamed(), BUSY) as endpoint:
        ask(endpoint, metadata={"who": "me"})
        list(ask(endpoint, stream=True, metadata={"who": "me"}))
        with pytest.raises(toolbridge.RateLimitError):
            ask(endpoint)
    assert seen == [
        ("ok", "a", "Paris", True),
        ("ok", "a", "Paris", True),
        ("failed", "RateLimitError", None),
    ]


class Logger:
    def __init__(self):
        self.seen = []

    def log_pre_api_call(self, model, messages, _kwargs):
        self.seen.append(("before", model, messages == QUESTION))

    def log_success_event(self, _kwargs, response, _start, _end):
        self.seen.append(("sync", response.usage.total_tokens))

    async def async_log_success_event(self, _kwargs, response, _start, _end):
        self.seen.append(("async", response.usage.total_tokens))

    def log_failure_event(self, kwargs, _response, _start, _end):
        self.seen.append(("failed", kwargs["exception"].status_code))


def test_an_object_is_told_in_the_form_of_the_call(monkeypatch):
    logger = Logger()
    monkeypatch.setattr(toolbridge, "callbacks", [logger])

    async def awaited(endpoint):
        await toolbridge.acompletion("openai/a", QUESTION, **endpoint.settings)
        chunks = await toolbridge.acompletion(
            "openai/a", QUESTION, stream=True, **endpoint.settings
        )
        assert len([one async for one in chunks]) == 4
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        with pytest.raises(toolbridge.RateLimitError):
            await toolbridge.acompletion("openai/a", QUESTION, **endpoint.settings)

    with serve(answer(), answer(), streamed(), BUSY) as endpoint:
        ask(endpoint)
        asyncio.run(awaited(endpoint))
    before = ("before", "openai/a", True)
    told = [one for one in logger.seen if one != before]
    assert logger.seen.count(before) == 4
    assert told == [("sync", 10), ("async", 10), ("async", 10), ("failed", 429)]


def test_a_callback_that_fails_does_not_break_the_call(monkeypatch, caplog):
    def broken(*_arguments):
        raise ValueError("broken")

    monkeypatch.setattr(toolbridge, "success_callback", [broken])
    with serve(answer()) as endpoint:
        assert ask(endpoint).choices[0].message.content == "Paris"
    assert any("the call goes on" in record.getMessage() for record in caplog.records)


def test_a_name_of_an_integration_is_said_to_be_unknown(monkeypatch):
    from toolbridge._completion import observe

    monkeypatch.setattr(observe, "_warned", set())
    monkeypatch.setattr(toolbridge, "success_callback", ["langfuse"])
    with serve(answer()) as endpoint, pytest.warns(UserWarning, match="'langfuse'"):
        ask(endpoint)


def test_a_call_is_a_client_span_by_the_conventions(spans):
    with serve(answer()) as endpoint:
        ask(endpoint, temperature=0.5, max_tokens=7, stop="x", n=2)
    (span,) = spans()
    assert span.name == "chat a"
    assert span.kind is trace.SpanKind.CLIENT
    port = int(endpoint.origin.rpartition(":")[2])
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "a",
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 1,
        "server.address": "127.0.0.1",
        "server.port": port,
    }
    assert span.end_time > span.start_time


def test_the_span_of_a_failed_call_names_the_error_and_quotes_nothing(spans):
    with (
        serve(answer(error(SECRET), "400 Bad Request")) as endpoint,
        pytest.raises(toolbridge.BadRequestError),
    ):
        ask(endpoint)
    (span,) = spans()
    assert span.attributes["error.type"] == "BadRequestError"
    assert span.attributes["http.response.status_code"] == 400
    assert span.status.status_code is trace.StatusCode.ERROR
    assert SECRET not in span.to_json()


def test_the_span_of_a_stream_ends_with_it_and_lies_in_that_of_the_caller(spans):
    tracer = trace.get_tracer_provider().get_tracer("test")
    with serve(streamed()) as endpoint, tracer.start_as_current_span("outer") as outer:
        chunks = ask(endpoint, stream=True)
        next(chunks)
        assert spans() == ()
        list(chunks)
        (span,) = spans()
    assert span.parent.span_id == outer.get_span_context().span_id
    assert span.attributes["gen_ai.usage.output_tokens"] == 1
    assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_the_span_of_a_stream_that_is_closed_ends_then(spans):
    with serve(stream(chunk({"content": "x"}), UNTIL_GONE)) as endpoint:
        chunks = ask(endpoint, stream=True)
        next(chunks)
        chunks.close()
        assert len(spans()) == 1
        assert endpoint.gone.wait(30)


@pytest.mark.asyncio
async def test_a_stream_that_fails_in_the_middle_is_a_failed_span(spans):
    with serve(stream(chunk({"content": "x"}))) as endpoint:
        chunks = await toolbridge.acompletion(
            "openai/a", QUESTION, stream=True, **endpoint.settings
        )
        with pytest.raises(toolbridge.APIConnectionError):
            [one async for one in chunks]
    (span,) = spans()
    assert span.attributes["error.type"] == "APIConnectionError"


@pytest.mark.asyncio
async def test_a_call_that_is_cancelled_is_a_failed_span(spans):
    with serve([UNTIL_GONE]) as endpoint:
        call = asyncio.ensure_future(
            toolbridge.acompletion("openai/a", QUESTION, **endpoint.settings)
        )
        await asyncio.to_thread(endpoint.begun.wait, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(endpoint.gone.wait, 30)
    (span,) = spans()
    assert span.attributes["error.type"] == "CancelledError"


def test_a_router_has_spans_too(spans):
    with serve(answer()) as endpoint:
        params = {"model": "openai/a", "api_key": "sk-1234", "api_base": endpoint.api_base}
        router = toolbridge.Router([{"model_name": "m", "litellm_params": params}])
        router.completion("m", QUESTION)
    (span,) = spans()
    assert span.name == "chat m"
    assert span.attributes["gen_ai.provider.name"] == "openai"


def test_calls_are_metrics_of_their_time_and_their_tokens(points):
    with serve(answer(), streamed(), BUSY) as endpoint:
        ask(endpoint)
        list(ask(endpoint, stream=True))
        with pytest.raises(toolbridge.RateLimitError):
            ask(endpoint)
    unit, found = points("gen_ai.client.operation.duration")
    assert unit == "s"
    assert found[0].explicit_bounds[:3] == (0.01, 0.02, 0.04)
    counts = {point.attributes.get("error.type"): point.count for point in found}
    assert counts == {None: 2, "RateLimitError": 1}
    assert all(0 < point.sum < 60 for point in found)
    unit, found = points("gen_ai.client.token.usage")
    assert unit == "{token}"
    sums = {point.attributes["gen_ai.token.type"]: point.sum for point in found}
    assert sums == {"input": 18, "output": 2}
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "a",
    }
    assert common.items() <= dict(found[0].attributes).items()
    assert not [value for value in found[0].attributes.values() if SECRET in str(value)]


def test_nothing_is_imported_to_find_out_that_nobody_watches():
    script = (
        "import sys, toolbridge\n"
        "toolbridge.completion('openai/a', [{'role': 'user', 'content': 'x'}], mock_response='x')\n"
        "seen = {'logging', 'opentelemetry', 'toolbridge._completion.observe'} & set(sys.modules)\n"
        "assert not seen, seen\n"
    )
    assert run_script(script).stderr == ""
