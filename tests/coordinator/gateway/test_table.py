"""Rules put in place, watched and restored, against a stand-in for nft."""

import json
from dataclasses import dataclass, field

import pytest

from coordinator.gateway.commands import CommandError
from coordinator.gateway.rules import Table
from coordinator.gateway.table import RuleTable
from tests.coordinator.gateway.builders import NOW
from tests.coordinator.gateway.test_rules import device, table

MISSING = CommandError("`nft` failed: No such file or directory")


@dataclass
class Nft:
    """Counts transactions, and lists whatever was loaded last."""

    number: int | None = 1
    content: str | None = None
    loaded: list[str] = field(default_factory=list)
    lists: int = 0
    refuses: list[CommandError] = field(default_factory=list)

    async def __call__(self, argv: tuple[str, ...], stdin: str) -> str:
        if argv[1] == "-f":
            if self.refuses:
                raise self.refuses.pop(0)
            self.loaded.append(stdin)
            self.commit(stdin if stdin.startswith("add table") else f"{self.content}{stdin}")
            return ""
        if self.content is None:
            raise MISSING
        if "counters" in argv:
            return json.dumps({"nftables": [{"counter": {"name": "x", "packets": 4, "bytes": 40}}]})
        self.lists += 1
        # As the kernel: however it came about, equal rules are listed alike.
        return json.dumps({"nftables": [{"chain": {"name": "mine" if "mine" in self.content else ""}}]})

    def commit(self, content: str | None) -> None:
        """A transaction, ours or somebody else's."""
        self.content = content
        if self.number is not None:
            self.number += 1


def begin(nft: Nft) -> RuleTable:
    """The table on a machine."""
    return RuleTable(nft, lambda: nft.number)


async def test_nothing_is_run_when_nothing_differs() -> None:
    nft = Nft()
    rules = begin(nft)
    assert not await rules.exists()
    assert not await rules.settle(table(device(2)), NOW)
    assert await rules.exists()
    assert rules.untouched
    loaded, lists = len(nft.loaded), nft.lists
    for _ in range(3):
        assert not await rules.settle(table(device(2)), NOW)
    assert (len(nft.loaded), nft.lists) == (loaded, lists) == (1, 2)


async def test_a_change_is_a_difference() -> None:
    nft = Nft()
    rules = begin(nft)
    await rules.settle(table(device(2)), NOW)
    lists = nft.lists
    assert not await rules.settle(table(device(2), device(3)), NOW)
    assert "delete table" not in nft.loaded[-1]
    assert "10.99.0.2" not in nft.loaded[-1]
    assert nft.lists == lists


@pytest.mark.parametrize("after_a_difference", [False, True])
@pytest.mark.parametrize("content", [None, "mine"])
async def test_what_somebody_changed_is_restored(content: str | None, after_a_difference: bool) -> None:
    nft = Nft()
    rules = begin(nft)
    await rules.settle(table(device(2)), NOW)
    wanted = table(device(2))
    if after_a_difference:
        wanted = table(device(2), device(3))
        await rules.settle(wanted, NOW)
    nft.commit(content)
    assert not rules.untouched
    assert await rules.settle(wanted, NOW)
    assert nft.loaded[-1].startswith("add table")
    assert "10.99.0.2" in nft.loaded[-1]
    assert not await rules.settle(wanted, NOW)


@pytest.mark.parametrize("after_a_difference", [False, True])
async def test_transactions_of_others_elsewhere_are_not_ours(after_a_difference: bool) -> None:
    nft = Nft()
    rules = begin(nft)
    wanted = table(device(2))
    await rules.settle(wanted, NOW)
    if after_a_difference:
        wanted = table(device(2), device(3))
        await rules.settle(wanted, NOW)
    nft.commit(nft.content)
    assert not await rules.settle(wanted, NOW)
    loaded = len(nft.loaded)
    nft.commit(nft.content)
    assert not await rules.settle(wanted, NOW)
    assert len(nft.loaded) == loaded, "a look was enough"


async def test_without_the_count_every_time_is_a_look() -> None:
    nft = Nft(number=None)
    rules = begin(nft)
    await rules.settle(table(device(2)), NOW)
    assert not await rules.settle(table(device(2)), NOW)
    nft.content = "mine"
    assert await rules.settle(table(device(2)), NOW)
    assert not await rules.settle(table(device(2)), NOW)


async def test_a_refused_difference_becomes_the_whole() -> None:
    nft = Nft()
    rules = begin(nft)
    await rules.settle(table(device(2)), NOW)
    nft.refuses = [CommandError("conflict")]
    assert not await rules.settle(table(device(3)), NOW)
    assert nft.loaded[-1].startswith("add table")
    assert "10.99.0.3" in nft.loaded[-1]


async def test_a_refused_whole_is_tried_again() -> None:
    nft = Nft(refuses=[CommandError("no")])
    rules = begin(nft)
    with pytest.raises(CommandError):
        await rules.settle(table(device(2)), NOW)
    assert not await rules.settle(table(device(2)), NOW)
    assert len(nft.loaded) == 1


async def test_counters_survive_the_table() -> None:
    nft = Nft()
    rules = begin(nft)
    await rules.settle(table(device(2)), NOW)
    assert await rules.counters() == {"x": (4, 40)}
    nft.commit(None)
    assert await rules.counters() == {"x": (4, 40)}, "the last that was known"


async def test_forgetting_makes_it_anew() -> None:
    nft = Nft()
    rules = begin(nft)
    await rules.settle(Table(), NOW)
    rules.forget()
    assert not await rules.settle(Table(), NOW)
    assert len(nft.loaded) == 2
