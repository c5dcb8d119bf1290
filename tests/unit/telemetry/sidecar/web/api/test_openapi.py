"""The document says what the routes do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from kit.office import OP_TOKEN
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tickglass.telemetry.sidecar.web.api.endpoints import ENDPOINTS
from tickglass.telemetry.sidecar.web.api.openapi import document

if TYPE_CHECKING:
    import httpx
    from kit.office import Office

FAST: Final = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def test_the_document_is_valid_openapi(api: httpx.Client) -> None:
    answer = api.get("openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    OpenAPIV31SpecValidator(answer.json()).validate()
    assert answer.content == document()


def test_it_has_every_route_and_every_act(api: httpx.Client) -> None:
    described = api.get("openapi.json").json()
    routes = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    assert routes == {(it.path, it.method) for it in ENDPOINTS}
    body = described["paths"]["/api/v1/acts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    acts = {"pause", "resume", "skip", "trigger", "cancel", "unlock", "drain", "undrain"}
    assert body["discriminator"]["mapping"].keys() == acts


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (it.method, it.path, mode)
        for it in ENDPOINTS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE
        or it.body is not None
        or it.query.__struct_fields__  # it can be asked wrongly
    ],
)
def test_whatever_is_asked_is_answered_as_the_document_says(
    opened: tuple[Office, str], method: str, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(msgspec.json.decode(document()))[path][method]
    statuses: set[int] = set()

    @FAST
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers_well(case: schemathesis.Case[Any]) -> None:
        case.headers["Authorization"] = f"Bearer {OP_TOKEN}"
        answer = case.call(base_url=opened[1])
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    answers_well()
    assert statuses & ({200, 409} if mode is GenerationMode.POSITIVE else {400})
