"""Stopping politely: the first signal lets the step end and the state be saved, a second ends at once."""

import os
import signal
from types import FrameType
from typing import Self

__all__ = ["Interruption"]


class Interruption:
    """Catches SIGINT and SIGTERM while it is entered; `signal` is the number of the one that came, or 0.

    >>> with Interruption() as interruption:
    ...     interruption.signal
    0
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number
