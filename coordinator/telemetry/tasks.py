"""Background tasks with a name and an owner.

`spawn` is the only door to a task outside a TaskGroup. The event loop itself keeps only weak references to
tasks, so one that nobody holds may vanish half way; and an exception of a task that nobody awaits shows, if
ever, only when the task is collected. Called from shells and services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)

_running: set[asyncio.Task[Any]] = set()


def spawn(name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run a coroutine as a task that is kept alive, and whose failure is logged.

    Args:
        name: shown in the log and in asyncio's own debugging output.
        coro: run to its end in the running event loop.
    Returns:
        The task, for those who want to cancel or await it; nobody has to.
    Raises:
        RuntimeError: no event loop is running.
    """
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def running() -> tuple[str, ...]:
    """Names of the tasks under way, for diagnosis and for tests that must leave none behind."""
    return tuple(sorted(task.get_name() for task in _running))


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        log.error("task failed", task=task.get_name(), exc_info=error)
