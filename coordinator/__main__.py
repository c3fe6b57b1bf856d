"""`coordinator` and `headscale`: the same program."""

from __future__ import annotations

import sys

# `coordinator.cli.arguments` knows what they mean; on a gateway they mean nothing.
_GLOBAL_OPTIONS = ("-c", "-o", "--config", "--output", "--force", "--audit-reason")


def main() -> None:
    """Run the command line; the program on gateways without the other commands and what they need."""
    if sys.argv[1:2] == ["gateway"] and not any(word.startswith(_GLOBAL_OPTIONS) for word in sys.argv[2:]):
        from coordinator.gateway.__main__ import main as run
    else:
        from coordinator.cli.main import main as run
    run()


if __name__ == "__main__":
    main()
