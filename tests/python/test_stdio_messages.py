"""What crosses the pipes of a stdio connection: large, cut up, garbled, or no message at all."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from servers.sessions import ask, session
from toolbridge import MCPError, TransportError

ANSWER = '{"jsonrpc":"2.0","id":<id>,"result":{"content":[],"n":1}}'


async def raw(one, text):
    return await one.call_tool("raw", {"text": text})


@pytest.mark.asyncio
async def test_messages_of_forty_megabytes_pass_in_both_directions():
    async with session() as one:
        text = "0123456789" * 4_000_000
        assert (await ask(one, "echo", text=text))["text"] == text
        large = await one.call_tool("large", {"size": 40_000_000})
        assert len(large.content[0].text) == 40_000_000


@pytest.mark.asyncio
async def test_large_and_small_messages_at_once_keep_their_answers():
    async with session() as one:
        sizes = [0, 3_000_000, 1, 65_535, 65_536, 65_537, 1_048_576] * 3
        answers = await asyncio.gather(*(ask(one, "echo", text="x" * size) for size in sizes))
        assert [len(answer["text"]) for answer in answers] == sizes


@pytest.mark.asyncio
async def test_an_answer_over_the_maximum_fails_its_caller_alone():
    async with session(maximum_message_bytes=1_000_000) as one:
        small = [asyncio.create_task(ask(one, "echo", a=n)) for n in range(10)]
        with pytest.raises(TransportError, match="maximum_message_bytes") as failure:
            await one.call_tool("large", {"size": 5_000_000})
        assert "1000000" in str(failure.value)
        assert await asyncio.gather(*small) == [{"a": n} for n in range(10)]
        assert len((await one.call_tool("large", {"size": 900_000})).content[0].text) == 900_000


@pytest.mark.asyncio
async def test_a_request_over_the_maximum_does_not_fail_a_call_with_its_id(caplog):
    async with session(maximum_message_bytes=1000) as one:
        large = json.dumps(
            {"jsonrpc": "2.0", "id": "<id>", "method": "m", "params": {"x": "y" * 5000}}
        )
        large = large.replace('"<id>"', "<id>")
        await raw(one, large + "\n" + ANSWER + "\n")
    assert "1000 accepted" in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "texts",
    [
        [ANSWER + "\n"],
        [ANSWER + "\r\n"],
        ["\n\r\n  \n" + ANSWER + "\n\n"],
        [" \t" + ANSWER + " \n"],
        ['{"jsonrpc":"2.0","method":"notifications/x"}\n' * 100 + ANSWER + "\n"],
        ["[" + '{"jsonrpc":"2.0","method":"notifications/x"},' + ANSWER + "]\n"],
        [" [ " + ANSWER + " ]\n"],
        ['{"jsonrpc":"2.0","id":77777,"result":{}}\n', ANSWER + "\n"],
        ['{"jsonrpc":"2.0","id":"nobody","result":{}}\n', ANSWER + "\n"],
        ['{"id":<id>,"result":{"content":[],"n":1}}\n'],
        ['{"result":{"content":[],"n":1},"id":<id>,"error":null,"more":[1]}\n'],
    ],
)
async def test_an_answer_is_found_however_it_is_written(texts):
    async with session() as one:
        result = await one.call_tool("pieces", {"texts": texts})
        assert result.n == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        ("Server listening on port 1", "expected value"),
        ("caf\xe9", "expected value"),
        ('{"jsonrpc":"2.0","method":"notifications/\xff"}', "unicode"),
        ("null", "invalid type"),
        ('"text"', "invalid type"),
        ("{}", "neither a request"),
        ('{"jsonrpc":"2.0","id":1.5,"result":{}}', "1.5"),
        ('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}', "Parse"),
        ("[1]", "invalid type"),
        ("{" * 100_000, "key must be a string"),
        ("\x00\x01\x02", "expected value"),
    ],
)
async def test_garbage_is_reported_and_skipped(garbage, reason, caplog):
    heard = []
    async with session(message_handler=heard.append) as one:
        with caplog.at_level(logging.WARNING, "toolbridge.mcp"):
            assert (await raw(one, garbage + "\n" + ANSWER + "\n")).n == 1
    (record,) = caplog.records
    assert record.name == "toolbridge.mcp"
    assert record.levelname == "WARNING"
    assert "not MCP" in record.getMessage()
    assert reason in record.getMessage()
    assert len(record.getMessage()) < 1000
    (failure,) = heard
    assert isinstance(failure, Exception)
    assert str(failure) == record.getMessage()


@pytest.mark.asyncio
async def test_one_bad_element_of_a_batch_does_not_cost_the_others(caplog):
    async with session() as one:
        assert (await raw(one, f'[{{"id":{{}}}},{ANSWER},3]\n')).n == 1
    assert len(caplog.records) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "result",
    ['{"content":[],"x":NaN}', '{"content":[],"x":Infinity}', '{"content":[', '{"a":"\xff"}'],
)
async def test_an_answer_that_is_not_json_is_an_error_for_its_caller(result, caplog):
    async with session() as one:
        with pytest.raises(TransportError, match="not valid JSON"):
            await raw(one, f'{{"jsonrpc":"2.0","id":<id>,"result":{result}}}\n')
        await one.send_ping()
    assert "not MCP" in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize("members", ["", ',"error":null'])
async def test_neither_a_result_nor_an_error_is_an_error(members):
    async with session() as one:
        with pytest.raises(MCPError, match="neither a result nor an error"):
            await raw(one, f'{{"jsonrpc":"2.0","id":<id>{members}}}\n')


@pytest.mark.asyncio
@pytest.mark.parametrize("result", ["[1]", '"text"', "5", "true", "null"])
async def test_a_result_that_is_no_object_is_an_error(result):
    async with session() as one:
        with pytest.raises(MCPError, match="tools/call with .*, not with an object"):
            await raw(one, f'{{"jsonrpc":"2.0","id":<id>,"result":{result}}}\n')


@pytest.mark.asyncio
async def test_a_result_that_is_too_deep_is_an_error_for_its_caller():
    async with session() as one:
        deep = "[" * 100_000 + "]" * 100_000
        with pytest.raises(MCPError, match="recursion"):
            await raw(one, f'{{"jsonrpc":"2.0","id":<id>,"result":{{"x":{deep}}}}}\n')
        await one.send_ping()


@pytest.mark.asyncio
async def test_an_error_answer_keeps_its_code_message_and_data():
    async with session() as one:
        with pytest.raises(MCPError, match="no such tool") as caught:
            await one.call_tool("no such tool at all")
        failure = caught.value
        assert type(failure) is MCPError
        assert failure.code == -32602
        assert failure.message == "no such tool"
        assert failure.data == {"tool": "no such tool at all", "n": 10**30}
        assert failure.error.code == -32602
        assert failure.error.data == failure.data


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "code", "message", "data"),
    [
        ('{"code":-32000,"message":"m"}', -32000, "m", None),
        ('{"code":-32000,"message":"m","data":"text"}', -32000, "m", "text"),
        ('{"code":-32000,"message":"m","data":[1,null]}', -32000, "m", [1, None]),
        ('{"message":"m"}', None, "m", None),
        ('{"code":5}', 5, "without a reason", None),
        ('"text"', None, "text", None),
        ('{"code":"E1","message":"m"}', None, "m", None),
    ],
)
async def test_any_error_answer_is_an_mcp_error(error, code, message, data):
    async with session() as one:
        with pytest.raises(MCPError) as caught:
            await raw(one, f'{{"jsonrpc":"2.0","id":<id>,"error":{error}}}\n')
        assert message in caught.value.message
        assert caught.value.data == data
        if code is not None:
            assert caught.value.code == code


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["text id", "1", 5, 0, 2**40, -3])
async def test_a_request_of_the_server_is_answered_with_its_own_id(key):
    async with session() as one:
        answer = await ask(one, "ask", method="ping", key=key)
        assert answer == {"jsonrpc": "2.0", "id": key, "result": {}}


@pytest.mark.asyncio
async def test_a_request_of_the_server_may_have_the_id_of_a_call_in_flight():
    async with session() as one:
        waiting = asyncio.create_task(one.call_tool("silent"))
        # The task begins, and then the answer to the ping says that its request has arrived.
        await asyncio.sleep(0)
        await one.send_ping()
        number = next(
            m["id"] for m in await ask(one, "got") if m.get("params", {}).get("name") == "silent"
        )
        assert (await ask(one, "ask", method="ping", key=number))["id"] == number
        assert not waiting.done()
        await one.call_tool("answer_others", {"answer": number})
        assert (await waiting).content[0].text == "late"
