"""For servers whose PYTHONPATH names this folder: a clock that differs by what a file says.

libfaketime can't do it: under it time.sleep() fails with EINVAL when only the wall clock is faked.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.utils import timezone

READ_AFTER_SECONDS = 0.5

_file = Path(os.environ["STATEKEEP_SOAK_CLOCK"])
_real_time, _monotonic = time.time, time.monotonic
_offset, _read_at = 0.0, float("-inf")


def _difference() -> float:
    global _offset, _read_at
    if _monotonic() - _read_at > READ_AFTER_SECONDS:
        _offset, _read_at = float(_file.read_text()), _monotonic()
    return _offset


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=_difference())


time.time = lambda: _real_time() + _difference()
timezone.now = _now
