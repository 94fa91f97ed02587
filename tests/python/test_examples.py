"""The examples run as they stand: the page's, the quickstart and the notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from scripted_model import scripted_model  # noqa: E402 - it lives beside the examples


def run(*arguments: str, **variables: str) -> str:
    """Run an example in the folder of the examples; gives what it printed."""
    environment = {key: value for key, value in os.environ.items() if "OPENAI" not in key}
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=EXAMPLES,
        env={**environment, "PATH": search, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_says_that_the_model_is_a_stand_in_and_reaches_the_final_answer() -> None:
    printed = run("quickstart.py")
    assert "STAND-IN" in printed
    assert '"name": "get_current_time"' in printed
    assert 'Tool call: get_current_time({"timezone": "Europe/Paris"})' in printed
    assert "Final answer: The tool says:" in printed
    assert '"timezone": "Europe/Paris"' in printed.split("Final answer:")[1]


def test_quickstart_asks_the_model_behind_openai_base_url_when_there_is_a_key() -> None:
    with scripted_model() as base_url:
        printed = run("quickstart.py", OPENAI_API_KEY="sk-of-the-test", OPENAI_BASE_URL=base_url)
    assert "STAND-IN" not in printed
    assert "Model: gpt-4o" in printed
    assert "Final answer: The tool says:" in printed
    assert "sk-of-the-test" not in printed


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("litellm_list_tools.py", ["MCP TOOLS: ", "'name': 'add'", "LLM RESPONSE: ", "call_1"]),
        (
            "litellm_call_tool.py",
            ["MCP TOOL CALL RESULT: ", "final messages with tool result: ", "The tool says: 8"],
        ),
    ],
)
def test_the_examples_of_the_page_run_with_only_the_names_replaced(
    example: str, expected: list[str]
) -> None:
    with scripted_model() as base_url:
        printed = run(example, OPENAI_API_KEY="sk-of-the-test", OPENAI_BASE_URL=base_url)
    for part in expected:
        assert part in printed


# The page's second example with the openai package, in an `async def main` as a script needs it.
PAGE_WITH_OPENAI_SDK = """
import asyncio
from toolbridge.mcp import ClientSession, StdioServerParameters
from toolbridge.mcp.client.stdio import stdio_client
import os
from openai import OpenAI
from toolbridge import experimental_mcp_client

server_params = StdioServerParameters(
    command="python3",
    args=["./mcp_server.py"],
)

async def main():
    async with stdio_client(server_params) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()
            tools = await experimental_mcp_client.load_mcp_tools(session=session, format="openai")
            print("MCP TOOLS: ", tools)
            client = OpenAI(
                api_key="your-api-key",
                base_url="http://localhost:8000"
            )
            messages = [{"role": "user", "content": "what's (3 + 5)"}]
            llm_response = client.chat.completions.create(
                model="gpt-4",
                messages=messages,
                tools=tools
            )
            print("LLM RESPONSE: ", llm_response)
            tool_call = llm_response.choices[0].message.tool_calls[0]
            call_result = await experimental_mcp_client.call_openai_tool(
                session=session,
                openai_tool=tool_call.model_dump(),
            )
            print("MCP TOOL CALL RESULT: ", call_result)
            messages.append(llm_response.choices[0].message.model_dump())
            messages.append({
                "role": "tool",
                "content": str(call_result.content[0].text),
                "tool_call_id": tool_call.id,
            })
            final_response = client.chat.completions.create(
                model="gpt-4",
                messages=messages,
                tools=tools
            )
            print("FINAL RESPONSE: ", final_response)

asyncio.run(main())
"""


def test_the_example_of_the_page_with_the_openai_sdk_runs() -> None:
    with scripted_model() as base_url:
        script = PAGE_WITH_OPENAI_SDK.replace("http://localhost:8000", base_url)
        printed = run("-c", script)
    assert "text='8'" in printed.split("MCP TOOL CALL RESULT: ")[1]
    assert "The tool says: 8" in printed.split("FINAL RESPONSE: ")[1]


def outputs_of(name: str) -> list[dict[str, str]]:
    """Run a notebook in a real kernel; what its cells showed, by media type, in their order."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    variables = {name: os.environ.pop(name) for name in tuple(os.environ) if "OPENAI" in name}
    try:
        client = nbclient.NotebookClient(
            notebook, timeout=60, resources={"metadata": {"path": str(EXAMPLES)}}
        )
        client.execute()
    finally:
        os.environ.update(variables)
    return [
        output.get("data", {"text/plain": output.get("text", "")})
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


def test_the_notebook_runs_in_a_real_kernel() -> None:
    outputs = [output.get("text/plain", "") for output in outputs_of("quickstart.ipynb")]
    assert any("STAND-IN" in text for text in outputs)
    assert any("CallToolResult(" in text for text in outputs)
    assert any("The tool says:" in text for text in outputs)


def test_the_notebook_of_the_loop_shows_calls_while_they_run() -> None:
    outputs = outputs_of("agent.ipynb")
    (shown,) = [output["text/markdown"] for output in outputs if "text/markdown" in output]
    assert '`time-get_current_time({"timezone": "Europe/Paris"})`' in shown
    assert "✅" in shown
    assert "The tool says:" in shown
    assert "time-get_current_time" in outputs[-1]["text/plain"]


def test_the_loop_in_one_call() -> None:
    printed = run("agent.py")
    assert 'time: time-get_current_time({"timezone": "Europe/Paris"}) took' in printed
    assert "The tool says:" in printed
    assert "2 rounds, 4 tokens" in printed


def test_the_loop_as_it_happens() -> None:
    printed = run("agent_stream.py")
    assert "[time-get_current_time …]\n[time-get_current_time done after" in printed
    assert '"timezone": "Europe/Paris"' in printed.split("The tool says:")[1]


@pytest.mark.parametrize(
    ("said", "answer"), [("yes", '"timezone": "Europe/Paris"'), ("no", "the user said no")]
)
def test_a_run_that_waits_for_a_decision(said: str, answer: str) -> None:
    printed = run("approve.py", said)
    assert "May the model call time-get_current_time(" in printed
    assert answer in printed.split("The tool says:")[1]


def test_a_run_that_is_recorded_and_replayed() -> None:
    printed = run("cassette.py")
    assert "- kind: tools" in printed
    assert "The same answer again: True" in printed


def test_a_server_that_asks_for_a_completion_is_answered_by_a_model() -> None:
    printed = run("sampling.py")
    assert "poet-write_line gave: No tool was offered. (by gpt-4o)" in printed
    assert "The tool says: No tool was offered. (by gpt-4o)" in printed
