"""What a machine must have for the tests that leave the process, and what happens when it has not.

On a person's machine a missing piece skips the tests, with the reason in plain sight. With `CI=true` or
`COORDINATOR_REQUIRE_ALL=1` it fails them: a green run then means that everything ran, but for the one
exception that tests.support.machine_image.require_machine makes.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.support import clients

_ADMIN_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def missing_for_interop() -> list[str]:
    """Reasons why stock clients in network namespaces cannot run here; empty when they can."""
    reasons = missing_here(("ip", "mount", "ping", "nft"))
    absent = [version for version in clients.VERSIONS if clients.cached(version) is None]
    if absent and clients.go_program() is None:
        reasons.append(f"no Go to build tailscale {' and '.join(absent)}")
    return reasons


def missing_here(commands: tuple[str, ...]) -> list[str]:
    """Reasons why network namespaces with tunnels cannot be made, or these commands not be run."""
    reasons = []
    if os.geteuid() != 0:
        reasons.append("not root")
    if not Path("/dev/net/tun").exists():
        reasons.append("no /dev/net/tun")
    return reasons + [
        f"no `{command}` command" for command in commands if shutil.which(command, path=_ADMIN_PATH) is None
    ]


def everything_required() -> bool:
    """Whether skipping is forbidden here."""
    return os.environ.get("COORDINATOR_REQUIRE_ALL") == "1" or os.environ.get("CI", "").lower() in {
        "true",
        "1",
    }


def require(reasons: list[str], what: str) -> None:
    """Go on when nothing is missing; otherwise skip, or fail where everything is required."""
    if not reasons:
        return
    text = f"{what} cannot run here: {'; '.join(reasons)}"
    if everything_required():
        pytest.fail(text, pytrace=False)
    pytest.skip(f"NOT TESTED: {text}")
