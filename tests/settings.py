"""config.settings under the tests' environment, for tools that import settings (mypy)."""

import os

from tests.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT, REDIS_URL="redis://127.0.0.1:1/0", DATABASE_URL="sqlite:///none")

from config.settings import *  # noqa: F403

DATABASES["default"]["NAME"] = ":memory:"  # noqa: F405  # these tools write nothing
