"""Describe the API as an OpenAPI 3.1 document, from the types that its routes use."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tickglass.telemetry.sidecar.web.api.endpoints import ENDPOINTS
from tickglass.telemetry.sidecar.web.problem_details import API, PROBLEM_TYPE, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.telemetry.sidecar.web.api.endpoints import Endpoint

__all__ = ["document"]

_REF: Final = "#/components/schemas/{name}"
_ALWAYS: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "The query or the body is wrong.",
    HTTPStatus.UNAUTHORIZED: "A token is needed.",
    HTTPStatus.NOT_FOUND: "There is no such store or job.",
    HTTPStatus.MISDIRECTED_REQUEST: "The request names another host, or comes from another site.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store does not answer.",
}
_OF_ACTS: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.FORBIDDEN: "The sidecar is read-only, or who asks is no operator, or the request is another site's.",
    HTTPStatus.CONFLICT: "It cannot be done as things stand; nothing was changed.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not sent as JSON.",
}


@cache
def document() -> bytes:
    """Return the document, as JSON."""
    types = [Problem, *(it.query for it in ENDPOINTS), *(it.answer for it in ENDPOINTS)]
    bodies = [it.body for it in ENDPOINTS if it.body is not None]
    schemas, components = msgspec.json.schema_components([*types, *bodies], ref_template=_REF)
    body_schemas = iter(schemas[len(types) :])
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        operation = _operation(endpoint, components)
        if endpoint.body is not None:
            content = {"application/json": {"schema": next(body_schemas)}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    for endpoint in ENDPOINTS:
        components.pop(endpoint.query.__name__, None)
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tickglass sidecar",
            "version": API.rsplit("/v", 1)[1],
            "description": "Act on the schedulers of a store, and read what stands, who asked for it, and what ran.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
    return msgspec.json.encode(described)


def _operation(endpoint: Endpoint, components: Mapping[str, Any]) -> dict[str, Any]:
    query = components[endpoint.query.__name__]
    problems = {**_ALWAYS, **(_OF_ACTS if endpoint.body is not None else {})}
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": _plain(schema)}
            for name, schema in query.get("properties", {}).items()
        ],
        "responses": {
            "200": _response("As asked.", "application/json", endpoint.answer),
            **{str(status.value): _response(words, PROBLEM_TYPE, Problem) for status, words in problems.items()},
        },
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a query's value: a parameter that is not given is absent, and never null."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return choices[0] if choices else schema


def _response(words: str, content_type: str, of: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=of.__name__)}
    return {"description": words, "content": {content_type: {"schema": schema}}}
