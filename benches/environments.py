"""The virtual environments of the contenders, and the Rust programs that they are measured against."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".bench"

# The two SDKs cannot be installed together. litellm's tool bridge needs the first one.
REQUIREMENTS = {
    "mcp1": ["mcp==1.30.*"],
    "mcp2": ["mcp==2.3.*"],
    # boto3 signs for Bedrock.
    "litellm": ["litellm<1.100", "openai", "anthropic", "aiohttp", "boto3"],
    "litellm-mcp": ["litellm<1.100", "mcp==1.30.*"],
    "litellm-proxy": ["litellm[proxy]<1.100"],
    "fastmcp": ["fastmcp==4.1.*"],
}
# What the rows of gateways start, whoever takes part in them.
GATEWAYS = {"litellm-proxy", "fastmcp"}
REPORTED = ("toolbridge", "mcp", "litellm", "openai", "anthropic", "aiohttp", "fastmcp")


def prepare(wheel: Path, needed: set[str]) -> dict[str, Path]:
    """Makes what is missing; returns the interpreter of each environment by name.

    Args:
        wheel: The release wheel of toolbridge; its environment holds nothing else.
        needed: The environments that are used, beside the one of toolbridge.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pythons = {"toolbridge": environment("toolbridge", [str(wheel)], digest)}
    for name, requirements in REQUIREMENTS.items():
        if name not in needed:
            continue
        pythons[name] = environment(name, requirements, "\n".join(requirements))
    return pythons


def environment(name: str, requirements: list[str], identity: str) -> Path:
    """One environment with its packages byte-compiled, as installed programs are."""
    folder = FOLDER / name
    python = folder / "bin" / "python"
    stamp = folder / "identity.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == identity:
        return python
    print(f"making the environment {name}: {', '.join(requirements)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", folder / "lib"], check=False)
    stamp.write_text(identity, encoding="utf-8")
    return python


def versions(python: Path) -> dict[str, str]:
    """The versions of the packages that the report names."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "names = {d.metadata['Name'] for d in m.distributions()} & set(sys.argv[1:])\n"
        "print(json.dumps({n: m.version(n) for n in sorted(names)}))"
    )
    answer = subprocess.run(
        [python, "-c", code, *REPORTED], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def build_programs() -> Path:
    """Builds the gateway, the bench's servers and its clients; returns the folder that holds them.

    The gateway itself stands in the folder above.
    """
    print("building the gateway and the servers (release)", flush=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(
        [
            "cargo",
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--no-default-features",
            "--examples",
            "--bin",
            "toolbridge",
        ],
        cwd=ROOT,
        check=True,
        stdout=sys.stderr,
    )
    return target / "release" / "examples"
