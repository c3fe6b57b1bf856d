"""`coordinator` with a clock that somebody else moves.

Run as a script: `shifted_server OFFSET_FILE ARGUMENT …`; the file holds seconds to add to the time, and is
read at each look at the clock. The arguments are those of `coordinator`.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coordinator import assembly


def main() -> None:
    """Move the clock, then be the program."""
    offset = Path(sys.argv.pop(1))

    def shifted() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(offset.read_text()))

    # Before `coordinator.server` is imported, which takes the name over.
    assembly.utc_now = shifted
    from coordinator.cli.main import main as program

    program()


if __name__ == "__main__":
    main()
