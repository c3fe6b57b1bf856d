"""Problems for people, programs and pull requests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BROKEN = '{\n  "acls": [{"action": "deny", "src": ["*"], "dst": ["*:*"]}],\n}\n'


def check(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coordinator", "policy", "check", str(path), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_github_annotations(tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text(BROKEN)
    done = check(path, "-o", "github")
    assert done.returncode == 1
    assert done.stdout.startswith(f"::error file={path},line=2,col=23,")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text(BROKEN)
    document = json.loads(check(path, "-o", "json").stdout)
    assert document["valid"] is False
    assert (document["problems"][0]["line"], document["problems"][0]["column"]) == (2, 23)


def test_odd_bytes_have_a_place(tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_bytes(b'{\n  "acls": [], // \xff\n}')
    assert f"{path}:2" in check(path).stderr
