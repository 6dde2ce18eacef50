"""Which daprd the tests take, and what they say when there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.sidecar import binary


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without daprd, Go, or a build from before."""
    monkeypatch.delenv("STATEKEEP_DAPRD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(binary, "GO_INSTALLER_FOLDER", str(tmp_path / "go"))
    monkeypatch.setattr(binary, "CACHE", tmp_path / "cache")
    (tmp_path / "bin").mkdir()
    return tmp_path


def _program(path: Path, script: str = "exit 0") -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_daprd__none_and_no_go(nothing_here: Path) -> None:
    with pytest.raises(binary.NoSidecar, match="no Go to build one"):
        binary.daprd()


def test_daprd__named(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = _program(nothing_here / "my-daprd")
    _program(nothing_here / "bin" / "daprd")
    monkeypatch.setenv("STATEKEEP_DAPRD", str(named))
    assert binary.daprd() == named
    monkeypatch.setenv("STATEKEEP_DAPRD", str(nothing_here / "missing"))
    with pytest.raises(binary.NoSidecar, match="STATEKEEP_DAPRD"):
        binary.daprd()


def test_daprd__on_the_path(nothing_here: Path) -> None:
    on_path = _program(nothing_here / "bin" / "daprd")
    assert binary.daprd() == on_path


def test_daprd__built_once(nothing_here: Path) -> None:
    log = nothing_here / "builds"
    # A Go that writes what it was told to build, and where.
    go = f'echo "$CGO_ENABLED $*" >> {log}; while [ "$1" != -o ]; do shift; done; : > "$2"'
    _program(nothing_here / "bin" / "go", go)
    first = binary.daprd()
    assert binary.daprd() == first
    assert first.parent == nothing_here / "cache"
    assert log.read_text().count("build -trimpath") == 1
    assert log.read_text().startswith("0 ")


def test_daprd__a_build_that_fails_says_why(nothing_here: Path) -> None:
    _program(nothing_here / "bin" / "go", "echo no such module >&2; exit 1")
    with pytest.raises(binary.NoSidecar, match="no such module"):
        binary.daprd()
    assert [path.name for path in (nothing_here / "cache").iterdir()] == ["lock"]


def make_test(args: str, tmp_path: Path) -> str:
    """What `make test` prints before pytest begins."""
    python = f'case "$*" in *pytest*) ;; *) exec {sys.executable} "$@";; esac'
    _program(tmp_path / "python", python)
    command = ["make", "-s", "test", f"ARGS={args}", f"BIN={tmp_path}", "-o", ".venv/dev"]
    environ = {**os.environ, "STATEKEEP_DAPRD": "/none"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_make_test__says_how_long_it_takes_and_what_becomes_of_the_sidecar(tmp_path: Path) -> None:
    printed = make_test("", tmp_path)
    assert "10 minutes" in printed
    assert "skipped: STATEKEEP_DAPRD=/none is no program" in printed


def test_make_test__of_a_part_builds_no_sidecar(tmp_path: Path) -> None:
    assert make_test("tests/common", tmp_path) == ""
