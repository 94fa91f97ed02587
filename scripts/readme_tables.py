"""Writes the short forms of the tables of TOOLS.md and of PROVIDERS.md into README.md.

    python scripts/readme_tables.py

TOOLS.md itself is written out of the tests, PROVIDERS.md out of the engine, and tests fail when they or the
README say something else.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "TOOLS.md"
PROVIDERS = ROOT / "PROVIDERS.md"
TARGET = ROOT / "README.md"
# How the table of each begins, in both files.
RESULTS = "| result |"
FEATURES = "| |"
SCHEMA = "| schema of arguments |"
REQUESTS = "| provider | stream |"
ASKED = "| what is asked for |"
# The kinds of results that stand for the others.
KINDS = {
    "structured content alone": "structured content",
    "image": "image",
    "audio (WAV)": "audio",
    "resource: text": "text file",
    "resource: PDF": "PDF",
    "failure (`isError`)": "failure",
}
# The last feature of each group, in the order of TOOLS.md.
GROUPS = {
    "root `not`": "root that is no plain object",
    "`$ref` to the root": "`$ref`, `$defs`, recursion",
    "`oneOf` with a `discriminator`": "`allOf`, `anyOf`, `oneOf`",
    "`nullable` (OpenAPI)": "`const`, `enum`, several types",
    "`not`": "members of objects, conditions",
    "`format` uri, int64": "lists, limits, `pattern`, `format`",
    "types of other languages": "`default`, names, all else",
}
MARKS = {"as it is": "=", "other words": "~", "description": "d", "left out": "-"}
NAMES = {
    "openai": "OpenAI",
    "openai_strict": "strict",
    "openai_responses": "Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "bedrock": "Bedrock",
    "bedrock_nova": "Nova",
    "cohere": "Cohere",
    "ollama": "Ollama",
    "mistral": "Mistral",
}

# What a request may ask for, in the groups of the README.
REQUEST_GROUPS = (
    ("stream", "tools", "forced tools", "one call at a time"),
    ("images", "PDF", "audio"),
    ("JSON", "JSON schema", "reasoning"),
    ("stop", "penalties", "seed"),
    ("logprobs", "several answers"),
)
# As many providers of one column as are named, and who is named for those of a longer one.
MOST_NAMED = 3
BEST_KNOWN = "`openai`"
# How PROVIDERS.md marks what is refused.
REFUSED = "\N{EN DASH}"


def rows(text: str, begin: str) -> list[list[str]]:
    """The cells of the table that begins so, without the line under its head."""
    lines = text[text.index(f"\n{begin}") + 1 :].splitlines()
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return [table[0], *table[2:]]


def written(table: Iterable[list[str]]) -> list[str]:
    """A table in Markdown, as narrow as it can be."""
    head, *body = [f"| {' | '.join(cells)} |" for cells in table]
    return [head, f"|{'---|' * (head.count('|') - 1)}", *body]


def results(text: str) -> list[str]:
    """The kinds of results that stand for the others."""
    head, *body = rows(text, RESULTS)
    known = {kind: cells for kind, *cells in body}
    return written([head, *([name, *known[kind]] for kind, name in KINDS.items())])


def features(text: str) -> list[str]:
    """What becomes of the features of each group; targets of which the same is true share a column."""
    (_, *targets), *body = rows(text, FEATURES)
    columns: list[list[str]] = [[] for _ in targets]
    titles = []
    group: list[list[str]] = []
    for feature, *cells in body:
        group.append(cells)
        if feature not in GROUPS:
            continue
        titles.append(GROUPS[feature])
        for place, column in enumerate(columns):
            counts = Counter(cells[place] for cells in group)
            marks = [
                f"{counts[verdict]}{mark}" for verdict, mark in MARKS.items() if counts[verdict]
            ]
            column.append(" ".join(marks))
        group = []
    if group or len(titles) != len(GROUPS):
        message = f"TOOLS.md has features that no group of {Path(__file__).name} takes"
        raise ValueError(message)
    alike: dict[tuple[str, ...], list[str]] = {}
    for target, column in zip(targets, columns, strict=True):
        alike.setdefault(tuple(column), []).append(NAMES[target])
    head = [SCHEMA.strip("| "), *map(", ".join, alike.values())]
    return written([head, *([title, *cells] for title, *cells in zip(titles, *alike, strict=True))])


def said(verdicts: dict[str, str]) -> str:
    """What becomes of the features of a group, in the fewest words."""
    by_tool = [f"{feature} by a tool" for feature, verdict in verdicts.items() if verdict == "tool"]
    missing = [feature for feature, verdict in verdicts.items() if verdict == REFUSED]
    there = [feature for feature in verdicts if feature not in missing]
    if not there:
        return REFUSED
    words = "all"
    if missing:
        is_short = len(missing) <= len(there)
        words = f"all but {', '.join(missing)}" if is_short else ", ".join(there)
    return f"{words} ({', '.join(by_tool)})" if by_tool else words


def requests(text: str) -> list[str]:
    """What may be asked of the providers; those of which the same is true share a column."""
    (_, *features), *body = rows(text, REQUESTS)
    if sorted(features) != sorted(feature for group in REQUEST_GROUPS for feature in group):
        message = f"PROVIDERS.md has features that no group of {Path(__file__).name} takes"
        raise ValueError(message)
    head = [ASKED.strip("| ")]
    columns = []
    for names, *cells in body:
        providers = names.split(", ")
        if len(providers) > MOST_NAMED:
            others = len(providers) - 1
            head.append(f"{BEST_KNOWN} and {others} more")
        else:
            head.append(names)
        columns.append(dict(zip(features, cells, strict=True)))
    lines = []
    for group in REQUEST_GROUPS:
        cells = [said({feature: column[feature] for feature in group}) for column in columns]
        lines.append([", ".join(group), *cells])
    return written([head, *lines])


def replaced(text: str, begin: str, table: list[str]) -> str:
    """The text with another table in the place of the one that begins so."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(begin))
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join([*lines[:start], *table, *lines[end:]]) + "\n"


def rewritten(readme: str, tools: str, providers: str) -> str:
    """The README with the tables of today."""
    readme = replaced(readme, RESULTS, results(tools))
    readme = replaced(readme, SCHEMA, features(tools))
    return replaced(readme, ASKED, requests(providers))


if __name__ == "__main__":
    TARGET.write_text(rewritten(TARGET.read_text(), TOOLS.read_text(), PROVIDERS.read_text()))
