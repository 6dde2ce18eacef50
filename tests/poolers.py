"""A real pgbouncer, as Debian has it, before a PostgreSQL."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.servers import free_port, wait_until

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class PgBouncer:
    """Transaction pooling over few connections; all other settings are pgbouncer's defaults."""

    def __init__(self, database_port: int, user: str, pool_size: int = 2) -> None:
        assert PROGRAM is not None
        self._folder = Path(tempfile.mkdtemp(prefix="statekeep-pgbouncer-"))
        self.port = free_port()
        self.url = f"postgresql://{quote(user)}@127.0.0.1:{self.port}/postgres"
        (self._folder / "users").write_text(f'"{user}" ""\n')
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={database_port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {self._folder / 'users'}\n"
            f"pool_mode = transaction\ndefault_pool_size = {pool_size}\n"
        )
        run_as = "nobody" if os.geteuid() == 0 else None  # it refuses root
        if run_as:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, pwd.getpwnam(run_as).pw_uid, -1)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, str(config)], user=run_as, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._answers, what="pgbouncer's start")
        except AssertionError:
            self.remove()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def remove(self) -> None:
        """Stop it and delete its files."""
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)
