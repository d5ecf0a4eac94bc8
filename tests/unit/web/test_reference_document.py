"""The reference as a document: whole, valid, used up, and of one mind with the table of errors."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

import app.errors
from app.errors import CloakroomError
from app.web.reference import document as module
from app.web.reference.document import (
    PARTS,
    DocumentError,
    check,
    load_document,
    merge,
    operations,
    references,
    resolve,
)
from tests.support.conformance import validator

REFERENCE: Final = load_document(None)
ERRORS: Final = {
    kind.code: kind
    for _, kind in inspect.getmembers(app.errors, inspect.isclass)
    if issubclass(kind, CloakroomError)
}
# Of no operation: they are the answers where none is.
NOWHERE: Final = {"not_found", "method_not_allowed"}
TABLE: Final = Path(__file__).parents[3] / "docs" / "errors.md"


def test_it_is_openapi_3_1_by_the_initiatives_own_schema() -> None:
    errors = [error.message for error in Draft202012Validator(OPENAPI_31).iter_errors(dict(REFERENCE))]
    assert errors == []


def test_every_part_is_read() -> None:
    folder = Path(module.__file__).parent / "parts"
    assert {path.stem for path in folder.iterdir()} == set(PARTS)


def test_every_component_is_used() -> None:
    used = set(references(REFERENCE))
    for kind, things in REFERENCE["components"].items():
        if kind != "securitySchemes":
            assert {f"#/components/{kind}/{name}" for name in things} - used <= {
                "#/components/schemas/ErrorCode"
            }
    schemes = {
        name
        for _, _, operation in operations(REFERENCE)
        for choice in operation.get("security", [])
        for name in choice
    }
    assert schemes == REFERENCE["components"]["securitySchemes"].keys()


def test_the_public_url_is_the_server_and_changes_nothing_else() -> None:
    document = load_document("https://voice.example.com")
    assert [server["url"] for server in document["servers"]] == ["https://voice.example.com"]
    assert {**document, "servers": REFERENCE["servers"]} == dict(REFERENCE)
    assert [server["url"] for server in REFERENCE["servers"]] == ["/"]


# --- examples --------------------------------------------------------------------------------------


def _examples(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Every example with the schema beside it."""
    if isinstance(value, Mapping):
        if "schema" in value:
            given = [value["example"]] if "example" in value else []
            for example in given + [item["value"] for item in value.get("examples", {}).values()]:
                yield path, value["schema"], example
        elif isinstance(value.get("examples"), list):
            for example in value["examples"]:
                yield path, {name: item for name, item in value.items() if name != "examples"}, example
        for name, inner in value.items():
            if name not in ("example", "examples"):
                yield from _examples(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _examples(inner, f"{path}/{number}")


EXAMPLES: Final = list(_examples(REFERENCE))


def test_there_are_examples_of_every_kind() -> None:
    places = " ".join(path for path, _, _ in EXAMPLES)
    assert len(EXAMPLES) > 40
    for part in ("requestBody", "responses/200", "components/responses", "headers", "parameters", "schemas"):
        assert part in places, part


@pytest.mark.parametrize(("path", "schema", "example"), EXAMPLES, ids=[path for path, _, _ in EXAMPLES])
def test_an_example_is_what_it_is_an_example_of(path: str, schema: Mapping[str, Any], example: Any) -> None:
    assert [error.message for error in validator(schema).iter_errors(example)] == []


# --- errors ----------------------------------------------------------------------------------------


def _told(response: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The (code, type) pairs of ours that an answer may have."""
    answer = resolve(REFERENCE, response["$ref"]) if "$ref" in response else response
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    for variant in schema.get("anyOf", [schema]):
        error = variant.get("properties", {}).get("error", {}).get("properties", {})
        for code in error.get("code", {}).get("enum", ()):
            yield code, error["type"]["const"]


def test_the_codes_are_those_of_the_code_and_of_the_table_for_people() -> None:
    codes = REFERENCE["components"]["schemas"]["ErrorCode"]
    assert set(codes["enum"]) == ERRORS.keys()
    assert set(re.findall(r"^\| `([a-z_]+)` \|", codes["description"], re.M)) == ERRORS.keys()
    told = {
        code
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
        for code in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }
    assert told == ERRORS.keys()


def test_every_code_stands_under_its_status_and_with_its_type() -> None:
    seen = set()
    for path, method, operation in operations(REFERENCE):
        for status, response in operation["responses"].items():
            for code, kind in _told(response):
                where = f"{method} {path} {status} {code}"
                assert (str(ERRORS[code].status), ERRORS[code].type) == (status, kind), where
                seen.add(code)
    assert seen == ERRORS.keys() - NOWHERE


def test_every_operation_tells_what_the_gate_may_answer() -> None:
    for _, _, operation in operations(REFERENCE):
        told = {code for response in operation["responses"].values() for code, _ in _told(response)}
        assert {"origin_not_allowed", "host_not_allowed", "overloaded", "internal_error"} <= told, operation[
            "operationId"
        ]


# --- breaches --------------------------------------------------------------------------------------


def _broken(change: str) -> dict[str, Any]:
    broken = copy.deepcopy(dict(REFERENCE))
    operation = broken["paths"]["/livez"]["get"]
    match change:
        case "dangling":
            operation["responses"]["403"] = {"$ref": "#/components/responses/Nothing"}
        case "elsewhere":
            operation["responses"]["403"] = {"$ref": "https://example.com/schema.json"}
        case "twice":
            operation["operationId"] = "readyz"
        case "tag":
            operation["tags"] = ["Nothing"]
        case "summary":
            del operation["summary"]
    return broken


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("dangling", "leads nowhere"),
        ("elsewhere", "no reference into this document"),
        ("twice", "operationId readyz is there twice"),
        ("tag", "tag that is not in tags"),
        ("summary", "GET /livez has no summary"),
    ],
)
def test_a_broken_document_stops_the_start(change: str, complaint: str) -> None:
    check(REFERENCE)
    with pytest.raises(DocumentError, match=complaint):
        check(_broken(change))


@pytest.mark.parametrize(
    "part", [{"paths": {"/livez": {}}}, {"components": {"schemas": {"Error": {}}}}, {"openapi": "3.1.0"}]
)
def test_what_two_parts_have_is_refused(part: Mapping[str, Any]) -> None:
    with pytest.raises(DocumentError, match="is there twice"):
        merge(iter([REFERENCE, part]))
