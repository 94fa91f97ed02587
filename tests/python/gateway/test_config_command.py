"""`python -m toolbridge`: the command of the wheel, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from servers.authorization import CLIENT_SECRET, CODE, REFRESH, TOKEN, Authorization, Protected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 60.0
COMMAND = [sys.executable, "-m", "toolbridge"]
MOCK = {"model_name": "m", "litellm_params": {"model": "gpt-4o", "mock_response": "Hello"}}


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}


def written(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def serving(
    folder: Path, config: dict[str, Any]
) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A gateway as a process: it, its address, and what it said before."""
    command = [*COMMAND, "--config", str(written(folder, config)), "--port", "0"]
    with subprocess.Popen(
        command, env=environment(folder), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"listens on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(said))
        try:
            yield process, found[1], said
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_ends_it(tmp_path: Path, number: int) -> None:
    config = {"model_list": [MOCK], "nonsense": 1}
    with serving(tmp_path, config) as (process, url, said):
        assert "nonsense is no known key and was ignored" in said[0]
        with urllib.request.urlopen(f"{url}/v1/models") as answer:
            assert json.load(answer)["data"][0]["id"] == "m"
        process.send_signal(number)
        assert process.stderr is not None
        rest = process.stderr.read()
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in rest, rest


def test_the_command_tells_wrong_input_by_its_status(tmp_path: Path) -> None:
    path = written(tmp_path, {"model_list": 1})
    for arguments in (["--config", path], ["check", path], []):
        done = run(tmp_path, *arguments)
        assert done.returncode == 2, done
        assert done.stderr.startswith("toolbridge: "), done
    done = run(tmp_path, "check", written(tmp_path, {"model_list": [MOCK]}))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("1 deployment, 0 MCP servers, no master key, 0 further keys\n")


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "check", "--reference"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 0


def test_the_command_imports_nothing_heavy() -> None:
    code = (
        "import sys, toolbridge.__main__; "
        "print(sorted(m for m in sys.modules if m.startswith(('toolbridge.', 'asyncio'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['toolbridge.__main__', 'toolbridge._toolbridge']"


def authorized(server: Protected) -> None:
    """Waits for a request that carries a token."""
    while server.wait_for("initialize").headers.get("authorization") is None:
        pass


def test_client_credentials_are_used_without_anybody(tmp_path: Path) -> None:
    with Authorization() as authorization, Protected(authorization) as server:
        keys = {
            "url": server.url,
            "auth_type": "oauth2",
            "oauth2_flow": "client_credentials",
            "client_id": "me",
            "client_secret": "os.environ/SECRET",
            "token_url": f"{authorization.issuer}/token",
            "scopes": ["read"],
        }
        config = {
            "environment_variables": {"SECRET": CLIENT_SECRET},
            "mcp_servers": {"mine": keys},
        }
        with serving(tmp_path, config):
            authorized(server)
        form = authorization.forms("client_credentials")[0]
        assert (form["client_id"], form["client_secret"]) == ("me", CLIENT_SECRET)
        assert form["scope"] == "read"
        # What the file says is not looked up.
        assert set(authorization.paths()) == {"/token"}


def agree(folder: Path, path: Path) -> str:
    """Runs `authorize` with a person who agrees at once; what it said."""
    with subprocess.Popen(
        [*COMMAND, "authorize", str(path), "mine", "--no-browser"],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://\S+/authorize\?\S+", line):
                with urllib.request.urlopen(found[0]) as page:
                    assert b"Done." in page.read()
        assert process.wait(PATIENCE) == 0, said
    return said


def forget(server: Protected) -> None:
    """What came until now is not waited for."""
    server.seen.clear()
    while not server.news.empty():
        server.news.get()


def test_a_person_agrees_once_and_the_gateway_uses_the_tokens(tmp_path: Path) -> None:
    with Authorization() as authorization, Protected(authorization) as server:
        config = {"mcp_servers": {"mine": {"url": server.url, "auth_type": "oauth2"}}}
        said = agree(tmp_path, written(tmp_path, config))
        tokens = tmp_path / "state" / "toolbridge" / "tokens.json"
        assert f'toolbridge may use "mine"; its tokens are in {tokens}. ' in said
        for secret in (CODE, TOKEN, REFRESH):
            assert secret not in said
        assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
        assert stat.S_IMODE(tokens.parent.stat().st_mode) == 0o700
        before = len(authorization.paths())
        forget(server)
        with serving(tmp_path, config):
            authorized(server)
        assert set(server.tokens_seen()) == {f"Bearer {TOKEN}1"}
        assert len(authorization.paths()) == before


def test_a_gateway_that_serves_finds_the_tokens_that_a_person_agreed_to(tmp_path: Path) -> None:
    with Authorization() as authorization, Protected(authorization) as server:
        config = {"mcp_servers": {"mine": {"url": server.url, "auth_type": "oauth2"}}}
        with serving(tmp_path, config) as (process, _, _):
            assert process.stderr is not None
            line = next(line for line in process.stderr if "connecting failed" in line)
            assert "run `toolbridge authorize FILE mine` once" in line
            # Nobody was registered for a person who is not there.
            assert "/register" not in authorization.paths()
            agree(tmp_path, tmp_path / "config.yaml")
            forget(server)
            process.send_signal(signal.SIGHUP)
            authorized(server)
        # The gateway asked nobody for more.
        assert len(authorization.forms()) == 1
