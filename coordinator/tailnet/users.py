"""Users of the tailnet and what a user name may look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from coordinator.tailnet.errors import ForbiddenError, InvalidError

UserID = NewType("UserID", int)

TAGGED_DEVICES_USER_ID = UserID(2147455555)
"""The pseudo user that stands for every tagged node on the wire (headscale uses the same number)."""
TAGGED_DEVICES_LOGIN = "tagged-devices"

ROLES = ("owner", "admin", "network-admin", "it-admin", "billing-admin", "auditor", "member")
"""What a user may be; `rights` says what each may do, the policy knows them as autogroups."""

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
    suspended_at: datetime | None = None
    """Set while the user is suspended: nothing of theirs joins, what had joined is expired."""
    offboarded_at: datetime | None = None
    """Set while the identity provider no longer vouches for the user; a login there ends it."""
    groups: tuple[str, ...] = ()
    """Groups of the policy the identity provider puts the user into."""

    @property
    def suspended(self) -> bool:
        """Whether an administrator, or the identity provider, has shut the user out."""
        return self.suspended_at is not None or self.offboarded_at is not None

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


def validate_role(role: str) -> str:
    """Check the name of a role and return it.

    Raises:
        InvalidError: there is no such role; the message lists those there are.
    """
    if role not in ROLES:
        raise InvalidError(f"`{role}` is no role: use one of {', '.join(ROLES)}")
    return role


def suspension_notice(user: User) -> str:
    """What whoever meets a suspended user is told."""
    if user.suspended_at is None and user.offboarded_at is not None:
        name = user.name or user.login
        return f"the identity provider shut user `{name}` out; they have to log in there again"
    return f"user `{user.name or user.login}` is suspended; an administrator has to restore them first"


def require_active(user: User) -> User:
    """The user, if nodes may join or come back for them.

    Raises:
        ForbiddenError: the user is suspended.
    """
    if user.suspended:
        raise ForbiddenError(suspension_notice(user))
    return user
