"""What type checkers make of the package: the types of what calls return."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNIPPET = """
from typing import assert_type

import toolbridge
from toolbridge.mcp import Client, ClientSession, types


async def use(session: ClientSession, one: Client, many: toolbridge.Client, flag: bool) -> None:
    wish = types.InputRequiredResult
    assert_type(await session.call_tool("t"), types.CallToolResult)
    assert_type(await session.call_tool("t", {}, 3.0), types.CallToolResult)
    assert_type(await session.call_tool("t", allow_input_required=False), types.CallToolResult)
    asked = await session.call_tool("t", allow_input_required=True)
    assert_type(asked, types.CallToolResult | types.InputRequiredResult)
    either = await one.call_tool("t", allow_input_required=flag)
    assert_type(either, types.CallToolResult | types.InputRequiredResult)
    assert_type(await one.get_prompt("p"), types.GetPromptResult)
    prompt = await one.get_prompt("p", allow_input_required=True)
    assert_type(prompt, types.GetPromptResult | types.InputRequiredResult)
    server = many.servers["s"]
    assert_type(await server.read_resource("a:b"), types.ReadResourceResult)
    read = await server.read_resource("a:b", allow_input_required=True)
    assert_type(read, types.ReadResourceResult | types.InputRequiredResult)
    if isinstance(asked, wish):
        assert_type(asked, types.InputRequiredResult)
    assert_type(await many.call_tool("t"), types.CallToolResult)
    router = toolbridge.Router([])
    assert_type(await router.acompletion("m"), toolbridge.ModelResponse)
    assert_type(router.completion("m", stream=True), toolbridge.CustomStreamWrapper)
    client = toolbridge.LiteLLM(timeout=toolbridge.Timeouts(total=3))
    assert_type(client.chat.completions.create([]), toolbridge.ModelResponse)
    waiting = toolbridge.AsyncLiteLLM().chat.completions
    assert_type(await waiting.create([], stream=True), toolbridge.CustomStreamWrapper)
    either_way = await waiting.create([], stream=flag)
    assert_type(either_way, toolbridge.ModelResponse | toolbridge.CustomStreamWrapper)
    toolbridge.num_retries = 3
    toolbridge.success_callback.append(print)
"""


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_call_returns_wishes_for_input_only_where_they_are_allowed(
    checker: str, tmp_path: Path
) -> None:
    pytest.importorskip(checker)
    script = tmp_path / "use.py"
    script.write_text(SNIPPET)
    command = {
        "mypy": ["-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")],
        "pyright": ["-m", "pyright", "--pythonpath", sys.executable, "--warnings"],
    }[checker]
    if checker == "mypy":
        command += ["--cache-dir", str(tmp_path / "cache")]
    else:
        settings = f'{{"include": ["use.py"], "extraPaths": ["{ROOT / "python"}"]}}'
        (tmp_path / "pyrightconfig.json").write_text(settings)
        command += ["--project", str(tmp_path)]
    where = [str(script)] if checker == "mypy" else []
    done = subprocess.run(
        [sys.executable, *command, *where], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
