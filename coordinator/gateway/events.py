"""What is to be reported, until a report with it was answered. Kept on disk: the answer may be long
in coming."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from coordinator.gateway.plan import Remark
from coordinator.wireguard.wire import Noticed

MOST = 1000
"""More than this are not kept: the oldest go. Months without a server must not fill the disk."""

QUIET = timedelta(minutes=10)
"""How long something that goes on is not said again."""


class Events:
    """A short list in order of time.

    Args:
        kept: from an earlier run.
        keep: called with the whole list whenever it changed.
    """

    def __init__(self, kept: tuple[Noticed, ...], keep: Callable[[tuple[Noticed, ...]], None]) -> None:
        self._waiting = list(kept)
        self._keep = keep
        self._said: dict[Remark, datetime] = {}

    def add(self, remarks: list[Remark], at: datetime) -> list[Remark]:
        """Add what was noticed; returns those that are news.

        The same about the same peer is said once in ten minutes: what cannot be applied is tried again
        every other second.
        """
        self._said = {remark: said for remark, said in self._said.items() if at - said < QUIET}
        news = [remark for remark in dict.fromkeys(remarks) if not (_lasts(remark) and remark in self._said)]
        if news:
            self._said.update(dict.fromkeys(news, at))
            self._waiting += [
                Noticed(kind=remark.kind, at=at, detail=remark.detail, public_key=remark.public_key)
                for remark in news
            ]
            del self._waiting[:-MOST]
            self._keep(tuple(self._waiting))
        return news

    def waiting(self) -> tuple[Noticed, ...]:
        """What the next report carries."""
        return tuple(self._waiting)

    def answered(self, sent: tuple[Noticed, ...]) -> None:
        """A report with these was answered; what came meanwhile stays."""
        if sent:
            gone = set(sent)
            self._waiting = [event for event in self._waiting if event not in gone]
            self._keep(tuple(self._waiting))


def _lasts(remark: Remark) -> bool:
    return remark.kind == "apply-failed"
