"""`make bench`: toolbridge beside its peers, in one run, on one machine.

Every contender is a process of its own that keeps its session or its connections open. A round asks
each of them in turn for the same work, in an order that rotates, so that a slow moment of the machine
falls on all of them. Medians over all rounds are compared; only ratios mean something elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import environments
import gateways
import report
from rows import CHUNKS, GROUPS, IMPORTS, TOOLS, Group, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "latest.json"
ROUNDS = 7
QUICK_ROUNDS = 3
# VmHWM, as ru_maxrss of a child starts at the size of the process that started it.
IMPORT_CODE = """
import sys, time
start = time.perf_counter()
import {package}
seconds = time.perf_counter() - start
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
sys.stdout.write("[%r, %r]" % (seconds, int(peak.split()[1]) / 1024))
"""


def ambient() -> dict[str, str]:
    """The environment of every contender: no proxy, and no price list fetched at import."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {**kept, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


class Contender:
    """A process that takes orders; see `benches/peers/measure.py`."""

    def __init__(self, name: str, command: list[str]) -> None:
        """Starts it.

        Args:
            name: What the table calls it.
            command: The program and its arguments.
        """
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ambient()
        )

    def __enter__(self) -> Self:
        """Waits until it is ready."""
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self._process.communicate(timeout=30)

    def measure(self, row: str, count: int) -> list[float]:
        """Orders a row; returns its samples in seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"row": row, "count": count}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> list[float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended early, with status {self._process.wait()}")
        samples: list[float] = json.loads(line)
        return samples


def main() -> None:
    """Measures, prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="the release wheel of toolbridge")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and samples")
    parser.add_argument(
        "--only", nargs="+", metavar="ROW", help="rows to measure, such as call_one"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    options = parser.parse_args()

    groups = chosen(GROUPS, options.only)
    pythons = environments.prepare(options.wheel, needed(groups, options.only))
    programs = environments.build_programs()
    rounds = QUICK_ROUNDS if options.quick else ROUNDS

    lines: list[report.Line] = []
    samples: dict[str, dict[str, list[float]]] = {}
    if not options.only or "import" in options.only:
        seconds, megabytes = measure_imports(pythons, rounds)
        lines += report.import_lines(seconds, megabytes)
        samples |= {"import": seconds, "import, MB": megabytes}
    with (
        server(programs / "model_server", "--chunks", str(CHUNKS)) as url,
        server(programs / "http_server") as http,
        server(programs / "http_server", "--tools", str(TOOLS)) as tools,
        contextlib.ExitStack() as kept,
    ):
        gateway_places: dict[str, str] = {}
        places = {"{stdio}": str(programs / "stdio_server"), "{url}": url, "{http}": http}
        for group in groups:
            if is_of_gateways(group) and not gateway_places:
                folder = Path(kept.enter_context(tempfile.TemporaryDirectory()))
                started = kept.enter_context(
                    gateways.running(
                        f"{url}/v1",
                        tools,
                        programs.parent / "toolbridge",
                        pythons,
                        folder,
                        ambient(),
                    )
                )
                gateway_places = gateways.places(started, f"{url}/v1/chat/completions", tools)
                places |= gateway_places
                seconds = {name: [one.seconds] for name, one in started.items() if one.seconds}
                megabytes = {name: [one.megabytes] for name, one in started.items()}
                kilobytes = gateways.idle_kilobytes(started)
                lines += report.gateway_lines(seconds, megabytes, kilobytes)
                samples |= {
                    "gateway, start": seconds,
                    "gateway, MB": megabytes,
                    "gateway, kB of a session": kilobytes,
                }
            measured = measure_group(group, pythons, programs, places, rounds, quick=options.quick)
            for row in group.rows:
                samples[row.key] = measured[row.key]
                lines += report.row_lines(row, measured[row.key])
                if row.key in report.ADDED:
                    lines += report.added_lines(row.key, measured[row.key], gateways.DIRECT)

    print(f"\n{report.table(lines)}\n")
    missed = [line for line in lines if line.reached is False]
    print(f"{len(missed)} of {sum(line.target is not None for line in lines)} targets missed")
    result = {
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": {name: environments.versions(python) for name, python in pythons.items()},
        "rounds": rounds,
        "lines": report.as_json(lines),
        "samples": samples,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


def chosen(groups: tuple[Group, ...], keys: list[str] | None) -> list[Group]:
    """The groups with the rows that are asked for; all of them when none is."""
    if not keys:
        return list(groups)
    kept = [
        Group(tuple(row for row in group.rows if row.key in keys), group.contenders)
        for group in groups
    ]
    return [group for group in kept if group.rows]


def needed(groups: list[Group], keys: list[str] | None) -> set[str]:
    """The environments that these groups are measured in."""
    names = {program for group in groups for program, *_ in group.contenders.values()}
    if not keys or "import" in keys:
        names |= {environment for environment, _ in IMPORTS.values()}
    if any(is_of_gateways(group) for group in groups):
        names |= environments.GATEWAYS
    return names


def is_of_gateways(group: Group) -> bool:
    """Whether its contenders are gateways."""
    return any(
        word.startswith(("{gateway:", "{mcp:"))
        for words in group.contenders.values()
        for word in words
    )


def measure_imports(
    pythons: dict[str, Path], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of the `import` statement and peak megabytes, in fresh interpreters."""
    print("import", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in IMPORTS}
    megabytes: dict[str, list[float]] = {name: [] for name in IMPORTS}
    # The first round fills the page cache and is not counted.
    for number in range(rounds + 1):
        for name, (environment, package) in IMPORTS.items():
            answer = subprocess.run(
                [pythons[environment], "-c", IMPORT_CODE.format(package=package)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env=ambient(),
            )
            if number > 0:
                took, peak = json.loads(answer.stdout)
                seconds[name].append(took)
                megabytes[name].append(peak)
    return seconds, megabytes


def measure_group(
    group: Group,
    pythons: dict[str, Path],
    programs: Path,
    places: dict[str, str],
    rounds: int,
    *,
    quick: bool,
) -> dict[str, dict[str, list[float]]]:
    """Samples by row and contender."""
    with contextlib.ExitStack() as stack:
        contenders = []
        for name, (program, *arguments) in group.contenders.items():
            given = [places.get(argument, argument) for argument in arguments]
            if any(argument.startswith("{") for argument in given):
                print(f"{name} is not installed and takes no part", flush=True)
                continue
            if program in pythons:
                command = [str(pythons[program]), str(HERE / "peers" / given[0]), *given[1:]]
            else:
                command = [str(programs / program), *given]
            contenders.append(stack.enter_context(Contender(name, command)))
        return {row.key: measure_row(row, contenders, rounds, quick=quick) for row in group.rows}


def measure_row(
    row: Row, contenders: list[Contender], rounds: int, *, quick: bool
) -> dict[str, list[float]]:
    """Samples by contender; who begins rotates from round to round."""
    print(row.title, flush=True)
    samples: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    taking_part = [contender for contender in contenders if takes_part(contender, row)]
    for contender in taking_part:
        contender.measure(row.key, row.quick)
    for number in range(rounds):
        begin = number % len(taking_part)
        for contender in (*taking_part[begin:], *taking_part[:begin]):
            count = row.quick if quick else row.count
            samples[contender.name] += contender.measure(row.key, count)
    return {name: values for name, values in samples.items() if values}


def takes_part(contender: Contender, row: Row) -> bool:
    """The client in Rust is the floor of the calls alone; nothing but a gateway has many servers."""
    return (contender.name, row.key) not in {
        ("rmcp alone (Rust)", "big"),
        (gateways.DIRECT, "gateway_list"),
    }


@contextlib.contextmanager
def server(program: Path, *arguments: str) -> Iterator[str]:
    """Runs a server that ends with its input; yields the URL that it says."""
    with subprocess.Popen(
        [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main()
