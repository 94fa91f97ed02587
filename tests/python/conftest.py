"""What every Python test may rely on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# What a judge finds wrong is shown as in a test.
pytest.register_assert_rewrite("judges.answers")

ROOT = Path(__file__).resolve().parents[2]

# A developer's own keys, endpoints and proxies must not reach a test, nor a test reach them.
AMBIENT = (
    "OPENAI_API_KEY",
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)
for name in AMBIENT:
    os.environ.pop(name, None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A background job is started with SIGINT ignored, and so would be the scripts that the tests
    # start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT
