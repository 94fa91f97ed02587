"""The gateways that the bench compares, each in front of the bench's own endpoint."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "toolbridge"
LITELLM = "litellm[proxy]"
NGINX = "nginx"
DIRECT = "direct"
PATIENCE = 120.0

CONFIG = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_base: "{upstream}", api_key: sk-bench}}
"""

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
        url: Where its chat completions are.
        seconds: From its start to its first answer.
        megabytes: What it holds at rest, its child processes included.
    """

    url: str
    seconds: float
    megabytes: float


@contextlib.contextmanager
def running(
    upstream: str, binary: Path, litellm: Path, folder: Path, environment: dict[str, str]
) -> Iterator[dict[str, Started]]:
    """Starts them one after the other; what is not installed is left out.

    Args:
        upstream: The base URL of the endpoint.
        binary: The release build of the gateway.
        litellm: The interpreter that has litellm's proxy.
        folder: Where configurations go.
        environment: The environment of every one.
    """
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(upstream=upstream), encoding="utf-8")
    commands: dict[str, tuple[str | Path, ...]] = {
        OURS: (binary, "--config", config, "--port", "{port}"),
        LITELLM: (litellm.with_name("litellm"), "--config", config, "--port", "{port}"),
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
            path = "v1/chat/completions" if name == NGINX else "health/liveliness"
            wait_for_answer(f"http://127.0.0.1:{port}/{path}", child)
            seconds = time.perf_counter() - start
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            yield Started(url, seconds, resident(child.pid))
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
