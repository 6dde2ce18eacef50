"""settings.env: what is written is what is read, whatever a value holds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config import env
from config.local import generated, run
from tests.environment import ENVIRONMENT

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,30}", fullmatch=True)


@pytest.fixture
def clean_environ(monkeypatch, tmp_path):
    """An environment as a newcomer has it, with an empty DATA_DIR."""
    for name in ("REDIS_URL", "DATABASE_URL", *ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return monkeypatch


@given(st.dictionaries(NAMES, st.text()))
@example({"CHAT_MODEL": "a # b"})
@example({"A": "\r\n'\"\\", "B": "${A}", "C": "\\n", "D": " spaced ", "E": ""})
def test_write__read_returns_the_same(tmp_path_factory, settings):
    file = tmp_path_factory.getbasetemp() / generated.FILE
    generated.write(file, settings)
    assert generated.read(file) == settings


def test_complete__keeps_what_people_wrote(tmp_path):
    file = tmp_path / generated.FILE
    file.write_text("CHAT_MODEL='a # b'\nJWT_ISSUER=${HOME}/x\n")
    for _ in range(2):
        generated.write(file, generated.complete(generated.read(file), embedded=True))
    settings = generated.read(file)
    assert (settings["CHAT_MODEL"], settings["JWT_ISSUER"]) == ("a # b", "${HOME}/x")


@pytest.mark.parametrize(
    "environ",
    [
        {"CHAT_STATE_STORE": "mongo"},
        {"DATABASE_URL": "sqlite:///x"},  # and no secrets
        {**ENVIRONMENT, "REDIS_URL": "localhost:6379"},
    ],
)
def test_run__what_stops_the_start_is_not_recorded(clean_environ, tmp_path, environ):
    file = tmp_path / generated.FILE
    run._load_and_record(file)
    before = file.read_text()
    with clean_environ.context() as bad:
        for name, value in environ.items():
            bad.setenv(name, value)
        with pytest.raises(SystemExit):
            run._load_and_record(file)
    assert file.read_text() == before
    assert env.load().stores == "embedded"


def test_run__what_stops_the_first_start_leaves_no_file(clean_environ, tmp_path):
    clean_environ.setenv("HMAC_SKEW_SECONDS", "a minute")
    with pytest.raises(SystemExit):
        run._load_and_record(tmp_path / generated.FILE)
    assert not (tmp_path / generated.FILE).exists()


def test_run__records_its_choice(clean_environ, tmp_path):
    file = tmp_path / generated.FILE
    environment = run._load_and_record(file)
    assert env.load() == environment
    for name, value in {**ENVIRONMENT, "DATABASE_URL": "sqlite:///x"}.items():
        clean_environ.setenv(name, value)
    assert run._load_and_record(file).stores == "external"
    assert generated.read(file)["STORES"] == "external"


@pytest.mark.parametrize("folder", ["a\nb", "a\x7f", "a\udcff", "~nobody-of-that-name/x"])
def test_path__a_data_dir_that_can_not_be_used_is_one_line(monkeypatch, folder):
    monkeypatch.setenv("DATA_DIR", folder)
    with pytest.raises(SystemExit, match=r"^statekeep: DATA_DIR[^\n]*$"):
        generated.path()


def test_run__generates_no_keys_beside_a_database_of_others(clean_environ, tmp_path):
    (tmp_path / generated.DATABASE_FILE).touch()
    with pytest.raises(SystemExit, match="has lost CONNECTOR_SECRET_KEYS"):
        run._load_and_record(tmp_path / generated.FILE)
    assert not (tmp_path / generated.FILE).exists()
