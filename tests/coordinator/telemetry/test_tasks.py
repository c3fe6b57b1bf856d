"""Tasks keep alive, are named, and fail loudly."""

from __future__ import annotations

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from coordinator.telemetry.tasks import running, spawn


async def test_returns_the_result_under_its_name() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    task = spawn("the answer", answer())
    assert task.get_name() == "the answer"
    assert "the answer" in running()
    assert await task == 42
    await asyncio.sleep(0)
    assert "the answer" not in running()


async def test_a_task_nobody_holds_survives_collection() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    spawn("unheld", work())
    gc.collect()
    await asyncio.wait_for(done.wait(), 1)


async def test_a_failure_is_logged_with_the_name() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with capture_logs() as logs:
        task = spawn("failing", fail())
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [(line["event"], line["task"], str(line["exc_info"])) for line in logs] == [
        ("task failed", "failing", "broken")
    ]


async def test_a_cancelled_task_is_not_a_failure() -> None:
    with capture_logs() as logs:
        task = spawn("cancelled", asyncio.sleep(60))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
    assert logs == []
    assert running() == ()
