"""The wheel, as a user gets it: no dependency, one native module, an environment with nothing else."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

RELEASE_LIMIT_BYTES = 15 * 1024 * 1024
INSTALL_SECONDS = 300

pytestmark = pytest.mark.timeout(2 * INSTALL_SECONDS)


@pytest.fixture(scope="module")
def wheel(repository: Path) -> Path:
    """`TOOLBRIDGE_WHEEL`, or the one that `make wheel` builds."""
    given = os.environ.get("TOOLBRIDGE_WHEEL")
    if given:
        return Path(given).resolve()
    subprocess.run(["make", "--silent", "wheel"], cwd=repository, check=True)
    [built] = (repository / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A `PATH` with the MCP server of the examples on it and no compiler, nor anything else."""
    folder = tmp_path_factory.mktemp("path")
    server = shutil.which("mcp-server-time", path=Path(sys.executable).parent)
    assert server is not None, "mcp-server-time belongs to the development environment"
    (folder / "mcp-server-time").symlink_to(server)
    return str(folder)


@pytest.fixture(scope="module")
def installed(
    wheel: Path, bare_path: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """The interpreter of an environment that holds the wheel alone, and its variables."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    environment = {"PATH": f"{python.parent}{os.pathsep}{bare_path}", "HOME": str(folder)}
    run([python, "-m", "pip", "install", "--no-index", wheel], environment)
    return python, environment


def run(command: list[str | Path], environment: dict[str, str], **options: object) -> str:
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_needs_no_other_package(wheel: Path) -> None:
    required = metadata(wheel).get_all("Requires-Dist", [])
    assert [line for line in required if "extra ==" not in line] == []


def test_the_wheel_offers_the_extras_of_the_documentation(wheel: Path) -> None:
    assert set(metadata(wheel).get_all("Provides-Extra", [])) == {"mcp", "openai", "dev"}


def test_the_wheel_holds_one_native_module_for_the_stable_abi(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if ".so" in name] == ["toolbridge/_toolbridge.abi3.so"]
    assert "-cp311-abi3-" in wheel.name


def test_the_wheel_is_typed_and_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"toolbridge/py.typed", "toolbridge/_toolbridge.pyi"} <= set(names)
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"toolbridge"}
    assert [name for name in names if "__pycache__" in name] == []


def test_the_release_wheel_is_small(wheel: Path) -> None:
    if os.environ.get("TOOLBRIDGE_WHEEL_PROFILE", "release") != "release":
        pytest.skip("a debug build carries its symbols")
    assert wheel.stat().st_size <= RELEASE_LIMIT_BYTES


def test_no_compiler_is_on_the_path_of_the_installation(
    installed: tuple[Path, dict[str, str]],
) -> None:
    _, environment = installed
    tools = ("cc", "gcc", "clang", "cargo", "rustc", "maturin")
    assert [tool for tool in tools if shutil.which(tool, path=environment["PATH"])] == []


def test_the_installed_package_comes_alone_and_imports(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    python, environment = installed
    listed = run([python, "-m", "pip", "list", "--format=freeze"], environment).split()
    names = {line.split("==")[0] for line in listed}
    assert names - {"pip", "setuptools"} == {"toolbridge"}
    code = "import toolbridge; print(toolbridge.__version__, toolbridge.__file__)"
    version, file = run([python, "-c", code], environment, cwd=tmp_path).split()
    assert f"toolbridge=={version}" in listed
    assert Path(file).is_relative_to(python.parents[1])


def test_the_installed_package_brings_the_command(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    python, environment = installed
    command = python.parent / "toolbridge"
    assert run([command, "--version"], environment).startswith("toolbridge ")
    config = tmp_path / "config.yaml"
    config.write_text("mcp_servers: {time: {command: mcp-server-time}}\n")
    assert "1 MCP server, " in run([command, "check", config], environment)


def test_the_installed_package_runs_the_quickstart(
    installed: tuple[Path, dict[str, str]], repository: Path, tmp_path: Path
) -> None:
    python, environment = installed
    examples = tmp_path / "examples"
    shutil.copytree(repository / "examples", examples)
    printed = run([python, "quickstart.py"], environment, cwd=examples)
    assert "STAND-IN" in printed
    assert '"name": "get_current_time"' in printed
    assert "Final answer: " in printed
