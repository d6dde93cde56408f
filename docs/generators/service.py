"""The HTTP reference: routes and shapes, from the service's OpenAPI document."""

from __future__ import annotations

from typing import Any

from docs.generators.tables import code, sentence, table
from firstrank.server.app import create_app
from firstrank.server.settings import Settings

_METHODS = ("get", "post", "put", "delete", "patch")


def document() -> dict[str, Any]:
    """The OpenAPI document of a service with its defaults. No model is loaded."""
    return create_app(Settings()).openapi()


def page() -> str:
    """Each route with its answers, then each shape with its fields."""
    found = document()
    return "\n\n".join(["## Routes", *_routes(found), "## Shapes", *(_shape(*one) for one in found["components"]["schemas"].items())])


def _routes(found: dict[str, Any]) -> list[str]:
    parts = []
    for path, operations in found["paths"].items():
        for method in (name for name in _METHODS if name in operations):
            operation = operations[method]
            parts += [f"### {method.upper()} {path}", sentence(operation.get("description") or operation.get("summary", ""))]
            answers = [(code(status), sentence(answer.get("description", ""))) for status, answer in operation["responses"].items()]
            headers = [(code(one["name"]), sentence(one.get("description", ""))) for one in operation.get("parameters", [])]
            parts += [table(("header or parameter", "what"), headers)] if headers else []
            parts.append(table(("answer", "when"), answers))
    return parts


def _shape(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (code(field), _kind(said), "yes" if field in required else "", sentence(said.get("description", "")))
        for field, said in schema.get("properties", {}).items()
    ]
    return "\n\n".join([f"### {name}", sentence(schema.get("description", "")), table(("field", "type", "required", "what"), rows)])


def _kind(said: dict[str, Any]) -> str:
    if "$ref" in said:
        name = said["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in said:
        return " or ".join(_kind(one) for one in said["anyOf"])
    if said.get("type") == "array":
        return f"list of {_kind(said['items'])}"
    return str(said.get("type", "any"))
