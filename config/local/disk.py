"""What is left on the disk of DATA_DIR."""

import os
from pathlib import Path

# Of it Valkey can store nonces and deletions for a while (100,000 calls) when values are refused.
RESERVE_BYTES = 16_777_216
RESERVE = "16 MiB"


def is_full(folder: Path, *, was_full: bool = False) -> bool:
    """Tell whether less than the reserve is free; if it was, it takes twice as much to be not."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize < RESERVE_BYTES * (1 + was_full)
