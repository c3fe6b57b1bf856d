"""`docs/policy.md`: what the policy commands print for the example, made by running them.

python -m tests.support.policy_transcripts > docs/policy.md
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_INTRODUCTION = """\
# Reviewing a policy

<!-- Made by `python -m tests.support.policy_transcripts`; a test compares. -->

Every command below was run on `config/acls.hujson` and `config/nodes.json` (made with
`coordinator policy snapshot`), or on the same file with the change shown. Nothing here needs a server;
`--server` takes users and nodes from a running one.
"""


def document() -> str:
    """The whole page."""
    example = (ROOT / "config" / "acls.hujson").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nodes.json").write_text((ROOT / "config" / "nodes.json").read_text())
        (folder / "acls.hujson").write_text(example)
        wider = example.replace('"tcp:22", "tcp:443"', '"tcp:22", "tcp:443", "tcp:5432"')
        (folder / "tidy.hujson").write_text(example)
        (folder / "new.hujson").write_text(wider)
        broken = example.replace('"dst": ["tag:server"],\n      "ip"', '"dst": ["tag:sever"],\n      "ip"')
        broken = broken.replace('"nodeAttrs"', '"nodeAttr"')
        (folder / "broken.hujson").write_text(broken)
        tested = example.replace('// "tests": [', '"tests": [')
        (folder / "tested.hujson").write_text(tested)
        parts = [
            _INTRODUCTION,
            "## Is it a policy?\n",
            _run(folder, "check", "acls.hujson"),
            "A file with two mistakes, all problems at once:\n",
            _run(folder, "check", "broken.hujson"),
            "As annotations of a pull request:\n",
            _run(folder, "check", "broken.hujson", "-o", "github"),
            "## Do its own tests hold?\n",
            "The example's last section, with its comment marks taken away:\n",
            _run(folder, "test", "tested.hujson", "--nodes", "nodes.json"),
            "## Who gains, who loses?\n",
            "`new.hujson` opens port 5432 of the servers to developers. Exit code 3: something opens.\n",
            _run(folder, "diff", "acls.hujson", "new.hujson", "--nodes", "nodes.json"),
            "Formatting is no difference:\n",
            _run(folder, "fmt", "tidy.hujson"),
            _run(folder, "diff", "acls.hujson", "tidy.hujson", "--nodes", "nodes.json"),
            "## Why?\n",
            _run(
                folder, "explain", "bob-laptop", "web:443/tcp", "-f", "acls.hujson", "--nodes", "nodes.json"
            ),
            _run(
                folder,
                "explain",
                "bob-laptop",
                "alice-laptop:22",
                "-f",
                "acls.hujson",
                "--nodes",
                "nodes.json",
            ),
        ]
    return "\n".join(parts)


def _run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "coordinator", "policy", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    shown = (done.stdout + done.stderr).rstrip()
    status = f"\n(exit code {done.returncode})" if done.returncode else ""
    return f"```\n$ coordinator policy {' '.join(arguments)}\n{shown}{status}\n```\n"


if __name__ == "__main__":
    print(document(), end="")
