"""config.settings under the tests' environment, for tools that import settings (mypy)."""

import os

from tests.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT, REDIS_URL="redis://127.0.0.1:1/0", DATABASE_URL="sqlite://:memory:")

from config.settings import *  # noqa: F403
