"""A running daprd."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.servers import free_port, freeze, thaw, wait_until


class Sidecar:
    """A daprd on loopback with one component, on the same port through all its restarts.

    Args of the constructor:
        binary: from tests.sidecar.binary.daprd().
        folder: a new one, for its components and its log.
        component: the component's YAML, from a store of tests.sidecar.stores.
        app_id: part of the keys in the store, unless the component sets keyPrefix.
        api_token: if it shall ask for one.
        configuration: the YAML of a Configuration.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        component: str,
        app_id: str = "chat",
        api_token: str = "",
        configuration: str = "",
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "daprd.log"
        resources = folder / "components"
        resources.mkdir(parents=True)
        (resources / "statestore.yaml").write_text(component)
        self._environ = {**os.environ, "DAPR_HOST_IP": "127.0.0.1", "DAPR_API_TOKEN": api_token}
        self._command = [
            str(binary),
            *("--app-id", app_id, "--mode", "standalone", "--resources-path", str(resources)),
            *("--dapr-http-port", str(self.port), "--dapr-grpc-port", str(free_port())),
            *("--dapr-internal-grpc-port", str(free_port())),
            *("--dapr-internal-grpc-listen-address", "127.0.0.1"),
            *("--dapr-listen-addresses", "127.0.0.1", "--enable-metrics=false"),
            *("--dapr-graceful-shutdown-seconds", "1"),
        ]
        if configuration:
            (folder / "configuration.yaml").write_text(configuration)
            self._command += ["--config", str(folder / "configuration.yaml")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Sidecar":
        """Start it, and wait until its API is up."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._is_up_or_dead, what="the sidecar's start")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def _is_up_or_dead(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return True
        try:
            with urllib.request.urlopen(f"{self.url}/v1.0/healthz/outbound", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            return error.code != 500  # not allowed, or it asks for its token: it is up
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def _end(self, signum: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signum)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    def freeze(self) -> None:
        """From now on it takes connections and never answers."""
        assert self.process is not None
        freeze(self.process.pid)

    def thaw(self) -> None:
        """It goes on where it was."""
        assert self.process is not None
        thaw(self.process.pid)
