"""What this program says it is."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def version_document() -> dict[str, object]:
    """The answer of `/version` and of `coordinator version`."""
    try:
        number = version("coordinator")
    except PackageNotFoundError:
        number = "0.0.0+source"
    return {
        "version": number,
        "commit": "",
        "buildTime": "",
        "python": {
            "version": platform.python_version(),
            "os": platform.system().lower(),
            "arch": platform.machine(),
        },
        "dirty": False,
    }
