"""`serve` refuses a wrong configuration; with a good one it is tested in tests/coordinator/test_server.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_every_problem_is_named_and_nothing_starts(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("server_url: nonsense\nlisten_adr: 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", "serve", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "server_url" in done.stderr
    assert "did you mean `listen_addr`" in done.stderr
    assert list(tmp_path.iterdir()) == [config]
