"""What somebody who logged in is asked, and what happens when they say yes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from coordinator.services.login import PendingLogins
from coordinator.services.registration import RegistrationService
from coordinator.services.ssh_checks import PendingCheck, SSHChecks
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.hostinfo import hostname
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError, NotFoundError
from coordinator.tailnet.nodes import REGISTERED_BY_OIDC
from coordinator.tailnet.users import User, UserID, require_active

SHORT_KEY = len("mkey:") + 12
MAX_TEXT = 100


class LoginApproval:
    """Verbs of people on what waits for them."""

    def __init__(
        self, tailnet: Tailnet, registration: RegistrationService, logins: PendingLogins, checks: SSHChecks
    ) -> None:
        self._tailnet = tailnet
        self._registration = registration
        self._logins = logins
        self._checks = checks

    def question(self, purpose: str, subject: str, user: User) -> Mapping[str, str]:
        """What the person has to recognise, as label and text.

        Raises:
            NotFoundError: nothing waits under this id any more.
            ForbiddenError: it is an SSH session, and not from a node of theirs.
        """
        if purpose == "ssh":
            check = self._own_check(subject, user.id)
            return {
                "SSH from": check.source.given_name,
                "to": f"{check.ssh_user}@{check.destination.given_name}",
            }
        pending = self._logins.get(subject)
        info = pending.request.hostinfo or {}
        return {
            "Machine": hostname(info)[:MAX_TEXT] or "(no name)",
            "System": str(info.get("OS") or "unknown")[:MAX_TEXT],
            "Key": f"{pending.machine_key[:SHORT_KEY]}…",
            "Joins as a machine of": user.login,
        }

    async def carry_out(self, purpose: str, subject: str, user_id: UserID, expiry: datetime | None) -> str:
        """The person said yes; returns a sentence about what happened.

        Raises:
            CoordinatorError: what is in the way, fit to be shown.
        """
        user = self._tailnet.snapshot.users.get(user_id)
        if user is None:
            raise NotFoundError("your user was deleted meanwhile")
        require_active(user)
        actor = Actor(kind="user", name=user.login)
        if purpose == "ssh":
            check = self._own_check(subject, user_id)
            await self._checks.decide(subject, approve=True, actor=actor)
            return f"The session on {check.destination.given_name} goes on."
        node = await self._registration.approve(
            subject, user_id, actor=actor, method=REGISTERED_BY_OIDC, expiry=expiry
        )
        return f"The machine joined as {node.given_name}."

    def _own_check(self, check_id: str, user_id: UserID) -> PendingCheck:
        """A waiting check whose source is an untagged node of the user, also now."""
        check = self._checks.get(check_id)
        record = self._tailnet.snapshot.record(check.source.id)
        if record is None or record.node.tags or record.node.user_id != user_id:
            raise ForbiddenError("this session does not come from a machine of yours")
        return check
