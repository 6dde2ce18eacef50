"""The files of deploy/ and the Containerfile, against their schemas and the settings there are.

Compose and Kubernetes themselves are not run here; tests/image runs the image.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.env import Environment
from config.local.run import GRANIAN_OPTIONS
from tests.servers import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose/compose.yaml"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IMAGE = f"statekeep:{VERSION}"
SETTINGS = {name.upper() for name in Environment.model_fields}

# Names in upper case with an underscore that are not Statekeep's.
FOREIGN = {
    "POSTGRES_USER": "PostgreSQL's image",
    "POSTGRES_PASSWORD": "PostgreSQL's image, and the URL of the database",
    "STATESTORE_CONNECTION": "the component of compose.yaml",
    "CRON_TZ": "cron's, which Debian's does not know",
}
FILES = (
    *(COMPOSE, DEPLOY / "compose/new_secrets.py", DEPLOY / "compose/components/statestore.yaml"),
    *DEPLOY.glob("kubernetes/*"),
    *DEPLOY.glob("schedule/*"),
)


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes/statekeep.yaml").read_text()))


def containers() -> Iterator[dict[str, Any]]:
    """Those of all pods of Kubernetes."""
    for thing in objects():
        template = thing["spec"].get("jobTemplate", thing)["spec"].get("template")
        if template is not None:
            yield from template["spec"]["containers"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_names__of_the_environment_are_those_that_there_are(file):
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", file.read_text()))
    assert named <= SETTINGS | set(FOREIGN)


def test_names__that_containers_are_given_are_settings():
    given = [
        *(set(s["environment"]) for s in compose().values() if s["image"] == IMAGE),
        *({variable["name"] for variable in c.get("env", ())} for c in containers()),
    ]
    assert len(given) > 5
    for names in given:
        assert names <= SETTINGS


def test_compose__is_valid():
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose__asks_for_what_new_secrets_prints():
    script = [sys.executable, str(DEPLOY / "compose/new_secrets.py")]
    printed = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    new = dict(line.split("=", 1) for line in printed.splitlines())
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text())) == set(new)
    given = {name.lower(): value for name, value in new.items() if name in SETTINGS}
    assert Environment(**given).stores == "external"


def test_compose__its_statekeep_migrates_first_and_has_a_read_only_root():
    services = compose()
    ours = [service for service in services.values() if service["image"] == IMAGE]
    assert len(ours) == 2
    assert all(service["read_only"] and service["tmpfs"] == ["/tmp"] for service in ours)
    migrated = services["statekeep"]["depends_on"]["migrate"]
    assert migrated == {"condition": "service_completed_successfully"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_kubernetes__is_valid(version):
    kinds = []
    for thing in objects():
        kubernetes_validate.validate(thing, version, strict=True)
        kinds.append(thing["kind"])
    assert {"Job", "PodDisruptionBudget", "NetworkPolicy"} <= set(kinds)


def test_kubernetes__is_not_root_and_has_a_read_only_root():
    for container in containers():
        assert container["image"] == IMAGE
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_kubernetes__what_selects_pods_finds_some():
    labels = {
        thing["spec"]["template"]["metadata"]["labels"]["app"]
        for thing in objects()
        if thing["kind"] in ("Deployment", "Job")
    }
    text = (DEPLOY / "kubernetes/statekeep.yaml").read_text()
    selected = set(re.findall(r"(?:selector|matchLabels): \{app: ([\w-]+)\}", text))
    for values in re.findall(r"key: app, operator: In, values: \[(.+)\]", text):
        selected |= set(values.split(", "))
    assert selected == labels


def test_kubernetes__state_workers_are_ready_without_the_database():
    ready = {
        thing["metadata"]["name"]: thing["spec"]["template"]["spec"]["containers"][0][
            "readinessProbe"
        ]["httpGet"]["path"]
        for thing in objects()
        if thing["kind"] == "Deployment"
    }
    assert ready == {"statekeep": "/readyz", "statekeep-state": "/readyz?for=state"}


def test_image__serves_as_make_run_does():
    text = (ROOT / "Containerfile").read_text()
    command = re.findall(r'"([^"]+)"', text[text.rindex("\nCMD ") :])
    assert command[:2] == ["granian", "config.asgi:application"]
    assert tuple(command[2:][: len(GRANIAN_OPTIONS)]) == GRANIAN_OPTIONS
    helped = [sys.executable, "-m", "granian", "--help"]
    understood = subprocess.run(helped, check=True, capture_output=True, text=True).stdout
    for name in re.findall(r"GRANIAN_\w+", text):
        assert name in understood


def test_image__has_what_it_needs_and_nothing_else():
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "tests",
        "benchmarks",
        "soak",
    }
    assert packages <= allowed
    assert all((ROOT / name).exists() for name in allowed)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    lines = tracked.splitlines()
    assert allowed <= {*lines, *(line.split("/")[0] for line in lines)} or not tracked


@pytest.mark.parametrize("script", ["image", "full"])
def test_ci__its_scripts_can_be_run(script):
    file = ROOT / ".ci" / script
    assert os.access(file, os.X_OK)
    subprocess.run(["bash", "-n", str(file)], check=True)
