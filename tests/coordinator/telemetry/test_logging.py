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


STRANGERS = textwrap.dedent(
    """
    import logging, sys, structlog
    from aiohttp.http_exceptions import BadHttpMessage
    from coordinator.telemetry.logging import configure_logging
    configure_logging(sys.argv[2], sys.argv[1])
    structlog.get_logger("x").warning("seen", path="a\\n2026 [error] forged \\x1b[31m\\u202e")
    logging.getLogger("library").error("broken %s", "one\\ntwo")
    try:
        raise BadHttpMessage("Invalid method\\n\\n  b'\\\\x16'")
    except BadHttpMessage:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "192.0.2.7")
    """
)


@pytest.mark.parametrize("form", ["text", "json"])
def test_one_line_each_whoever_speaks(form: str) -> None:
    command = [sys.executable, "-c", STRANGERS, form, "info"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert "forged" in lines[0]
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert "broken one" in lines[1]
    assert "request not understood" in lines[2]
    assert "192.0.2.7" in lines[2]
    if form == "json":
        levels = [json.loads(line)["level"] for line in lines]
        assert levels == ["warning", "error", "info"]


def test_garbage_of_strangers_is_not_an_error_of_ours() -> None:
    command = [sys.executable, "-c", STRANGERS, "text", "error"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "not understood" not in done.stderr
    assert "aiohttp" not in done.stderr
