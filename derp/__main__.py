"""`python -m derp`: a relay alone, until SIGINT or SIGTERM. Exit code 2 means the start failed."""

import asyncio
import signal
import ssl
import sys
from collections.abc import Sequence

import structlog
import uvloop

from derp import settings as command_line
from derp import standalone
from derp.certificate import CertificateError
from derp.keys import KeyFormatError


async def _serve(settings: command_line.Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await standalone.run(settings, stop=stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        settings = command_line.parse(sys.argv[1:] if arguments is None else arguments)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except command_line.SettingsError as error:
        for problem in error.problems:
            print(f"derp: {problem}", file=sys.stderr)
        return 2
    except (OSError, ssl.SSLError, KeyFormatError, CertificateError) as error:
        print(f"derp: cannot start: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
