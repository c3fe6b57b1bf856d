"""Time as an argument: services read the clock through this type, tests turn it by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Returns the present moment, aware, in UTC."""
