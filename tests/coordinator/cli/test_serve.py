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


def test_one_configuration_is_enough(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", "serve", "-c", "x.yaml", "--quickstart", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "not both" in done.stderr


def test_configtest_reads_the_records_a_file_holds(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "server_url: http://10.0.0.1:8080\nderp: {server: {enabled: true}}\n"
        "dns: {base_domain: a.b, override_local_dns: false, extra_records_path: r.json}\n"
    )

    def configtest() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coordinator", "configtest", "-c", str(config)],
            capture_output=True,
            text=True,
            check=False,
        )

    missing = configtest()
    assert (missing.returncode, "dns.extra_records_path" in missing.stderr) == (1, True)
    (tmp_path / "r.json").write_text('[{"name": "a.a.b", "type": "A", "value": "10.0.0.9"}]')
    assert configtest().returncode == 0
