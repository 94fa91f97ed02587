"""The example that `make gateway` starts: two real servers, a scripted model, and its client."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE = 60.0
# The servers stand beside the interpreter of the development environment.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def test_the_example_gateway_serves_its_client(repository: Path) -> None:
    for server in ("mcp-server-time", "mcp-server-git"):
        if shutil.which(server, path=PATH) is None:
            pytest.skip(f"{server} belongs to the development environment: make .venv/.ready")
    environment = {**os.environ, "PATH": PATH}
    example = repository / "examples" / "gateway"
    command = [sys.executable, "-m", "toolbridge", "serve", "--strict", "--port", "0"]
    with subprocess.Popen(
        [*command, "--config", str(example / "config.yaml")],
        cwd=repository,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            lines = (re.search(r"listens on (http://\S+)", line) for line in process.stderr)
            url = next(found[1] for found in lines if found)
            done = subprocess.run(
                [sys.executable, str(example / "client.py"), url],
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        finally:
            process.terminate()
        assert done.returncode == 0, done.stderr
        assert process.wait(PATIENCE) == 0
    assert done.stdout.startswith(
        "Tools: time-get_current_time, time-convert_time, git-git_status, git-git_log, git-git_show\n"
    )
    assert "In Paris: " in done.stdout
    assert "Europe/Paris" in done.stdout
    assert "The model: I am a script." in done.stdout
