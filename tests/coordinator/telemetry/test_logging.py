"""The log."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

PROGRAM = textwrap.dedent(
    """
    import sys, structlog
    from coordinator.telemetry.logging import configure_logging
    configure_logging("info", sys.argv[1])
    log = structlog.get_logger("x")
    log.debug("hidden")
    log.info("seen", node_id=7)
    def fail(secret):
        raise RuntimeError("broken")
    try:
        fail("hskey-auth-secret")
    except RuntimeError:
        log.exception("failed")
    """
)


@pytest.mark.parametrize("form", ["text", "json"])
def test_levels_forms_and_no_secrets(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "hidden" not in done.stderr
    assert "broken" in done.stderr
    assert "hskey-auth-secret" not in done.stderr, "local variables must not reach the log"
    if form == "json":
        first, second = (json.loads(line) for line in done.stderr.splitlines())
        assert (first["event"], first["node_id"], first["level"]) == ("seen", 7, "info")
        assert "RuntimeError" in second["exception"]
