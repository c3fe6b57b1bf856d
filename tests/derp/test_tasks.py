"""tasks: held until they end, cancelled together, failures logged."""

import asyncio

from structlog.testing import capture_logs

from derp.tasks import TaskSet


async def test_close_cancels_and_waits() -> None:
    tasks = TaskSet()
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    task = tasks.spawn("work", work())
    await asyncio.sleep(0)
    assert (len(tasks), task.get_name()) == (1, "work")
    await tasks.close()
    assert ended == [True]
    assert len(tasks) == 0


async def test_a_failure_is_logged() -> None:
    tasks = TaskSet()

    async def fail() -> None:
        raise KeyError("x")

    with capture_logs() as logged:
        task = tasks.spawn("fails", fail())
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [(entry["event"], entry["task"]) for entry in logged] == [("task failed", "fails")]
    assert len(tasks) == 0
