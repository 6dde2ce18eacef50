"""What the docs name is there, and what is there the docs name."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.env import Environment
from tests.servers import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(p for d in ("docs", "deploy") for p in (ROOT / d).rglob("*.md"))]
PAGES += [ROOT / "client/README.md", ROOT / "benchmarks/README.md"]
ERRORS, SETTINGS, COMMANDS = (
    (ROOT / "docs" / name).read_text() for name in ("errors.md", "configuration.md", "commands.md")
)
APPS = ("config", "overview", "connector_state", "chat")

NEVER_SENT = {
    "connector_state_error": "a base class",
    "chat_error": "a base class",
    "chat_store_error": "a base class",
    "chat_unavailable": "a base class: whoever raises it says what is away",
    "forbidden": "a base class; and Django's own refusal, which no API path raises",
    "conversation_missing": "between the store and the turns",
    "conversation_changed": "between the store and the turns",
    "conversation_refused": "between the store and the turns",
    "invalid_name": "commands and pages",
    "invalid_export": "commands and pages",
}
FILLED_IN = {"invalid_": ("invalid_namespace", "invalid_key")}  # in an f-string
SENT_BY_THE_FRAMEWORK = {"not_authenticated", "method_not_allowed"}
NOT_SET_BY_PEOPLE = {"STORES": "written by `make run`"}


def codes() -> set[str]:
    """Every code in the source: `code=`, a class's `code`, and the second of error_response."""
    found = {text for app in APPS for path in (ROOT / app).rglob("*.py") for text in codes_of(path)}
    return {code for text in found for code in FILLED_IN.get(text, (text,))}


def codes_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.keyword(arg="code", value=value):
                pass
            case ast.Assign(targets=[ast.Name("code")], value=ast.Constant() as value):
                pass
            case ast.Call(func=ast.Name("error_response"), args=[_, value, *_]):
                pass
            case _:
                continue
        strings = (part.value for part in ast.walk(value) if isinstance(part, ast.Constant))
        yield from (text for text in strings if isinstance(text, str))


def test_codes__are_documented_or_never_sent():
    documented = set(re.findall(r"`([a-z0-9_]+)`", ERRORS))
    assert (codes() | SENT_BY_THE_FRAMEWORK) - set(NEVER_SENT) - documented == set()
    assert set(NEVER_SENT) <= codes()


def test_settings__are_documented():
    named = set(re.findall(r"`([A-Z_]+)`", SETTINGS))
    assert {name.upper() for name in Environment.model_fields} - set(NOT_SET_BY_PEOPLE) <= named


def test_commands__are_in_the_table():
    found = {
        path.stem for app in APPS for path in (ROOT / app).glob("management/commands/[a-z]*.py")
    }
    assert found <= set(re.findall(r"^\| `(\w+) ?.*` \|", COMMANDS, re.MULTILINE))


def test_pages__are_short_and_a_link_leads_to_each():
    pages = [*(ROOT / "docs").glob("*.md")]
    texts = {page: page.read_text() for page in pages}
    assert [page.name for page in pages if len(texts[page].splitlines()) > 250] == []
    assert len(README.splitlines()) <= 160
    linked = README + "".join(texts.values())
    assert [page.name for page in pages if not re.search(rf"\b{page.name}[#)]", linked)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links__lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), target


def anchors(text: str) -> set[str]:
    kept = string.ascii_lowercase + string.digits + "-_"
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {"".join(c for c in t.lower().replace(" ", "-") if c in kept) for t in titles}


def test_schedule__cron_and_systemd_run_the_commands_of_its_table():
    folder = ROOT / "deploy/schedule"
    listed = re.findall(r"^\| `(\w+)` \|", (folder / "README.md").read_text(), re.MULTILINE)
    by_cron = re.findall(r'"\$IN (\w+)"', (folder / "crontab").read_text())
    by_systemd = [path.stem.partition("@")[2] for path in folder.glob("*.timer")]
    assert sorted(listed) == sorted(by_cron) == sorted(by_systemd)
    assert "(deploy/schedule/README.md)" in README
    assert "(../deploy/schedule/README.md)" in COMMANDS
