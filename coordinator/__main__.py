"""`coordinator` and `headscale`: the same program."""

from __future__ import annotations

from coordinator.cli.main import main

if __name__ == "__main__":
    main()
