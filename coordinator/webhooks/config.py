"""What is configured of one webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

HookKind = Literal["slack", "mattermost", "generic"]
KINDS: tuple[HookKind, ...] = get_args(HookKind)
EventName = Literal["requested", "opened", "denied", "ended", "break-glass"]
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookConfig:
    """One webhook.

    `secret` signs generic messages and is Slack's signing secret; `users` maps people there to users here;
    `answer_url` is where answers come back; `links` puts one-time links for each approver into a message.
    """

    name: str
    kind: HookKind
    url: str = field(repr=False)
    secret: str = field(repr=False)
    users: Mapping[str, str]
    events: frozenset[EventName]
    links: bool
    answer_url: str

    @property
    def takes_answers(self) -> bool:
        """Whether answers from there can be told from forged ones."""
        return self.kind == "mattermost" or bool(self.secret)

    @property
    def channel(self) -> str:
        """As answers are recorded and tokens are bound."""
        return f"webhook {self.name}"
