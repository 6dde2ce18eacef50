"""Clocks that can be stepped while processes go by them."""

from pathlib import Path

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class Clock:
    """The clock of some processes: it differs from the machine's by what the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        """Let it differ by so much from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)  # in one step: it is read at any time

    @property
    def of_servers(self) -> dict[str, str]:
        """The environment of servers that go by it."""
        folder = Path(__file__).parent / "server_clock"
        return {"PYTHONPATH": str(folder), "STATEKEEP_SOAK_CLOCK": str(self._file)}

    @property
    def of_redis(self) -> dict[str, str]:
        """The environment of a Valkey that goes by it, if libfaketime is installed."""
        if FAKETIME is None:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }
