"""docs/openapi.yaml says what the code, the error table and the docs say."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from drf_spectacular.validation import validate_schema

from chat import errors as chat
from chat.api.schema import errors as chat_schema
from common.errors import ServiceError
from config.errors.answers import STATUS
from config.openapi.document import document
from connector_state import errors as state
from connector_state.api.schema import errors as state_schema
from tests.config.test_docs import (
    APPS,
    FILLED_IN,
    NEVER_SENT,
    ROOT,
    SENT_BY_THE_FRAMEWORK,
    codes,
)
from tests.openapi import DOCUMENT

CATALOGUES = {"connector_state": state_schema.ERRORS, "chat": chat_schema.ERRORS}
CLASSES = {"connector_state": state, "chat": chat}
GENERAL = {"method_not_allowed", "body_too_slow", "invalid_path", "server_error"}
TABLES = {"connector_state": "Connector state", "chat": "Chat"}  # headings of docs/errors.md


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return yaml.safe_load(DOCUMENT.read_bytes())


def test_document__is_what_the_code_describes():
    assert DOCUMENT.read_bytes() == document(), "run `make openapi`"


def test_document__is_valid_openapi(described):
    validate_schema(described)


def test_codes__each_one_is_in_the_answers_of_some_call(described):
    """405s are no call's: the document says of them in general."""
    enums = re.findall(r"'enum': \[([^]]*)\]", str(described["components"]["responses"]))
    answered = {code.strip("' ") for enum in enums for code in enum.split(",")}
    sent = (codes() | SENT_BY_THE_FRAMEWORK) - set(NEVER_SENT) - {"method_not_allowed"}
    assert sent - answered == set()


def test_codes__none_is_described_that_no_code_sends():
    files = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    source = "".join(path.read_text() for path in files if path.parent.name != "schema")
    described = {code for catalogue in CATALOGUES.values() for code in catalogue}
    sent = {code for code in described if f'"{code}"' in source}
    assert described - sent <= {*SENT_BY_THE_FRAMEWORK, *FILLED_IN["invalid_"]}


@pytest.mark.parametrize("app", CATALOGUES)
def test_codes__have_the_status_of_the_error_that_is_raised(app):
    raised = set(raised_in(app))
    assert len(raised) > 20
    for code, kind in raised:
        if code not in NEVER_SENT and (status := status_of(kind)) is not None:
            assert CATALOGUES[app][code][0] == status, code


def raised_in(app: str) -> Iterator[tuple[str, type[ServiceError]]]:
    """Each code of the app's errors, with the class that it comes with."""
    classes = {name: kind for name, kind in vars(CLASSES[app]).items() if isinstance(kind, type)}
    yield from ((kind.code, kind) for kind in classes.values())
    for path in (ROOT / app).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(name), keywords=keywords) if name in classes:
                    given = {word.arg: word.value for word in keywords}
                    if isinstance(code := given.get("code"), ast.Constant):
                        yield str(code.value), classes[name]


def status_of(kind: type) -> int | None:
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), None)


@pytest.mark.parametrize("app", CATALOGUES)
def test_codes__have_the_status_of_the_table_in_the_docs(app):
    errors = (ROOT / "docs/errors.md").read_text()
    table = errors.partition(f"\n## {TABLES[app]}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", table, re.MULTILINE)
    listed = {
        code: {int(status) for status in statuses.split(",")}
        for statuses, text in rows
        for code in re.findall(r"`([a-z_0-9]+)`", text)
        if code in CATALOGUES[app]
    }
    of_the_app = {code for code in CATALOGUES[app] if code not in GENERAL}
    assert of_the_app <= set(listed)
    for code, statuses in listed.items():
        assert CATALOGUES[app][code][0] in statuses, code
