"""Writes the catalogue of models, ``src/llm/catalogue/models.z``, from a public list of them.

    python scripts/catalogue.py model_prices_and_context_window_backup.json --date 2026-09-25

The list is the JSON file of that name inside the wheel of litellm (a dict: name of the model, facts).
Kept are models that chat, and of them the facts that ``src/llm/catalogue`` reads: limits, prices in
US dollars, capabilities. The same list gives the same file, byte for byte.

The file is zlib over lines: the date, then for each model its name, a tab, and its facts as JSON,
in the order of the bytes of the names.
"""

from __future__ import annotations

import argparse
import json
import re
import zlib
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "src" / "llm" / "catalogue" / "models.z"
MODES = {"chat", "completion", "responses"}
FACTS = {
    "deprecation_date",
    "litellm_provider",
    "max_input_tokens",
    "max_output_tokens",
    "max_tokens",
    "mode",
    "search_context_cost_per_query",
    "tiered_pricing",
}
# What chat is charged by; prices by the second, the character and the picture are other calls'.
PRICES = re.compile(
    r"(input|output)_cost_per_(token|audio_token|image_token|video_token|reasoning_token|request)"
    r"|cache_(read|creation)_input_token_cost|citation_cost_per_token"
)
SUFFIX = re.compile(r"(_above_\d+k_tokens|_above_1hr|_flex|_priority|_batches|_cache_hit)*")


def is_kept(fact: str) -> bool:
    """Tells whether a fact is read by anybody."""
    price = PRICES.match(fact)
    is_price = price is not None and SUFFIX.fullmatch(fact[price.end() :]) is not None
    return fact in FACTS or fact.startswith("supports_") or is_price


def kept(facts: dict[str, Any]) -> dict[str, Any]:
    """Gives the facts that are kept of a model; what says nothing is left out."""
    found = {name: facts[name] for name in sorted(facts) if is_kept(name)}
    if found.get("max_tokens") == found.get("max_output_tokens"):
        found.pop("max_tokens", None)
    return {name: value for name, value in found.items() if value is not None}


def main() -> None:
    """Reads the list and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path, help="the JSON file")
    parser.add_argument("--date", required=True, help="the date of the list, YYYY-MM-DD")
    parser.add_argument("--to", type=Path, default=TARGET, help="the file that is written")
    given = parser.parse_args()
    models = json.loads(given.list.read_text(encoding="utf-8"))
    lines = [given.date]
    lines.extend(
        f"{name}\t{json.dumps(kept(models[name]), separators=(',', ':'))}"
        for name in sorted(models, key=str.encode)
        if models[name].get("mode") in MODES
    )
    text = "\n".join(lines).encode()
    packed = zlib.compress(text, 9)
    given.to.write_bytes(packed)
    print(f"{len(lines) - 1} models, {len(text)} bytes, {len(packed)} compressed")


if __name__ == "__main__":
    main()
