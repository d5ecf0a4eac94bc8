"""The JSON Schema, the field tables and the example: none can differ from the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from app.settings import Settings, SettingsError, load_settings
from app.settings.reference import config_schema, field_sections, with_tables
from tests.unit.settings.environments import ADMIN_KEY, CLIENT_KEY, OTHER_KEY, OWN, yaml_file
from tests.unit.values import AZURE_KEY, OPENAI_KEY, ring

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
EXAMPLE: Final = DOCS / "examples" / "cloakroom.yaml"
SCHEMA_HINT: Final = "# yaml-language-server: $schema="

VARIABLES: Final[dict[str, str]] = {
    "REDIS_URL": "redis://cache:6379/0",
    "SIGNING_KEYS": ring("sign1"),
    "SEALING_KEYS": ring("seal1"),
    "ADMIN_KEYS": f"sre:{ADMIN_KEY}",
    "OPENAI_API_KEY": OPENAI_KEY,
    "AZURE_EAST_KEY": AZURE_KEY,
    "AZURE_OLDER_KEY": AZURE_KEY,
    "SHOP_KEY": CLIENT_KEY,
    "KIOSK_KEY": OTHER_KEY,
}
DEPLOYMENTS: Final = (
    f"deployments: {{oai: {{provider: openai, api_key: {OPENAI_KEY}}}}}\nmodels: {{voice: oai}}\n"
)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = config_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def accepts(validator: Draft202012Validator, text: str) -> bool:
    return bool(validator.is_valid(yaml.safe_load(text)))


def test_the_committed_schema_is_the_one_that_the_settings_make() -> None:
    written = json.loads((DOCS / "cloakroom.schema.json").read_text(encoding="utf-8"))
    assert written == config_schema(), "run: python -m app.settings.reference docs/cloakroom.schema.json"


def test_the_pages_tables_are_those_that_the_settings_make() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page == with_tables(page), "run: python -m app.settings.reference docs/configuration.md"
    for name in field_sections():
        assert f"<!-- fields: {name} -->" in page, f"the page has no table of {name}"


def test_every_field_is_described() -> None:
    schema = Settings.model_json_schema()
    sections = {"Settings": schema, **schema["$defs"]}
    assert not [
        f"{section}.{name}"
        for section, shape in sections.items()
        for name, field in shape["properties"].items()
        if not field.get("description")
    ]


def test_the_schema_knows_nothing_of_this_machine() -> None:
    assert "default" not in config_schema()["properties"]["replica"]


def test_the_example_loads_and_the_schema_takes_it(validator: Draft202012Validator) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    settings = load_settings({**VARIABLES, "CLOAKROOM_CONFIG": str(EXAMPLE)})
    assert settings.clients["kiosk"].models == ("assistant",)
    assert set(settings.deployments) == {"openai", "azure-east", "azure-sweden", "azure-older"}
    assert settings.production


def test_the_examples_first_line_leads_an_editor_to_the_schema() -> None:
    first = EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(SCHEMA_HINT)
    assert (EXAMPLE.parent / first.removeprefix(SCHEMA_HINT)).resolve() == DOCS / "cloakroom.schema.json"


@pytest.mark.parametrize(
    "more",
    [
        "port: 9000",
        "port: ${PORT}",
        "demo: ${DEMO}",
        "environment: ${STAGE}",
        "cors_origins: https://a.example, https://b.example",
        "cors_origins: [https://a.example]",
        "store_timeout_seconds: 0.5",
        "public_url: null",
        "clients: {kiosk: {api_key: '${KIOSK_KEY}', mints_per_minute: '${LIMIT}'}}",
        "clients: {x: {}}\nissuers: {team: {issuer: 'https://a.example', audience: a, users: {client: x}}}",
        "clients: {web: {}}\nissuers: {team: {issuer: 'https://a.example', audience: [a], "
        "leeway_seconds: '${LIMIT}', exchange: [{subject: 'a:*', client: web}]}}",
        "models: {voice: [oai], other: {deployments: [oai, {deployment: oai, weight: 2}]}}",
    ],
)
def test_what_the_settings_take_the_schema_takes(
    validator: Draft202012Validator, tmp_path: Path, more: str
) -> None:
    text = DEPLOYMENTS + more if not more.startswith("models") else f"{DEPLOYMENTS.splitlines()[0]}\n{more}"
    variables = {"PORT": "9000", "DEMO": "true", "STAGE": "development", "LIMIT": "5", "KIOSK_KEY": OTHER_KEY}
    load_settings({**OWN, **variables, "CLOAKROOM_CONFIG": yaml_file(tmp_path, text)})
    assert accepts(validator, text)


@pytest.mark.parametrize(
    "more",
    [
        "prot: 9000",
        "port: 70000",
        "port: many",
        "environment: prod",
        "clients: {kiosk: {models: 7}}",
        "issuers: {team: {issuer: 'https://sso.example', users: {client: web}}}",
        "issuers: {a: {issuer: 'https://a.example', audience: a, algorithms: [HS256], users: {client: x}}}",
        "clients: {kiosk: {api_key: 24CharactersAreEnoughHere, limit: 5}}",
        "handle_prefix: 'not this one'",
        "models: {voice: []}",
        "deployments: {oai: {provider: elsewhere, api_key: k}}",
        "store_timeout_seconds: 0",
    ],
)
def test_what_the_schema_refuses_the_settings_refuse_and_the_other_way_round(
    validator: Draft202012Validator, tmp_path: Path, more: str
) -> None:
    name = more.partition(":")[0]
    text = "\n".join([*(line for line in DEPLOYMENTS.splitlines() if not line.startswith(name)), more])
    assert not accepts(validator, text)
    with pytest.raises(SettingsError):
        load_settings({**OWN, "CLOAKROOM_CONFIG": yaml_file(tmp_path, text)})


def test_no_description_in_the_schema_is_marked_up() -> None:
    def descriptions(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("description"), str):
                yield node["description"]
            for value in node.values():
                yield from descriptions(value)
        elif isinstance(node, list):
            for item in node:
                yield from descriptions(item)

    found = list(descriptions(config_schema()))
    assert len(found) > 40
    assert not [text for text in found if "``" in text]
