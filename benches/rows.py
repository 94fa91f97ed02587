"""What is measured: the rows, who takes part in each, and the ratios that toolbridge has to reach."""

from __future__ import annotations

from dataclasses import dataclass, field

OURS = "toolbridge"
CHUNKS = 2_000
AT_ONCE = 5_000


@dataclass(frozen=True)
class Row:
    """One kind of work.

    Attributes:
        key: What contenders call it.
        title: What the table calls it.
        unit: How a median is shown: `us`, `ms` or `per second`.
        count: What one order asks for.
        quick: The same with `--quick`.
        targets: How many times as fast as each contender toolbridge has to be.
        operations: Operations in one sample.
    """

    key: str
    title: str
    unit: str
    count: int
    quick: int
    targets: dict[str, float] = field(default_factory=dict)
    operations: int = 1


@dataclass(frozen=True)
class Group:
    """Rows that the same contenders take part in.

    Attributes:
        rows: The rows.
        contenders: The command of each, by the name in the table. The first word is an environment,
            or a Rust program; `{stdio}` and `{url}` stand for the server's command and address.
    """

    rows: tuple[Row, ...]
    contenders: dict[str, tuple[str, ...]]


GROUPS = (
    Group(
        rows=(
            Row(
                key="call_one",
                title="stdio `call_tool`, one at a time",
                unit="us",
                count=400,
                quick=100,
                # At most 1.25 times what rmcp alone takes.
                targets={"mcp 1.x": 1.6, "rmcp alone (Rust)": 1 / 1.25},
            ),
            Row(
                key="call_many",
                title=f"stdio `call_tool`, {AT_ONCE:,} at once",
                unit="per second",
                count=AT_ONCE,
                quick=AT_ONCE,
                targets={"mcp 1.x": 7.0},
                operations=AT_ONCE,
            ),
            Row(
                key="big",
                title="1 MB tool result",
                unit="ms",
                count=20,
                quick=8,
                targets={"mcp 1.x": 3.0},
            ),
        ),
        contenders={
            OURS: ("toolbridge", "stdio_session.py", "toolbridge.mcp", "{stdio}"),
            "mcp 1.x": ("mcp1", "stdio_session.py", "mcp", "{stdio}"),
            "mcp 2.x": ("mcp2", "stdio_session.py", "mcp", "{stdio}"),
            "rmcp alone (Rust)": ("rmcp_stdio", "{stdio}"),
        },
    ),
    Group(
        rows=(
            Row(
                key="complete_one",
                title="`acompletion`, one at a time",
                unit="us",
                count=200,
                quick=50,
                targets={"litellm": 14.0, "aiohttp": 1.0},
            ),
            Row(
                key="complete_many",
                title="`acompletion`, 64 at once",
                unit="per second",
                count=640,
                quick=320,
                targets={"litellm": 14.0, "aiohttp": 1.0},
            ),
            Row(
                key="stream",
                title="streaming, chunks",
                unit="per second",
                count=2,
                quick=1,
                targets={"litellm": 40.0, "aiohttp": 0.75},
            ),
        ),
        contenders={
            OURS: ("toolbridge", "completion.py", "toolbridge", "{url}", str(CHUNKS)),
            "litellm": ("litellm", "completion.py", "litellm", "{url}", str(CHUNKS)),
            "openai": ("litellm", "completion.py", "openai", "{url}", str(CHUNKS)),
            "aiohttp": ("litellm", "completion.py", "aiohttp", "{url}", str(CHUNKS)),
        },
    ),
    Group(
        rows=(
            Row(
                key="wire",
                title="1,000 tools, wire to OpenAI format",
                unit="ms",
                count=5,
                quick=3,
                targets={"litellm + mcp 1.x": 5.0},
            ),
            Row(
                key="memory",
                title="1,000 tools, JSON text to OpenAI format",
                unit="ms",
                count=5,
                quick=3,
            ),
        ),
        contenders={
            OURS: ("toolbridge", "tools.py", "toolbridge", "toolbridge.mcp", "{stdio}"),
            "litellm + mcp 1.x": ("litellm-mcp", "tools.py", "litellm", "mcp", "{stdio}"),
        },
    ),
)

# `import` of a package in a fresh interpreter: the environment of each, and what toolbridge may take.
IMPORTS = {
    OURS: ("toolbridge", OURS),
    "mcp 1.x": ("mcp1", "mcp"),
    "litellm": ("litellm", "litellm"),
}
IMPORT_SECONDS = 0.030
IMPORT_MEGABYTES = 25.0
