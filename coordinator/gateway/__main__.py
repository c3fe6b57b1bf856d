"""`coordinator gateway`, also as `python -m coordinator.gateway`: alone in its process."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program with what follows `gateway` in the command line."""
    # structlog loads these where they are installed, for coloured tracebacks and another kind of tasks. Both
    # do without here, and would be a fifth of the program.
    for name in ("rich", "greenlet"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]

    from coordinator.gateway.options import OptionsError
    from coordinator.gateway.program import start

    arguments = sys.argv[1:]
    try:
        code = start(arguments[1:] if arguments[:1] == ["gateway"] else arguments)
    except OptionsError as error:
        sys.exit(f"Error: {error}")
    sys.exit(code)


if __name__ == "__main__":
    main()
