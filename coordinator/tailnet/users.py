"""Users of the tailnet and what a user name may look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from coordinator.tailnet.errors import InvalidError

UserID = NewType("UserID", int)

TAGGED_DEVICES_USER_ID = UserID(2147455555)
"""The pseudo user that stands for every tagged node on the wire (headscale uses the same number)."""
TAGGED_DEVICES_LOGIN = "tagged-devices"

ROLES = ("owner", "admin", "network-admin", "it-admin", "billing-admin", "auditor", "member")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*(@[A-Za-z0-9._-]+)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One person (or robot) who owns nodes.

    `provider_identifier` is `issuer/subject` of an OIDC identity, None for local users.
    """

    id: UserID
    name: str
    display_name: str = ""
    email: str = ""
    provider: str = ""
    provider_identifier: str | None = None
    profile_pic_url: str = ""
    role: str = "member"
    created_at: datetime

    @property
    def login(self) -> str:
        """The login name clients show: the e-mail if known, else the name (never empty)."""
        return self.email or self.name


def validate_user_name(name: str) -> str:
    """Check a new user name and return it.

    Rules (headscale's own, which it applies to OIDC names only): two characters or more, a letter first, then
    letters, digits, `-`, `_`, `.`, and at most one `@`.

    Raises:
        InvalidError: with the rule that is broken.
    """
    if len(name) < 2:
        raise InvalidError(f"user name `{name}` is too short: use two characters or more")
    if len(name) > 255:
        raise InvalidError("user name is too long: use 255 characters or fewer")
    if name.count("@") > 1:
        raise InvalidError(f"user name `{name}` has more than one `@`")
    if not name[0].isascii() or not name[0].isalpha():
        raise InvalidError(f"user name `{name}` must start with a letter")
    if not _NAME.match(name):
        raise InvalidError(f"user name `{name}` may hold only letters, digits, `-`, `_`, `.` and one `@`")
    return name
