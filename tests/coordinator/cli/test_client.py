"""Talking to the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.cli.client import call, segment
from coordinator.cli.output import CONTEXT, CommandError


def test_a_segment_cannot_leave_its_place() -> None:
    assert segment("../x?y#z") == "..%2Fx%3Fy%23z"


def test_a_wrong_configuration_is_shown_whole(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("log: {level: x}\nnonsense: 1\n")
    CONTEXT.config = str(config)
    try:
        with pytest.raises(CommandError) as caught:
            call("GET", "/")
    finally:
        CONTEXT.config = None
    assert "log.level" in str(caught.value)
    assert "nonsense" in str(caught.value)
