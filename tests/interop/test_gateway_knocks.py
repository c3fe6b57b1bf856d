"""Devices whose WireGuard is up before their window opens: heard, and answered the moment it does."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.prerequisites import require
from tests.support.waiting import eventually
from tests.support.wireguard_lab import Device, WireguardLab, missing_for_wireguard, opened

WINDOWS = int(os.environ.get("WINDOWS", "5"))
"""With 20 the figures are worth telling."""


@pytest.fixture(scope="module")
def lab() -> Iterator[WireguardLab]:
    require(missing_for_wireguard(), "tests of WireGuard gateways")
    with opened() as lab:
        yield lab
        print(lab.program.log_tail())


@pytest.fixture(scope="module")
def device(lab: WireguardLab) -> Device:
    return lab.device()


class Pinging:
    """A device whose user tries all the time, one packet every 20 ms; notes when answers came."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._stopping = threading.Event()
        self.answered: list[float] = []

    def __enter__(self) -> "Pinging":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with self._device.flow() as flow:
            while not self._stopping.is_set():
                if flow.echo(within=0.02):
                    self.answered.append(time.perf_counter())
                    time.sleep(0.02)


def test_figures_of_a_device_that_was_there_before_its_window(lab: WireguardLab, device: Device) -> None:
    print("from the wish to the first answer:", figures(windows(lab, device)))


def windows(lab: WireguardLab, device: Device, **wished: object) -> list[float]:
    """Seconds from the wish to the first answer, for a device that has been trying for a while."""
    took = []
    for number in range(WINDOWS):
        lab.settled(lab.server.wish(peers=()))
        device.point_to(lab.gateway_key(), 51820)
        with Pinging(device) as pinging:
            # Never a multiple of WireGuard's own five seconds.
            time.sleep(0.5 + (number * 0.7) % 4)
            assert not pinging.answered
            started = time.perf_counter()
            lab.server.wish(peers=(lab.wished(device, **wished),))  # type: ignore[arg-type]
            eventually(lambda: pinging.answered, "an answer through the tunnel", every=0.005)
            took.append(pinging.answered[0] - started)
    return took


def figures(took: list[float]) -> str:
    ordered = sorted(took)
    return (
        f"median {ordered[len(took) // 2] * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms, of {len(took)}"
    )
