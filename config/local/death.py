"""Tie a process's life to its parent's, by the kernel where it can (Linux)."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def follow(parent: int, signum: int = signal.SIGKILL) -> None:
    """Have this process sent a signal when its parent ends; end at once if it has ended already.

    It does nothing but the latter where the kernel has no such signal (macOS): there, who must not
    outlive its parent polls os.getppid().

    Args:
        parent: the process id of the parent.
        signum: the signal.
    """
    if _libc is not None:
        # What is set here survives exec, but not fork: each child has to ask for it.
        _libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)
