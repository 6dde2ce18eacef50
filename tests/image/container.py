"""Containers of an image that buildah has built, run by runc.

As a platform would run them: the root file system is read-only but for /tmp, and there are no
capabilities. They share the network of this machine.
"""

import json
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BUILDAH = ("buildah", "--storage-driver", "vfs")
SHARED_NAMESPACES = ("network", "cgroup")


class Image:
    """An image, unpacked for as long as this is open.

    Args of the constructor:
        name: as buildah knows it.
        folder: for the configuration of its containers and their logs.
        environ: of every container, beside the image's own.
    """

    def __init__(self, name: str, folder: Path, environ: dict[str, str]) -> None:
        inspected = json.loads(_buildah("inspect", "--type", "image", name))
        self.config: dict[str, Any] = inspected["Docker"]["config"]
        self.folder = folder
        self.environ = [*self.config["Env"], *(f"{k}={v}" for k, v in environ.items())]
        self._unpacked = _buildah("from", name)
        self.root = Path(_buildah("mount", self._unpacked))

    def close(self) -> None:
        """Remove what was unpacked."""
        _buildah("rm", self._unpacked)

    def start(self, *command: str, log: Path) -> "subprocess.Popen[bytes]":
        """Start a container with this command, or with the image's own; SIGTERM reaches it."""
        name = f"statekeep-{uuid.uuid4()}"
        bundle = self.folder / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._specification(bundle, command)))
        with log.open("ab") as output:
            return subprocess.Popen(
                ["runc", "run", "--bundle", str(bundle), name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command in a container; return its status and what it printed."""
        log = self.folder / f"{uuid.uuid4()}.log"
        return self.start(*command, log=log).wait(120), log.read_text()

    def _specification(self, bundle: Path, command: Sequence[str]) -> dict[str, Any]:
        """Return the runtime's configuration: runc's default, with this image's in it."""
        subprocess.run(["runc", "spec"], cwd=bundle, check=True)
        found: dict[str, Any] = json.loads((bundle / "config.json").read_text())
        user, group = self.config["User"].split(":")
        found["process"] |= {
            "terminal": False,
            "args": list(command or self.config["Cmd"]),
            "cwd": self.config["WorkingDir"],
            "env": self.environ,
            "user": {"uid": int(user), "gid": int(group)},
            "capabilities": {},
            "rlimits": [],
        }
        found["root"] = {"path": str(self.root), "readonly": True}
        found["mounts"] = [m for m in found["mounts"] if m["type"] != "cgroup"]
        found["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
        spaces = found["linux"]["namespaces"]
        found["linux"]["namespaces"] = [s for s in spaces if s["type"] not in SHARED_NAMESPACES]
        found["linux"].pop("resources", None)
        return found


def _buildah(*arguments: str) -> str:
    done = subprocess.run([*BUILDAH, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
