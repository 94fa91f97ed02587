"""What is measured: the rows, who takes part in each, and the ratios that toolbridge has to reach."""

from __future__ import annotations

from dataclasses import dataclass, field

OURS = "toolbridge"
CHUNKS = 2_000
AT_ONCE = 5_000
HTTP_AT_ONCE = 500
CHAT_AT_ONCE = 32
CALLS_AT_ONCE = 100
# Completions of one client that nobody has answered yet.
IN_FLIGHT = 1_000
# What one of them may leave behind in memory: nothing but what allocators keep.
GROWTH_KILOBYTES = 0.5
# What the gateways of the rows of MCP have behind them.
SERVERS = 50
TOOLS = 100


@dataclass(frozen=True)
class Row:
    """One kind of work.

    Attributes:
        key: What contenders call it.
        title: What the table calls it.
        unit: How a median is shown: `ns`, `us`, `ms`, `per second` (not with a limit), or `kB` of
            samples that are kilobytes and no seconds.
        count: What one order asks for.
        quick: The same with `--quick`.
        targets: How many times as fast as each contender toolbridge has to be.
        operations: Operations in one sample.
        limit: What the median of toolbridge may be, in the unit of the samples.
    """

    key: str
    title: str
    unit: str
    count: int
    quick: int
    targets: dict[str, float] = field(default_factory=dict)
    operations: int = 1
    limit: float | None = None


@dataclass(frozen=True)
class Group:
    """Rows that the same contenders take part in.

    Attributes:
        rows: The rows.
        contenders: The command of each, by the name in the table. The first word is an environment,
            or a Rust program; `{stdio}`, `{http}` and `{url}` stand for the servers' command and addresses,
            `{gateway:name}` for the chat completions of a gateway. Whose place nobody has takes no part.
    """

    rows: tuple[Row, ...]
    contenders: dict[str, tuple[str, ...]]


# The endpoints of `benches/servers/model_server.rs`, and who beside toolbridge, litellm and bare
# aiohttp can ask them.
PROVIDERS = {"openai": ("openai",), "anthropic": ("anthropic",), "bedrock": ()}
PROVIDER_NAMES = {"openai": "OpenAI", "anthropic": "Anthropic", "bedrock": "Bedrock"}
# The protocols that chat completions are converted to, and what is converted.
PROTOCOLS = {
    "anthropic": "Anthropic",
    "bedrock": "Bedrock",
    "gemini": "Gemini",
    "cohere": "Cohere",
    "mistral": "Mistral",
    "ollama": "Ollama",
    "responses": "OpenAI Responses",
}
CONVERSIONS = {
    "request": "converting a request with tools",
    "answer": "converting an answer with tool calls",
    "event": "converting an event of a stream",
}
# Who gets tools in words of its own.
LOWERED = {
    "openai": "OpenAI",
    "openai_strict": "OpenAI, strict",
    "openai_responses": "OpenAI Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "bedrock": "Bedrock",
    "bedrock_nova": "Bedrock, Nova",
    "cohere": "Cohere",
    "ollama": "Ollama",
    "mistral": "Mistral",
}
CATALOGUE = 10_000
# What a search in it may take.
SEARCH_SECONDS = 1e-3


def completions(provider: str, peers: tuple[str, ...]) -> Group:
    """The rows of completions, from one provider's endpoint.

    Args:
        provider: One of `PROVIDERS`.
        peers: Who takes part beside toolbridge, litellm and bare aiohttp.
    """
    name = PROVIDER_NAMES[provider]
    return Group(
        rows=(
            Row(
                key=f"{provider}_one",
                title=f"`acompletion`, {name}, one at a time",
                unit="us",
                count=200,
                quick=50,
                targets={"litellm": 14.0, "aiohttp": 1.0},
            ),
            Row(
                key=f"{provider}_many",
                title=f"`acompletion`, {name}, 64 at once",
                unit="per second",
                count=640,
                quick=320,
                targets={"litellm": 14.0, "aiohttp": 1.0},
            ),
            Row(
                key=f"{provider}_stream",
                title=f"streaming, {name}, chunks",
                unit="per second",
                count=2,
                quick=1,
                targets={"litellm": 40.0, "aiohttp": 0.75},
            ),
            Row(
                key=f"{provider}_flight",
                title=f"`acompletion`, {name}, {IN_FLIGHT:,} in flight, memory of each",
                unit="kB",
                count=2,
                quick=1,
            ),
            Row(
                key=f"{provider}_growth",
                title=f"`acompletion`, {name}, {IN_FLIGHT:,} at once, memory that each leaves behind",
                unit="kB",
                count=3,
                quick=2,
                limit=GROWTH_KILOBYTES,
            ),
        ),
        contenders={
            contender: (
                "toolbridge" if contender == OURS else "litellm",
                "completion.py",
                contender,
                provider,
                "{url}",
                str(CHUNKS),
            )
            for contender in (OURS, "litellm", *peers, "aiohttp")
        },
    )


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
                key="http_one",
                title="HTTP `call_tool`, one at a time",
                unit="us",
                count=200,
                quick=50,
                targets={"mcp 2.x": 4.0},
            ),
            Row(
                key="http_many",
                title=f"HTTP `call_tool`, {HTTP_AT_ONCE} at once",
                unit="per second",
                count=HTTP_AT_ONCE,
                quick=HTTP_AT_ONCE,
                targets={"mcp 2.x": 10.0},
                operations=HTTP_AT_ONCE,
            ),
        ),
        contenders={
            OURS: ("toolbridge", "http_session.py", "toolbridge.mcp", "{http}"),
            "mcp 1.x": ("mcp1", "http_session.py", "mcp", "{http}"),
            "mcp 2.x": ("mcp2", "http_session.py", "mcp", "{http}"),
        },
    ),
    Group(
        rows=(
            Row(
                key="open_stdio",
                title="opening a session over stdio",
                unit="ms",
                count=10,
                quick=4,
            ),
            Row(
                key="open_http",
                title="opening a session over HTTP",
                unit="ms",
                count=20,
                quick=8,
            ),
            Row(
                key="idle_stdio",
                title="memory of an idle session over stdio",
                unit="kB",
                count=20,
                quick=10,
            ),
            Row(
                key="idle_http",
                title="memory of an idle session over HTTP",
                unit="kB",
                count=20,
                quick=10,
            ),
        ),
        contenders={
            OURS: ("toolbridge", "opening.py", "toolbridge.mcp", "{stdio}", "{http}"),
            "mcp 1.x": ("mcp1", "opening.py", "mcp", "{stdio}", "{http}"),
            "mcp 2.x": ("mcp2", "opening.py", "mcp", "{stdio}", "{http}"),
        },
    ),
    *(completions(provider, peers) for provider, peers in PROVIDERS.items()),
    Group(
        rows=tuple(
            Row(
                key=f"{work}_{protocol}",
                title=f"{title}, {name}",
                unit="ns",
                count=20,
                quick=5,
            )
            for protocol, name in PROTOCOLS.items()
            for work, title in CONVERSIONS.items()
        ),
        contenders={
            OURS: ("conversions",),
            "litellm": ("litellm", "conversions.py"),
        },
    ),
    Group(
        rows=(
            Row(
                key="gateway_one",
                title="gateway, a chat completion, one at a time",
                unit="us",
                count=400,
                quick=100,
            ),
            Row(
                key="gateway_many",
                title=f"gateway, chat completions, {CHAT_AT_ONCE} at once",
                unit="per second",
                count=3_200,
                quick=640,
                targets={"litellm[proxy]": 100.0, "nginx": 0.4},
            ),
        ),
        contenders={
            OURS: ("chat_load", "{gateway:toolbridge}"),
            "litellm[proxy]": ("chat_load", "{gateway:litellm[proxy]}"),
            "nginx": ("chat_load", "{gateway:nginx}"),
            "direct": ("chat_load", "{gateway:direct}"),
        },
    ),
    Group(
        rows=(
            Row(
                key="gateway_call_one",
                title="gateway, `tools/call`, one at a time",
                unit="us",
                count=200,
                quick=50,
            ),
            Row(
                key="gateway_call_many",
                title=f"gateway, `tools/call`, {CALLS_AT_ONCE} at once",
                unit="per second",
                count=CALLS_AT_ONCE,
                quick=CALLS_AT_ONCE,
                operations=CALLS_AT_ONCE,
            ),
            Row(
                key="gateway_list",
                title=f"gateway, `tools/list`, {SERVERS} servers of {TOOLS} tools",
                unit="ms",
                count=2,
                quick=1,
            ),
        ),
        contenders={
            OURS: ("toolbridge", "gateway_session.py", "{mcp:toolbridge}", "{list:toolbridge}"),
            "litellm[proxy]": (
                "toolbridge",
                "gateway_session.py",
                "{mcp:litellm[proxy]}",
                "{list:litellm[proxy]}",
            ),
            "FastMCP proxy": (
                "toolbridge",
                "gateway_session.py",
                "{mcp:FastMCP proxy}",
                "{list:FastMCP proxy}",
            ),
            "direct": ("toolbridge", "gateway_session.py", "{mcp:direct}"),
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
    Group(
        rows=tuple(
            Row(
                key=f"lower_{target}",
                title=f"1,000 tools in the words of {name}",
                unit="ms",
                count=10,
                quick=3,
            )
            for target, name in LOWERED.items()
        ),
        contenders={
            OURS: ("lower_tools",),
            "litellm": ("litellm", "lowering.py"),
        },
    ),
    Group(
        rows=(
            Row(
                key="loop",
                title="tool loop, 10 rounds of 8 calls at once",
                unit="ms",
                count=10,
                quick=3,
            ),
        ),
        contenders={
            OURS: ("toolbridge", "tool_loop.py", "toolbridge", "{stdio}", "{url}"),
            "litellm + mcp 1.x": ("litellm-mcp", "tool_loop.py", "litellm", "{stdio}", "{url}"),
        },
    ),
    Group(
        rows=(
            Row(
                key="search_index",
                title=f"search over {CATALOGUE:,} tools",
                unit="us",
                count=200,
                quick=40,
                limit=SEARCH_SECONDS,
            ),
        ),
        contenders={OURS: ("search_tools",)},
    ),
    Group(
        rows=(
            Row(
                key="search_client",
                title=f"`client.search_tools` over {CATALOGUE:,} tools of a server",
                unit="us",
                count=200,
                quick=40,
                limit=SEARCH_SECONDS,
            ),
        ),
        contenders={OURS: ("toolbridge", "catalogue_search.py", "{stdio}")},
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

# What a gateway may add to the median of one request, hold at rest, and take to start.
ADDED_SECONDS = 120e-6
ADDED_CALL_SECONDS = 350e-6
REST_MEGABYTES = 35.0
START_SECONDS = 0.3
