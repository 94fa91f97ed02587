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


def run(example: str, **variables: str) -> str:
    """Run an example in its folder; gives what it printed."""
    environment = {key: value for key, value in os.environ.items() if "OPENAI" not in key}
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", example],
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


def test_the_notebook_runs_in_a_real_kernel() -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    variables = {name: os.environ.pop(name) for name in tuple(os.environ) if "OPENAI" in name}
    try:
        client = nbclient.NotebookClient(
            notebook, timeout=60, resources={"metadata": {"path": str(EXAMPLES)}}
        )
        client.execute()
    finally:
        os.environ.update(variables)
    outputs = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    assert any("STAND-IN" in text for text in outputs)
    assert any("CallToolResult(" in text for text in outputs)
    assert any("The tool says:" in text for text in outputs)
