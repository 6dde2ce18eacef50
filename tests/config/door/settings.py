"""The product's settings, with the routes of tests.config.door.site."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.config.door.site"
