"""The commands that the docs show, run as a newcomer would paste them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.make_run import Run, clean_environ
from tests.servers import ROOT


class Newcomer:
    """A folder that looks like the checkout, beside a `make run` on another port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = Run(folder / "var")
        for name in (".venv", "manage.py", "client"):
            (folder / name).symlink_to(ROOT / name)

    def paste(self, *blocks: str) -> str:
        """Return what the blocks print, one after the other in one shell that stops at errors."""
        script = "\n".join(blocks).replace("http://127.0.0.1:8000", self.run.url)
        answer = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=clean_environ(DATA_DIR=str(self.folder / "var")),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.replace("\r\n", "\n")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield newcomer
    newcomer.run.stop()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S
    )


def test_api__the_shell_and_both_pieces_of_python(newcomer):
    (shell,) = blocks("api.md", "bash")
    client, by_hand = blocks("api.md", "python")
    (newcomer.folder / "sample.py").write_text(
        client.replace("http://127.0.0.1:8000", newcomer.run.url)
    )
    (newcomer.folder / "by_hand.py").write_text(
        f"{by_hand}\nprint(authorization('k', 's', 'GET', '/'))"
    )
    printed = newcomer.paste(shell, "PYTHONPATH=client .venv/bin/python sample.py")
    assert "HTTP/1.1 204" in printed
    assert '{"value":"deltaLink-token"}\n' in printed
    assert re.search(r"^curl .*m365/delta:user@contoso$", printed, re.M)
    assert "\nnext-token " in printed
    assert "DSX-HMAC key_id=k, " in newcomer.paste(".venv/bin/python by_hand.py")


def test_chat__the_quick_start_deletes_only_the_conversation_that_it_made(newcomer):
    quick_start, stream, *_ = blocks("chat.md", "sh")
    before_delete, _ = quick_start.split("# Delete it\n")
    listing = 'curl -s $URL/api/demo/conversations -H "Authorization: Bearer $TOKEN"'
    printed = newcomer.paste(
        before_delete, "FIRST=$ID", quick_start, stream, listing, 'echo " $FIRST"'
    )
    assert "HTTP/1.1 204" in printed
    assert "event: done" in printed
    listed, first = printed.splitlines()[-1].rsplit(" ", 1)
    ids = [each["conversation_id"] for each in json.loads(listed)["conversations"]]
    assert int(first) in ids
    assert len(ids) == 2  # the first one, and the stream's


def test_commands__the_line_of_cron(newcomer):
    (line,) = blocks("commands.md", "cron")
    command = line.split(None, 5)[5].replace("/opt/statekeep", str(newcomer.folder))
    assert newcomer.paste(command) == ""  # or cron would send a mail each night
    printed = newcomer.paste(command, 'echo "$out"')
    assert "0 conversations purged" in printed
