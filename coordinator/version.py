"""What this program says it is."""

from __future__ import annotations

import platform

# Here and not only in the package's metadata, because reading those takes 3 MB of a gateway's memory.
NUMBER = "0.1.0"


def version_document() -> dict[str, object]:
    """The answer of `/version` and of `coordinator version`."""
    return {
        "version": NUMBER,
        "commit": "",
        "buildTime": "",
        "python": {
            "version": platform.python_version(),
            "os": platform.system().lower(),
            "arch": platform.machine(),
        },
        "dirty": False,
    }
