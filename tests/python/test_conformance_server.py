"""The verdict of `make conformance` on what goes through the gateway."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "conformance"
PASSED = {"id": "right", "status": "SUCCESS", "description": "the server does it right"}
FAILED = {"id": "wrong", "status": "FAILURE", "description": "the server does it right"}
WARNED = {"id": "slow", "status": "WARNING", "description": "", "errorMessage": "too slow"}
REQUIREMENTS = """# what is required
server:
  - ping
  - tools-list

client:
  - initialize
not_scored:
  - scenario: tasks-lifecycle
    leg: server
  - scenario: dns-rebinding
    leg: server
"""


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "conformance_run_server", FOLDER / "run_server.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("checks", "problem"),
    [
        ([PASSED], None),
        ([PASSED, FAILED], "FAILURE wrong: the server does it right"),
        ([PASSED, WARNED], "WARNING slow: too slow"),
        ([], "no check succeeded"),
    ],
)
def test_a_scenario_passes_if_a_check_succeeds_and_none_fails(
    runner: ModuleType, checks: list[dict[str, str]], problem: str | None
) -> None:
    assert runner.failure_of(checks) == problem


def test_what_is_required_is_read_from_the_lists_of_the_suite(
    runner: ModuleType, tmp_path: Path
) -> None:
    lists = tmp_path / runner.SUITE / "requirements"
    lists.mkdir(parents=True)
    (lists / "2026-07-28.yaml").write_text(REQUIREMENTS)
    assert runner.read_required(tmp_path, "2026-07-28") == ["ping", "tools-list"]
    assert runner.read_tasks(tmp_path, "2026-07-28") == ["tasks-lifecycle"]
    (lists / "2025-11-25.yaml").write_text("client:\n  - initialize\n")
    assert runner.read_tasks(tmp_path, "2025-11-25") == []
    with pytest.raises(SystemExit, match="2025-11-25"):
        runner.read_required(tmp_path, "2025-11-25")


def test_a_scenario_that_is_required_and_did_not_run_has_failed(
    runner: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = {"ping": None, "tasks": "FAILURE"}
    assert runner.report("over stdio", "2026-07-28", ["ping", "tools-list"], outcomes) == 1
    said = capsys.readouterr().out
    assert "over stdio, 2026-07-28: 1 of 2 scenarios passed; 0 of 1" in said
    assert "tools-list failed" in said
