"""Events wait for their answer."""

from datetime import timedelta

from coordinator.gateway.events import MOST, QUIET, Events
from coordinator.gateway.plan import Remark
from coordinator.wireguard.wire import Noticed
from tests.coordinator.gateway.builders import NOW

STRANGER = Remark(kind="unknown-peer", detail="removed", public_key="k")
FAILED = Remark(kind="apply-failed", detail="nft refused")


class Kept:
    """The disk."""

    def __init__(self) -> None:
        self.events: tuple[Noticed, ...] = ()

    def __call__(self, events: tuple[Noticed, ...]) -> None:
        self.events = events


def test_until_the_report_with_them_is_answered() -> None:
    kept = Kept()
    events = Events((), kept)
    assert events.add([STRANGER], NOW) == [STRANGER]
    sent = events.waiting()
    assert [(event.kind, event.public_key, event.at) for event in sent] == [("unknown-peer", "k", NOW)]
    events.add([STRANGER], NOW + timedelta(seconds=1))
    events.answered(sent)
    assert [event.at for event in events.waiting()] == [NOW + timedelta(seconds=1)]
    assert kept.events == events.waiting()
    assert Events(kept.events, kept).waiting() == events.waiting()


def test_what_goes_on_is_said_once_in_a_while() -> None:
    events = Events((), Kept())
    assert events.add([FAILED, FAILED], NOW) == [FAILED]
    assert events.add([FAILED], NOW + QUIET / 2) == []
    assert events.add([FAILED], NOW + QUIET) == [FAILED]
    assert len(events.waiting()) == 2


def test_months_without_a_server_do_not_fill_the_disk() -> None:
    events = Events((), Kept())
    for second in range(MOST + 10):
        events.add([STRANGER], NOW + timedelta(seconds=second))
    assert len(events.waiting()) == MOST
    assert events.waiting()[0].at == NOW + timedelta(seconds=10)
