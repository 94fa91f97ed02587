"""What LiteLLM sends for the cases of the golden matrix, beside what toolbridge sends.

Every member of a body that differs is listed in ``differences.toml`` with the reason why ours is right, and
nothing is listed that does not differ.
"""

import fnmatch
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from judges.models import MODELS

HERE = Path(__file__).parent
# `make` sets it: LiteLLM has an environment of its own.
PYTHON = os.environ.get("TOOLBRIDGE_LITELLM_PYTHON")

pytestmark = [
    pytest.mark.skipif(PYTHON is None, reason="make test-python says where LiteLLM is"),
    # More than a thousand calls, by a package that takes its time.
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def sent():
    record = subprocess.run(
        [PYTHON, str(HERE / "judges/record.py")], capture_output=True, text=True, timeout=280
    )
    assert record.returncode == 0, record.stderr
    return json.loads(record.stdout)


@pytest.fixture(scope="module")
def differences(sent):
    """Model, case and member of everything that differs, and both values."""
    found = {}
    for model in MODELS:
        for case, ours in model.golden.items():
            theirs = sent[model.name][case]
            if "error" in ours and "error" in theirs:
                continue
            if "error" in ours or "error" in theirs:
                found[model.name, case, "error"] = (theirs, ours)
                continue
            if model.protocol == "gemini":
                theirs = camel(theirs)
            for member in {**theirs, **ours}:
                pair = (theirs.get(member), ours.get(member))
                if pair[0] != pair[1]:
                    found[model.name, case, member] = pair
    return found


def camel(value):
    """Google takes every name in both spellings."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), name): camel(item)
        for name, item in value.items()
    }


@pytest.fixture(scope="module")
def listed():
    text = (HERE / "differences.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["difference"]


def fits(entry, difference):
    model, case, member = difference
    return all(
        any(fnmatch.fnmatchcase(value, pattern) for pattern in entry.get(name, ["*"]))
        for name, value in (("models", model), ("cases", case), ("members", member))
    )


def test_every_difference_has_its_reason(differences, listed):
    unlisted = {
        difference: pair
        for difference, pair in differences.items()
        if not any(fits(entry, difference) for entry in listed)
    }
    lines = [f"{key}:\n  litellm {pair[0]}\n  ours    {pair[1]}" for key, pair in unlisted.items()]
    assert not lines, "\n".join(lines)


def test_nothing_is_listed_that_does_not_differ(differences, listed):
    stale = [
        entry["reason"]
        for entry in listed
        if not any(fits(entry, difference) for difference in differences)
    ]
    assert not stale


def test_every_entry_says_why(listed):
    assert all(len(entry["reason"]) > 20 for entry in listed)
