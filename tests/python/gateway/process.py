"""The gateway's own program, started with a configuration and ended by its id.

`TOOLBRIDGE_BINARY` says where it is; otherwise it is the debug build of the crate.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 30.0


def binary() -> Path:
    """The program, which has to be built."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = Path(os.environ.get("TOOLBRIDGE_BINARY", target / "debug" / "toolbridge"))
    if not found.exists():
        pytest.fail(f"{found} is not there: cargo build --no-default-features --bin toolbridge")
    return found


@dataclass(frozen=True)
class Started:
    """A gateway that runs."""

    origin: str
    pid: int


@contextmanager
def running(config: str, folder: Path, *arguments: str) -> Iterator[str]:
    """Runs a gateway on a free port; gives its origin."""
    with started(config, folder, *arguments) as gateway:
        yield gateway.origin


@contextmanager
def started(config: str, folder: Path, *arguments: str) -> Iterator[Started]:
    """As `running`; gives the process as well."""
    path = folder / "config.yaml"
    path.write_text(config, encoding="utf-8")
    command = [str(binary()), "--config", str(path), "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if match := re.search(r"listens on (http://\S+)", line):
                break
        else:
            pytest.fail("the gateway did not start: " + "".join(said))
        # A full pipe would stop it.
        reader = threading.Thread(target=process.stderr.read, daemon=True)
        reader.start()
        try:
            yield Started(match[1], process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            reader.join(PATIENCE)


def held(pid: int) -> tuple[int, int]:
    """The memory and the descriptors of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


def settled(pid: int, descriptors: int) -> bool:
    """Whether a process comes to hold so few descriptors, which takes closed connections a moment."""
    end = time.monotonic() + PATIENCE
    while held(pid)[1] > descriptors:
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.05)
    return True
