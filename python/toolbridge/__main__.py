"""The command ``toolbridge``; also ``python -m toolbridge``. The engine does all of it."""

from __future__ import annotations

import signal
import sys

from toolbridge._toolbridge import run_command


def main() -> None:
    """Run the command line and end the process with its status."""
    # The engine hears the signals itself; Python's handler would wait for it to return.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run_command(["toolbridge", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
