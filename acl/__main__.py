"""`python -m acl check FILE`: check a policy file without a server.

Here: reading the file and printing what is wrong. Exit status 0 when the policy can be used, 1 when not, 2
for misuse. Whatever needs users and nodes (the policy's own tests, domains) is not checked here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from acl import PolicyError, decode_policy, parse_policy

__all__ = ["main"]

USAGE = "usage: python -m acl check FILE"


def main(arguments: Sequence[str], out: TextIO, err: TextIO) -> int:
    """Run one command; returns the exit status."""
    if len(arguments) != 2 or arguments[0] != "check":
        print(USAGE, file=err)
        return 2
    path = Path(arguments[1])
    try:
        policy = parse_policy(decode_policy(path.read_bytes()))
    except OSError as error:
        print(f"{path}: {error.strerror}", file=err)
        return 2
    except PolicyError as error:
        for problem in error.problems:
            print(f"{path}: {problem}", file=err)
        return 1
    for problem in policy.warnings:
        print(f"{path}: warning: {problem}", file=err)
    print("Policy is valid", file=out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout, sys.stderr))
