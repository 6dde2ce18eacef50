"""How long a database's lock is waited for, and the error when that was too short."""

from django.db import OperationalError

from common.errors import ServiceError

WAIT_SECONDS = 5.0


class DatabaseBusy(ServiceError, OperationalError):
    """Others have held a lock of the database for longer than WAIT_SECONDS; nothing was written."""

    code = "busy"
    detail = "Too much is being written right now. Try again."
