"""The arrow check: which module of the crate names which, and whether it may.

Source text is split into tokens, so a name in a comment or a string is not a reference. Every
`crate::…`, `super::…`, `self::…` and `toolbridge::…` path, in `use` trees and in code, is resolved
to the top-level module that it leads to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# From the top down. A module may name what stands on a lower line, never one of its own line.
LAYERS = (
    ("main", "python"),
    ("cli",),
    ("gateway",),
    ("agent",),
    ("llm", "mcp"),
    ("tools",),
    ("schema",),
    ("document", "json"),
    ("error",),
)
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
# The runtime stands beside the layers: these alone may start it, and it knows errors alone.
RUNTIME_USERS = frozenset({"main", "python"})
# Modules that compute and do no I/O, and the crates and modules that would let them.
PURE = ("tools", "schema", "llm::conversion")
IO_CRATES = frozenset({"hyper", "reqwest", "rmcp", "tokio", "tokio_util"})
IO_STD = frozenset({"env", "fs", "net", "os", "process", "thread"})
# What jiter has behind its `python` feature.
JITER_PYTHON = frozenset({"PythonParse", "python_parse", "map_json_error", "cached_py_string"})

TOKEN = re.compile(
    r"""
      (?P<skip>\s+|//[^\n]*)
    | (?P<comment>/\*)
    | (?P<raw>(?:b|c)?r(?P<hashes>\#*)"(?:.|\n)*?"(?P=hashes))
    | (?P<string>(?:b|c)?"(?:\\(?:.|\n)|[^"\\])*")
    | (?P<char>b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\])')
    | (?P<lifetime>'[A-Za-z_]\w*)
    | (?P<name>(?:r\#)?[A-Za-z_]\w*)
    | (?P<path>::)
    | (?P<other>.)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Path:
    """A path as it stands in the source, with the module that it stands in."""

    segments: tuple[str, ...]
    module: tuple[str, ...]
    line: int


def tokens(source: str) -> list[Token]:
    """Splits Rust source into names, strings and punctuation; comments are left out."""
    found = []
    position, line = 0, 1
    while position < len(source):
        match = TOKEN.match(source, position)
        assert match is not None, f"no token at offset {position}"
        end = match.end()
        if match.lastgroup == "comment":
            end = end_of_block_comment(source, position)
        elif match.lastgroup != "skip":
            # The group inside `raw` is the last one to match there.
            kind = "string" if match["raw"] or match["string"] else str(match.lastgroup)
            found.append(Token(kind, match.group().removeprefix("r#"), line))
        line += source.count("\n", position, end)
        position = end
    return found


def end_of_block_comment(source: str, start: int) -> int:
    depth, position = 0, start
    while True:
        if source.startswith("/*", position):
            depth, position = depth + 1, position + 2
        elif source.startswith("*/", position):
            depth, position = depth - 1, position + 2
            if depth == 0:
                return position
        else:
            position += 1
            if position > len(source):
                return position


def module_of(file: str) -> tuple[str, ...]:
    """The module path of a file under `src/`: `mcp/transport/stdio.rs` is `mcp::transport::stdio`."""
    parts = file.removesuffix(".rs").split("/")
    return () if parts == ["lib"] else tuple(parts)


def paths(stream: list[Token], module: tuple[str, ...]) -> list[Path]:
    """Every path of two or more segments, `use` trees expanded, inline modules followed."""
    found: list[Path] = []
    inline: list[str | None] = []
    index = 0
    while index < len(stream):
        token = stream[index]
        here = module + tuple(name for name in inline if name is not None)
        if token.text == "mod" and opens_module(stream, index):
            inline.append(stream[index + 1].text)
            index += 3
        elif token.text == "use" and token.kind == "name" and stream[index + 1].text != "<":
            index = use_tree(stream, index + 1, (), here, found)
        elif token.kind == "name" and not follows_path(stream, index):
            segments, index = plain_path(stream, index)
            if len(segments) > 1:
                found.append(Path(segments, here, token.line))
        else:
            if token.text == "{":
                inline.append(None)
            elif token.text == "}" and inline:
                inline.pop()
            index += 1
    return found


def opens_module(stream: list[Token], index: int) -> bool:
    return index + 2 < len(stream) and stream[index + 2].text == "{"


def follows_path(stream: list[Token], index: int) -> bool:
    return index > 0 and stream[index - 1].kind == "path"


def plain_path(stream: list[Token], index: int) -> tuple[tuple[str, ...], int]:
    segments = [stream[index].text]
    index += 1
    while (
        index + 1 < len(stream)
        and stream[index].kind == "path"
        and stream[index + 1].kind == "name"
    ):
        segments.append(stream[index + 1].text)
        index += 2
    return tuple(segments), index


def use_tree(
    stream: list[Token],
    index: int,
    prefix: tuple[str, ...],
    module: tuple[str, ...],
    found: list[Path],
) -> int:
    """Expands one `use` tree; returns the index behind it."""
    segments = prefix
    line = stream[index].line
    while index < len(stream):
        token = stream[index]
        if token.text == "{":
            index += 1
            while stream[index].text != "}":
                index = use_tree(stream, index, segments, module, found)
                if stream[index].text == ",":
                    index += 1
            return index + 1
        if token.text in {",", "}", ";"}:
            break
        if token.text == "as":
            index += 2
            continue
        if token.kind == "name" or token.text == "*":
            # `{self}` names the module itself; a leading `self` names the current one.
            segments = segments if token.text == "self" and segments else (*segments, token.text)
        index += 1
    found.append(Path(segments, module, line))
    return index


def resolve(path: Path) -> tuple[str, ...] | None:
    """The path from the root of the crate, or nothing when it leads to another crate."""
    base: tuple[str, ...] = ()
    segments = path.segments
    if segments[0] == "toolbridge" and path.module[:1] == ("main",):
        return segments[1:]
    if segments[0] == "crate":
        return segments[1:]
    if segments[0] not in {"self", "super"}:
        return None
    base = path.module
    for position, segment in enumerate(segments):
        if segment == "super":
            base = base[:-1]
        elif segment != "self":
            return base + segments[position:]
    return base


def wrong_arrows(files: dict[str, str]) -> list[str]:
    """What is wrong in the crate, as `file:line: sentence` lines.

    Args:
        files: Source text by path under `src/`, with `/` between the parts.
    """
    problems: list[str] = []
    for file, source in sorted(files.items()):
        module = module_of(file)
        stream = tokens(source)
        problems += python_outside_its_module(file, module, stream)
        problems += unfollowable(file, stream)
        for path in paths(stream, module):
            sentence = wrong_path(path)
            if sentence:
                problems.append(f"{file}:{path.line}: {sentence}")
    return list(dict.fromkeys(problems))


def wrong_path(path: Path) -> str | None:
    own = path.module[0] if path.module else "lib"
    target = resolve(path)
    if target is None:
        return wrong_io(path)
    if not target or target[0] == "*":
        return "the root of the crate is named as a whole: name the module"
    name = target[0]
    if own in {"lib", name}:
        return None
    if name == "runtime":
        return (
            None if own in RUNTIME_USERS else f"`{own}` uses `runtime`: python and main alone may"
        )
    if own == "runtime":
        return None if name == "error" else f"`runtime` names `{name}`: it may name `error` alone"
    if name not in RANK:
        return f"`{name}` is not a module of the map in DESIGN section 2"
    if own not in RANK:
        return f"the file belongs to `{own}`, which is not in the map of DESIGN section 2"
    if RANK[name] == RANK[own]:
        return f"`{own}` names `{name}`, which stands beside it"
    if RANK[name] < RANK[own]:
        return f"`{own}` names `{name}`, which stands above it"
    return None


def wrong_io(path: Path) -> str | None:
    module = "::".join(path.module)
    pure = next((name for name in PURE if f"{module}::".startswith(f"{name}::")), None)
    if pure is None or "tests" in path.module:
        return None
    first, second = path.segments[0], (*path.segments, "")[1]
    if first in IO_CRATES or (first == "std" and second in IO_STD):
        return f"`{pure}` does no I/O, and names `{'::'.join(path.segments[:2])}`"
    return None


def python_outside_its_module(file: str, module: tuple[str, ...], stream: list[Token]) -> list[str]:
    """`pyo3`, jiter's Python half and the `python` feature belong to `src/python*` alone."""
    if module[:1] == ("python",):
        return []
    problems = []
    for index, token in enumerate(stream):
        if token.kind == "name" and (token.text == "pyo3" or token.text.startswith("pyo3_")):
            problems.append(f"{file}:{token.line}: `{token.text}` is named outside src/python")
        if token.kind == "name" and token.text in JITER_PYTHON:
            problems.append(
                f"{file}:{token.line}: jiter's `{token.text}` is named outside src/python"
            )
        if token.kind == "string" and token.text == '"python"' and is_feature(stream, index):
            declares = [next_token.text for next_token in stream[index + 1 : index + 6]]
            if module or declares != [")", "]", "mod", "python", ";"]:
                problems.append(
                    f"{file}:{token.line}: the feature `python` gates more than `mod python`"
                )
    return problems


def is_feature(stream: list[Token], index: int) -> bool:
    return [token.text for token in stream[max(0, index - 2) : index]] == ["feature", "="]


def unfollowable(file: str, stream: list[Token]) -> list[str]:
    """Constructs that lead around the check."""
    problems = []
    for index, token in enumerate(stream):
        texts = [following.text for following in stream[index : index + 3]]
        if texts[:2] == ["include", "!"]:
            problems.append(f"{file}:{token.line}: `include!` hides source from the arrow check")
        if texts == ["#", "[", "path"]:
            problems.append(f"{file}:{token.line}: `#[path]` hides a module from the arrow check")
        if texts == ["extern", "crate", "self"]:
            problems.append(f"{file}:{token.line}: the crate must not be renamed")
    return problems
