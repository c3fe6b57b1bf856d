"""This machine: what interfaces, peers and routes there are, and doing what a plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import structlog

from coordinator.gateway.commands import CommandError, run, run_detached
from coordinator.gateway.ear import Ear
from coordinator.gateway.plan import Make, Step, alias
from coordinator.gateway.seen import PROTOCOL, Seen, Wireguard, read_links, read_routes, read_wireguard
from coordinator.gateway.table import RuleTable

log = structlog.get_logger(__name__)

_FORWARDING = {
    "net.ipv4.ip_forward": Path("/proc/sys/net/ipv4/ip_forward"),
    "net.ipv6.conf.all.forwarding": Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}


class Machine:
    """The kernel of the machine (or network namespace) this program runs on."""

    def __init__(self) -> None:
        self.rules = RuleTable(run)
        self.ear = Ear(run)

    async def look(self, names: Iterable[str]) -> Seen:
        """What is there.

        Args:
            names: the wished interfaces; of others, ours are listed without their peers.
        Raises:
            CommandError: `ip` did not answer.
            NotUnderstoodError: something answered in another form.
        """
        links, routes4, routes6 = await asyncio.gather(
            run(("ip", "-json", "-details", "address", "show")),
            run(("ip", "-json", "-4", "route", "show", "proto", PROTOCOL)),
            run(("ip", "-json", "-6", "route", "show", "proto", PROTOCOL)),
        )
        seen = read_links(links)
        wireguard = {}
        for name in names:
            if name in seen and seen[name].ours:
                wireguard[name] = await self._wireguard(name)
        return Seen(
            links=seen,
            # An interface whose process died has a link for a moment, but nobody to ask.
            wireguard={name: found for name, found in wireguard.items() if found is not None},
            routes=frozenset(read_routes(routes4) | read_routes(routes6)),
        )

    async def _wireguard(self, name: str) -> Wireguard | None:
        try:
            return read_wireguard(await run(("wg", "show", name, "dump")))
        except CommandError as error:
            log.warning("interface does not answer", interface=name, error=str(error))
            return None

    async def perform(self, steps: Iterable[Step]) -> list[str]:
        """Run a plan's steps in order; what fails does not keep the rest from being done.

        Returns:
            A sentence for each step that failed.
        """
        failures = []
        for step in steps:
            try:
                if isinstance(step, Make):
                    await self._make(step.name)
                else:
                    await run(step.argv, step.stdin)
            except CommandError as error:
                failures.append(str(error))
        return failures

    async def _make(self, name: str) -> None:
        try:
            await run(("ip", "link", "add", "dev", name, "type", "wireguard"))
        except CommandError as kernel:
            try:
                await run_detached(("wireguard-go", name))
            except CommandError as error:
                raise CommandError(
                    f"interface {name} cannot be made: {kernel}; {error} (install wireguard-go where the "
                    "kernel has no WireGuard; it needs /dev/net/tun and a writable /run/wireguard)"
                ) from error
            log.info("interface made by wireguard-go", interface=name)
        else:
            log.info("interface made", interface=name)
        await run(alias(name).argv)


def not_forwarding(*, ipv6: bool) -> list[str]:
    """Names of the kernel settings that keep packets from going on to the networks behind."""
    return [
        name
        for name, path in _FORWARDING.items()
        if (ipv6 or "ipv6" not in name) and path.exists() and path.read_text().strip() == "0"
    ]
