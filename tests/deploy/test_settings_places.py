"""The settings of the gateway's code are those of its page, the compose file, `.env.example` and the chart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined

from gateway.settings import Settings
from tests.support import settings_places as places
from tests.support import settings_table
from tests.support.command_tree import ROOT

SETTINGS = set(places.variables())
COMPOSE: dict[str, Any] = yaml.safe_load(places.COMPOSE.read_text("utf-8"))
ENVIRONMENT: dict[str, Any] = COMPOSE["services"]["gateway"]["environment"]
EXAMPLE = places.ENV_EXAMPLE.read_text("utf-8")
LISTED = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_the_page_has_exactly_the_settings() -> None:
    page = settings_table.generated(settings_table.PAGE.read_text("utf-8"))
    assert set(re.findall(r"^\| `(BLINDSIGHT_\w+)` \|", page, re.MULTILINE)) == SETTINGS


def test_the_compose_file_has_exactly_the_settings() -> None:
    assert ENVIRONMENT.keys() == SETTINGS


def test_what_is_generated_is_up_to_date() -> None:
    for path, generated in (
        (places.COMPOSE, places.compose(places.COMPOSE.read_text("utf-8"))),
        (places.ENV_EXAMPLE, places.env_example()),
        (places.SCHEMA, places.schema(places.SCHEMA.read_text("utf-8"))),
    ):
        assert path.read_text("utf-8") == generated, f"{path}: python -m tests.support.settings_table"


def test_the_example_lists_what_compose_reads() -> None:
    passed = {name for name, value in ENVIRONMENT.items() if value is None}
    interpolated = set(re.findall(r"\$\{(\w+)", places.COMPOSE.read_text("utf-8")))
    assert LISTED.keys() == passed | interpolated | {"COMPOSE_PROFILES"}
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


def test_compose_reads_or_sets_each_setting() -> None:
    fixed = {name for name, value in ENVIRONMENT.items() if value is not None and "${" not in str(value)}
    assert fixed == places.set_by_compose()
    assert fixed.isdisjoint(LISTED)
    assert fixed | LISTED.keys() - {"COMPOSE_PROFILES"} == SETTINGS


@pytest.mark.parametrize("name", sorted(LISTED.keys() - {"COMPOSE_PROFILES"}))
def test_the_example_shows_the_default(name: str) -> None:
    field = Settings.model_fields[name.removeprefix("BLINDSIGHT_").lower()]
    in_compose = re.search(rf"\$\{{{name}:-([^}}]*)\}}", places.COMPOSE.read_text("utf-8"))
    if in_compose:
        assert LISTED[name] == in_compose[1]
    elif field.default is None or field.default is PydanticUndefined:
        assert LISTED[name] == ""
    else:
        given = Settings(_env_file=None, policy=Path("p"), **{name.removeprefix("BLINDSIGHT_").lower(): LISTED[name]})
        assert getattr(given, name.removeprefix("BLINDSIGHT_").lower()) == field.default


def test_gateways_accept_the_settings_of_the_compose_file() -> None:
    given = {
        name.removeprefix("BLINDSIGHT_").lower(): re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in ENVIRONMENT.items()
        if value is not None
    }
    settings = Settings(_env_file=None, **given)
    assert (settings.port, settings.tls_port, settings.metrics_port) == (8000, 8443, 9000)
    assert settings.enclaves.single
    for network in ("gateway", "localhost"):
        assert network in str(settings.hosts)


def test_the_chart_accepts_exactly_what_it_does_not_set() -> None:
    schema = json.loads(places.SCHEMA.read_text("utf-8"))
    names = schema["properties"]["gateway"]["properties"]["settings"]["propertyNames"]["enum"]
    own = places.set_by_chart()
    assert own <= SETTINGS
    assert {"BLINDSIGHT_ENCLAVE", "BLINDSIGHT_PORT", "BLINDSIGHT_HOSTS", "BLINDSIGHT_TLS_KEY"} <= own
    assert set(names) == SETTINGS - own
    assert len(names) == len(set(names))


def test_no_file_names_a_setting_that_does_not_exist() -> None:
    """In what operators copy: deployment files."""
    others = {"BLINDSIGHT_CACHE", "BLINDSIGHT_TOKEN"}
    found = {}
    for path in [ROOT / "Dockerfile", places.COMPOSE, *sorted((ROOT / "deploy").rglob("*"))]:
        if path.is_file() and path.suffix not in {".pyc", ".json"}:
            names = set(re.findall(r"\bBLINDSIGHT_[A-Z_]*[A-Z]\b", path.read_text("utf-8")))
            if names - SETTINGS - others:
                found[str(path.relative_to(ROOT))] = names - SETTINGS - others
    assert found == {}
