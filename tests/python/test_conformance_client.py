"""The verdict of `make conformance`, and what the client under test says that it cannot do."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "conformance"
PASSED = {"id": "right", "status": "SUCCESS", "description": "the client does it right"}
FAILED = {"id": "wrong", "status": "FAILURE", "description": "the client does it right"}
WARNED = {"id": "slow", "status": "WARNING", "description": "", "errorMessage": "too slow"}


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def expected(runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "expected_failures.txt"
    path.write_text("# what fails\n\n2025-11-25 auth/basic no authorization yet\n2026-07-28 a b\n")
    monkeypatch.setattr(runner, "EXPECTED_FAILURES", path)
    return path


def result(folder: Path, checks: list[dict[str, str]], said: str) -> Path:
    (folder / "checks.json").write_text(json.dumps(checks))
    (folder / "stdout.txt").write_text(said)
    (folder / "stderr.txt").write_text("Traceback of the client\n")
    return folder


def test_a_scenario_passes_if_a_check_succeeds_and_the_client_ends_well(
    runner: ModuleType, tmp_path: Path
) -> None:
    folder = result(tmp_path, [PASSED], "the client exited with status 0\n")
    assert runner.failure_of(folder) is None


@pytest.mark.parametrize(
    ("checks", "said", "problem"),
    [
        ([PASSED, FAILED], "the client exited with status 0", "FAILURE wrong: the client does"),
        ([PASSED, WARNED], "the client exited with status 0", "WARNING slow: too slow"),
        ([], "the client exited with status 0", "no check succeeded"),
        ([PASSED], "the client exited with status 1", "Traceback of the client"),
        ([PASSED], "", "Traceback of the client"),
    ],
)
def test_a_scenario_fails_for_a_bad_check_for_none_or_for_how_the_client_ended(
    runner: ModuleType, tmp_path: Path, checks: list[dict[str, str]], said: str, problem: str
) -> None:
    assert problem in runner.failure_of(result(tmp_path, checks, said))


@pytest.mark.parametrize(
    ("outcomes", "wrong", "complaint"),
    [
        ({"auth/basic": "no", "initialize": None}, 0, "1 of 2 scenarios passed, 1 failed, 0 not"),
        ({"auth/basic": "no", "initialize": "it broke"}, 1, "initialize failed:\nit broke"),
        ({"auth/basic": None}, 1, "auth/basic passed: remove it"),
        ({"initialize": None}, 1, "auth/basic did not run: remove it"),
    ],
)
def test_an_outcome_that_is_not_the_expected_one_is_counted_in_both_directions(
    runner: ModuleType,
    expected: Path,
    capsys: pytest.CaptureFixture[str],
    outcomes: dict[str, str | None],
    wrong: int,
    complaint: str,
) -> None:
    assert runner.compare("2025-11-25", outcomes) == wrong
    assert complaint in capsys.readouterr().out


def test_without_a_list_of_failures_every_scenario_is_to_pass(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "EXPECTED_FAILURES", tmp_path / "missing.txt")
    assert runner.compare("2025-11-25", {"initialize": None}) == 0
    assert runner.compare("2025-11-25", {"initialize": "it broke"}) == 1


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_the_client_refuses_what_it_does_not_support_and_says_so(revision: str) -> None:
    told = {
        "MCP_CONFORMANCE_SCENARIO": "a-new-scenario",
        "MCP_CONFORMANCE_PROTOCOL_VERSION": revision,
    }
    client = subprocess.run(
        [sys.executable, FOLDER / "client.py", "http://localhost:9"],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
    )
    assert client.stderr == "a-new-scenario: this scenario is not supported yet\n"
    assert client.returncode == 2
