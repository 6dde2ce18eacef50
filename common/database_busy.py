"""How long a database's lock is waited for, and the error when that was too short."""

from django.db import OperationalError

WAIT_SECONDS = 5.0


class DatabaseBusy(OperationalError):
    """Others have held a lock of the database for longer than WAIT_SECONDS; nothing was written.

    `code` and `detail` are what an API's caller gets.
    """

    code = "busy"
    detail = "Too much is being written right now. Try again."

    def __init__(self) -> None:
        super().__init__(self.detail)
