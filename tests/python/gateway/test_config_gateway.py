"""`toolbridge.Gateway`: a gateway inside a Python program."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import toolbridge
from toolbridge import ConfigurationError, Gateway

if TYPE_CHECKING:
    from pathlib import Path


def mocked(*names: str, **settings: Any) -> dict[str, Any]:
    params = {"model": "gpt-4o", "mock_response": "Hello"}
    models = [{"model_name": name, "litellm_params": params} for name in names]
    return {"model_list": models, **settings}


def fetch(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return json.load(answer)


async def models(gateway: Gateway) -> list[str]:
    found = await asyncio.to_thread(fetch, f"{gateway.url}/v1/models")
    return [model["id"] for model in found["data"]]


@pytest.mark.asyncio
async def test_a_gateway_serves_a_dict_on_a_free_port_until_it_is_left() -> None:
    async with Gateway(mocked("one", "two")) as gateway:
        host, port = gateway.address
        assert (host, gateway.url) == ("127.0.0.1", f"http://127.0.0.1:{port}")
        assert repr(gateway) == f"<Gateway at {gateway.url}>"
        assert await models(gateway) == ["one", "two"]
        url = gateway.url
    assert repr(gateway) == "<Gateway, not running>"
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(fetch, f"{url}/v1/models")


@pytest.mark.asyncio
async def test_a_gateway_serves_a_file_and_reads_it_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(mocked("one", nonsense=1)))
    async with Gateway(path) as gateway:
        assert gateway.notices == [f"{path}, line 1: nonsense is no known key and was ignored"]
        path.write_text(json.dumps(mocked("two")))
        assert await models(gateway) == ["one"]
        await gateway.reload()
        assert await models(gateway) == ["two"]
        assert gateway.notices == []
        path.write_text("model_list: 1")
        with pytest.raises(ConfigurationError, match=r"line 1: model_list is a number"):
            await gateway.reload()
        assert await models(gateway) == ["two"]
        await gateway.reload(mocked("three"))
        assert await models(gateway) == ["three"]
        await gateway.reload()
        assert await models(gateway) == ["three"]


@pytest.mark.asyncio
async def test_a_gateway_asks_for_its_key() -> None:
    config = mocked("one", general_settings={"master_key": "sk-master"})
    async with Gateway(config) as gateway:
        url = f"{gateway.url}/v1/models"
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(fetch, url)
        refused.value.close()
        assert refused.value.code == 401
        found = await asyncio.to_thread(fetch, url, Authorization="Bearer sk-master")
        assert found["data"][0]["id"] == "one"


@pytest.mark.asyncio
async def test_a_configuration_that_cannot_be_used_starts_nothing(tmp_path: Path) -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (mocked("one", nonsense=1), {"strict": True}, "nonsense is no known key"),
        (mocked("one"), {"host": "0.0.0.0"}, "does not listen on 0.0.0.0 without a key"),
        (tmp_path / "nowhere.yaml", {}, "cannot be read"),
        ({"keys": [{"name": "a", "key": "b"}]}, {}, "keys are given, and no master key"),
    ]
    for config, options, expected in cases:
        with pytest.raises(ConfigurationError, match=expected):
            await Gateway(config, **options).__aenter__()


@pytest.mark.asyncio
async def test_a_gateway_is_entered_once_and_may_be_closed_twice() -> None:
    gateway = Gateway(mocked("one"))
    with pytest.raises(RuntimeError, match="has not been entered"):
        _ = gateway.url
    await gateway.aclose()
    async with gateway:
        pass
    await gateway.aclose()
    with pytest.raises(RuntimeError, match="was closed"):
        await gateway.reload()
    with pytest.raises(RuntimeError, match="entered before"):
        await gateway.__aenter__()


def test_arguments_of_other_types_are_refused() -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (1, {}, "config takes the path of a file, or a dict"),
        ({}, {"host": 1}, "host takes"),
        ({}, {"port": "1"}, "port takes an int"),
        ({}, {"strict": 1}, "strict takes"),
    ]
    for config, options, expected in cases:
        with pytest.raises(TypeError, match=expected):
            Gateway(config, **options)
    with pytest.raises(ValueError, match="port is 65536"):
        Gateway({}, port=65536)


def test_the_gateway_is_a_name_of_the_package() -> None:
    assert toolbridge.Gateway is Gateway
    assert "Gateway" in toolbridge.__all__
