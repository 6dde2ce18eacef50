"""Django's TEST_RUNNER: `manage.py test` runs the suite, which is pytest's."""

import importlib.util
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from config.local.generated import BASE_DIR


class PytestRunner:
    """Runs pytest in a process of its own: it has its own settings, stores and count."""

    def __init__(self, *, verbosity: int = 1, failfast: bool = False, **options: Any) -> None:
        self.options = [*(["-v"] if verbosity > 1 else []), *(["-x"] if failfast else [])]

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add none to Django's own: `make test ARGS=…` takes all of pytest's."""

    def run_tests(self, test_labels: Sequence[str], **options: Any) -> int:
        """Run the tests in these files or folders, or all; return pytest's exit status."""
        if importlib.util.find_spec("pytest") is None:
            sys.exit("statekeep: `make test` installs requirements-dev.txt, which has pytest")
        command = [sys.executable, "-m", "pytest", *self.options, *test_labels]
        return subprocess.run(command, cwd=BASE_DIR, check=False).returncode
