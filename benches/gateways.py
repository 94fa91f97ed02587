"""The gateways that the bench compares, each in front of the bench's own endpoint."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rows import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "toolbridge"
LITELLM = "litellm[proxy]"
NGINX = "nginx"
DIRECT = "direct"
PATIENCE = 120.0

FASTMCP = "FastMCP proxy"
MANY = "FastMCP proxy of many"
SESSIONS = 200
PEERS = Path(__file__).resolve().parent / "peers"

CONFIG = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_base: "{upstream}", api_key: sk-bench}}
mcp_servers:
{servers}
"""
SERVER = '  s{number}: {{url: "{url}", transport: http, allow_all_keys: true}}'
# Where a gateway has the first of its servers, and where all of them.
PATHS = {OURS: ("mcp/s0", "mcp/"), LITELLM: ("mcp/s0", "mcp/"), FASTMCP: ("mcp", "mcp")}

# A reverse proxy with connections that last on both sides and nothing else to do.
NGINX_CONFIG = """\
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream endpoint {{ server {host}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass http://endpoint;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Started:
    """A gateway that serves.

    Attributes:
        origin: Where it is.
        pid: Its process.
        seconds: From its start to its first answer.
        megabytes: What it holds at rest, its child processes included.
    """

    origin: str
    pid: int
    seconds: float
    megabytes: float


@contextlib.contextmanager
def running(
    upstream: str,
    tools: str,
    binary: Path,
    pythons: dict[str, Path],
    folder: Path,
    environment: dict[str, str],
) -> Iterator[dict[str, Started]]:
    """Starts them one after the other; what is not installed is left out.

    Args:
        upstream: The base URL of the endpoint.
        tools: The URL of the MCP server that stands behind them, many times.
        binary: The release build of the gateway.
        pythons: The interpreters of the others.
        folder: Where configurations go.
        environment: The environment of every one.
    """
    config = folder / "gateway.yaml"
    servers = "\n".join(SERVER.format(number=number, url=tools) for number in range(SERVERS))
    config.write_text(CONFIG.format(upstream=upstream, servers=servers), encoding="utf-8")
    proxy = (pythons["fastmcp"], PEERS / "fastmcp_proxy.py", "{port}", tools)
    commands: dict[str, tuple[str | Path, ...]] = {
        OURS: (binary, "--config", config, "--port", "{port}"),
        LITELLM: (
            pythons["litellm-proxy"].with_name("litellm"),
            *("--config", config, "--port", "{port}"),
        ),
        FASTMCP: proxy,
        MANY: (*proxy, str(SERVERS)),
    }
    nginx = shutil.which("nginx", path=f"{environment.get('PATH', '')}:/usr/sbin:/sbin")
    if nginx is not None:
        commands[NGINX] = (nginx, "-p", folder, "-c", folder / "nginx.conf")
    with contextlib.ExitStack() as stack:
        started = {}
        for name, command in commands.items():
            port = free_port()
            if name == NGINX:
                host = upstream.removeprefix("http://").partition("/")[0]
                text = NGINX_CONFIG.format(folder=folder, host=host, port=port)
                (folder / "nginx.conf").write_text(text, encoding="utf-8")
            words = [str(word).format(port=port) for word in command]
            started[name] = stack.enter_context(process(name, words, port, environment))
        yield started


def places(started: dict[str, Started], chat: str, tools: str) -> dict[str, str]:
    """What the placeholders of the contenders stand for.

    Args:
        started: The gateways.
        chat: Chat completions without a gateway.
        tools: The MCP server without one.
    """
    found = {f"{{gateway:{DIRECT}}}": chat, f"{{mcp:{DIRECT}}}": tools}
    for name, one in started.items():
        if name not in {FASTMCP, MANY}:
            found[f"{{gateway:{name}}}"] = f"{one.origin}/v1/chat/completions"
        if name in PATHS:
            first, every = PATHS[name]
            many = started[MANY] if name == FASTMCP else one
            found[f"{{mcp:{name}}}"] = f"{one.origin}/{first}"
            found[f"{{list:{name}}}"] = f"{many.origin}/{every}"
    return found


def idle_kilobytes(started: dict[str, Started]) -> dict[str, list[float]]:
    """What a gateway holds for a session that is open and silent."""
    found = {}
    for name in PATHS:
        one = started[name]
        url = f"{one.origin}/{PATHS[name][0]}"
        # The first ones pay for what all share.
        open_sessions(url, SESSIONS // 10)
        before = resident(one.pid)
        open_sessions(url, SESSIONS)
        found[name] = [(resident(one.pid) - before) * 1024 / SESSIONS]
    return found


def open_sessions(url: str, count: int) -> None:
    """Begins sessions that nobody ends."""
    asked = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": asked})
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    for _ in range(count):
        request = urllib.request.Request(url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            answer.read()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def process(
    name: str, command: list[str], port: int, environment: dict[str, str]
) -> Iterator[Started]:
    """Runs one gateway until it has answered and for as long as it is needed."""
    print(f"starting {name}", flush=True)
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        try:
            path = {NGINX: "v1/chat/completions", FASTMCP: "mcp", MANY: "mcp"}
            origin = f"http://127.0.0.1:{port}"
            wait_for_answer(f"{origin}/{path.get(name, 'health/liveliness')}", child)
            seconds = time.perf_counter() - start
            yield Started(origin, child.pid, seconds, resident(child.pid))
        finally:
            child.terminate()
            child.wait(PATIENCE)


def wait_for_answer(url: str, child: subprocess.Popen[bytes]) -> None:
    """Returns when something answers, whatever it says."""
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        if child.poll() is not None:
            message = f"{child.args!r} ended with status {child.returncode}"
            raise RuntimeError(message)
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.002)
        else:
            return
    message = f"{url} did not answer within {PATIENCE} s"
    raise RuntimeError(message)


def resident(pid: int) -> float:
    """Megabytes of a process and its children."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return int(line.split()[1]) / 1024 + sum(resident(int(child)) for child in children)
