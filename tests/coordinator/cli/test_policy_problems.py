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


def test_what_is_wrong_in_a_declared_profile_has_no_place_in_the_policy(tmp_path: Path) -> None:
    policy, declared = tmp_path / "p.hujson", tmp_path / "wireguard.yaml"
    policy.write_text('{"acls": []}')
    declared.write_text('profiles:\n  db: {src: ["tag:none"], dst: ["10.1.2.3:22"]}\n')
    document = json.loads(check(policy, "--profiles", str(declared), "-o", "json").stdout)
    (problem,) = document["problems"]
    assert (problem["line"], problem["column"]) == (None, None)
    assert problem["message"].startswith("access profile `db` (declared with `wireguard apply`): ")
    shown = check(policy, "--profiles", str(declared)).stderr
    assert f"{policy}: access profile `db` (declared" in shown
    assert check(policy, "--profiles", str(declared), "-o", "github").stdout.startswith(
        f"::error file={policy},title="
    )
    declared.write_text(declared.read_text().replace("tag:none", "ada@"))
    assert "Policy is valid" in check(policy, "--profiles", str(declared)).stdout
    declared.write_text("profiles:\n  db: 7\n")
    assert f"{declared}:2:7: " in check(policy, "--profiles", str(declared)).stderr


def test_odd_bytes_have_a_place(tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_bytes(b'{\n  "acls": [], // \xff\n}')
    assert f"{path}:2" in check(path).stderr
