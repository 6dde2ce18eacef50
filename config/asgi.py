"""The ASGI application: what `make run` serves by granian, and uvicorn can."""

from config import serving  # noqa: F401 - first: it prepares the process
from config.door.application import Door

application = Door()
