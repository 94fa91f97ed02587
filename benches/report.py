"""Medians, ratios and the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

from rows import (
    ADDED_CALL_SECONDS,
    ADDED_SECONDS,
    IMPORT_MEGABYTES,
    IMPORT_SECONDS,
    OURS,
    REST_MEGABYTES,
    START_SECONDS,
    Row,
)

# Below it a fraction is worth showing.
MANY_KILOBYTES = 10
# How many of a unit a sample of one is; of memory, samples are kilobytes already.
SCALES = {"ns": 1e9, "us": 1e6, "ms": 1e3, "kB": 1.0}


@dataclass(frozen=True)
class Line:
    """One line of the table: toolbridge beside one other, in one row.

    Attributes:
        work: The row's title.
        against: The other contender; empty where nobody else does that.
        ours: Our median, for people.
        theirs: Their median, for people.
        ratio: How many times as fast as the other toolbridge is, or nothing without another.
        target: The ratio to reach, or nothing.
        reached: Whether it is, or nothing without a target.
    """

    work: str
    against: str
    ours: str
    theirs: str
    ratio: float | None
    target: float | None
    reached: bool | None


def shown(seconds: float, unit: str, operations: int = 1) -> str:
    """A duration, or a size, in the unit of its row."""
    if unit == "ns":
        return f"{seconds * 1e9:,.0f} ns"
    if unit == "us":
        return f"{seconds * 1e6:,.0f} us"
    if unit == "ms":
        return f"{seconds * 1e3:,.2f} ms"
    if unit == "kB":
        return f"{seconds:,.0f} kB" if seconds >= MANY_KILOBYTES else f"{seconds:.2f} kB"
    return f"{operations / seconds:,.0f}/s"


def row_lines(row: Row, samples: dict[str, list[float]]) -> list[Line]:
    """The lines of one row.

    Args:
        row: The row.
        samples: Seconds, or kilobytes, by contender.
    """
    medians = {name: median(values) for name, values in samples.items()}
    if OURS not in medians:
        return []
    if row.limit is not None:
        return limit_lines(row.title, samples, row.limit, SCALES[row.unit], row.unit)
    ours = shown(medians[OURS], row.unit, row.operations)
    if len(medians) == 1:
        return [Line(row.title, "", ours, "", ratio=None, target=None, reached=None)]
    lines = []
    for name, theirs in medians.items():
        if name == OURS:
            continue
        # Memory may not have grown at all, or been given back.
        ratio = theirs / medians[OURS] if medians[OURS] > 0 else None
        target = row.targets.get(name)
        lines.append(
            Line(
                work=row.title,
                against=name,
                ours=ours,
                theirs=shown(theirs, row.unit, row.operations),
                ratio=ratio,
                target=target,
                reached=None if target is None else ratio is None or ratio >= target,
            )
        )
    return lines


def import_lines(seconds: dict[str, list[float]], megabytes: dict[str, list[float]]) -> list[Line]:
    """The lines of the import rows."""
    return [
        *limit_lines("`import`, the statement", seconds, IMPORT_SECONDS, 1e3, "ms"),
        *limit_lines("`import`, peak memory of the process", megabytes, IMPORT_MEGABYTES, 1, "MB"),
    ]


def gateway_lines(
    seconds: dict[str, list[float]],
    megabytes: dict[str, list[float]],
    kilobytes: dict[str, list[float]],
) -> list[Line]:
    """The lines of gateways that have nothing to do."""
    idle = Row("gateway_idle", "gateway, memory of an idle MCP session", "kB", 1, 1)
    return [
        *row_lines(idle, kilobytes),
        *limit_lines(
            "gateway, from its start to its first answer", seconds, START_SECONDS, 1e3, "ms"
        ),
        *limit_lines("gateway, memory at rest", megabytes, REST_MEGABYTES, 1, "MB"),
    ]


# What a gateway may add, by the row that it is measured in.
ADDED = {
    "gateway_one": ("gateway, added to one chat completion", ADDED_SECONDS),
    "gateway_call_one": ("gateway, added to one `tools/call`", ADDED_CALL_SECONDS),
}


def added_lines(key: str, samples: dict[str, list[float]], floor: str) -> list[Line]:
    """What each gateway adds to the median of one request.

    Args:
        key: The row, one of `ADDED`.
        samples: Seconds by contender.
        floor: The contender without a gateway.
    """
    medians = {name: median(values) for name, values in samples.items()}
    direct = medians.pop(floor, None)
    if direct is None:
        return []
    added = {name: [max(value - direct, 1e-9)] for name, value in medians.items()}
    title, limit = ADDED[key]
    return limit_lines(title, added, limit, 1e6, "us")


def limit_lines(
    work: str, samples: dict[str, list[float]], limit: float, scale: float, unit: str
) -> list[Line]:
    """The lines of a row whose target is a limit and not a ratio."""
    medians = {name: median(values) for name, values in samples.items()}
    if OURS not in medians:
        return []
    # What was measured may be nothing at all.
    floor = medians[OURS] if medians[OURS] > 0 else None
    ours = f"{medians[OURS] * scale:.1f} {unit}"
    others = [
        Line(
            work=work,
            against=name,
            ours=ours,
            theirs=f"{theirs * scale:.1f} {unit}",
            ratio=theirs / floor if floor else None,
            target=None,
            reached=None,
        )
        for name, theirs in medians.items()
        if name != OURS
    ]
    return [
        Line(
            work=work,
            against=f"limit {limit * scale:g} {unit}",
            ours=ours,
            theirs="",
            ratio=limit / floor if floor else None,
            target=1.0,
            reached=medians[OURS] <= limit,
        ),
        *others,
    ]


def table(lines: list[Line]) -> str:
    """The lines as a Markdown table."""
    head = ("work", "against", "toolbridge", "the other", "ratio", "to reach", "reached")
    body = [
        (
            line.work,
            line.against,
            line.ours,
            line.theirs,
            "" if line.ratio is None else f"{line.ratio:.2f}x",
            "" if line.target is None else f"{line.target:g}x",
            "" if line.reached is None else ("yes" if line.reached else "NO"),
        )
        for line in lines
    ]
    widths = [max(len(cells[column]) for cells in (head, *body)) for column in range(len(head))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        + " |"
        for cells in (head, rule, *body)
    )


def as_json(lines: list[Line]) -> list[dict[str, object]]:
    """The lines for the results file."""
    return [asdict(line) for line in lines]
