"""JSON schemas that every server with tools understands.

OpenAI's strict mode wants ``additionalProperties: false`` and every field required, and knows only part of
JSON Schema; other servers know less.  What is sent is therefore the smallest common subset: types, enums,
objects, lists, unions and references.  Everything else that a type says (bounds, patterns, formats) moves
into the description, where every model can read it, and stays enforced by the validator.
"""

from __future__ import annotations

import json
from typing import Any

SchemaNode = dict[str, Any]

_KEPT = ("type", "enum", "const", "description")
_PHRASES = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matching {}",
    "format": "format {}",
}
_TYPE_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}


class NotStrict(Exception):
    """A schema says something that strict mode has no words for."""


def canonical_json(value: object) -> str:
    """Compact JSON with sorted keys: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def constraints(node: SchemaNode) -> list[str]:
    """The bounds in a schema node, in words."""
    found = [phrase.format(node[key]) for key, phrase in _PHRASES.items() if key in node]
    if node.get("uniqueItems"):
        found.append("no item twice")
    return found


def strict_node(node: object, *, strict: bool = True) -> SchemaNode:
    """Rewrite one schema node, and everything under it, into the common subset.

    With ``strict=False`` free-form objects and values are let through as they are.

    Raises:
        NotStrict: the node cannot be said in strict mode.
    """
    if not isinstance(node, dict) or not (node.keys() & {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"}):
        if strict:
            raise NotStrict("accepts any value")
        return {}
    result: SchemaNode = {key: node[key] for key in _KEPT if key in node}
    if "const" in result and "type" not in result:
        result["enum"] = [result.pop("const")]
    words = constraints(node)
    if words:
        described = result.get("description", "")
        result["description"] = f"{described} ({', '.join(words)})".strip()
    alternatives = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
    if alternatives:
        union = _union([strict_node(each, strict=strict) for each in alternatives])
        descriptions = [each["description"] for each in (result, union) if "description" in each]
        result |= union | ({"description": " ".join(descriptions)} if descriptions else {})
    if "$ref" in node:
        # Siblings of "$ref" are not allowed in strict mode, so a description needs a union of one around it.
        result |= {"anyOf": [{"$ref": node["$ref"]}]} if result else {"$ref": node["$ref"]}
    if node.get("type") == "array":
        result |= _array(node, strict=strict)
    if node.get("type") == "object":
        result |= _object(node, strict=strict)
    if "$defs" in node:
        result["$defs"] = {name: strict_node(each, strict=strict) for name, each in node["$defs"].items()}
    return result


def _union(alternatives: list[SchemaNode]) -> SchemaNode:
    """``anyOf``, or a list of types when it only makes one plain type nullable (fewer tokens)."""
    if len(alternatives) == 2 and alternatives[1] == {"type": "null"}:
        first = alternatives[0]
        if isinstance(first.get("type"), str) and not first.keys() & {"enum", "const", "properties"}:
            return first | {"type": [first["type"], "null"]}
    return {"anyOf": alternatives}


def _array(node: SchemaNode, *, strict: bool) -> SchemaNode:
    if "prefixItems" in node:
        if strict:
            raise NotStrict("is a tuple with a type for each place; a list of one type, or a model, can be shown")
        return {"prefixItems": [strict_node(each, strict=False) for each in node["prefixItems"]]}
    return {"items": strict_node(node.get("items"), strict=strict)}


def _object(node: SchemaNode, *, strict: bool) -> SchemaNode:
    properties = node.get("properties")
    if properties is None and node.get("additionalProperties") is not False:
        if strict:
            raise NotStrict("is an object with free keys; name the keys in a pydantic model or a TypedDict")
        return {"additionalProperties": True}
    properties = properties or {}
    return {
        "properties": {name: strict_node(each, strict=strict) for name, each in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def allowed(node: object, definitions: SchemaNode, depth: int = 0) -> str:
    """What a schema node accepts, in a few words: ``an integer (at least 0) or null``."""
    if not isinstance(node, dict) or depth > 4:
        return "a value"
    if "$ref" in node:
        return allowed(definitions.get(str(node["$ref"]).rsplit("/", 1)[-1]), definitions, depth + 1)
    if "enum" in node:
        return "one of " + ", ".join(canonical_json(each) for each in node["enum"])
    if "const" in node:
        return canonical_json(node["const"])
    alternatives = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
    if alternatives:
        return " or ".join(dict.fromkeys(allowed(each, definitions, depth + 1) for each in alternatives))
    name = _TYPE_NAMES.get(str(node.get("type")), "a value")
    if node.get("type") == "array" and "items" in node:
        name = f"a list, each item {allowed(node['items'], definitions, depth + 1)}"
    if node.get("type") == "object" and node.get("properties"):
        name = f"an object with the keys {', '.join(node['properties'])}"
    words = constraints(node)
    return f"{name} ({', '.join(words)})" if words else name


def node_at(schema: SchemaNode, location: tuple[int | str, ...]) -> object:
    """The node that a validation error's location points to, as far as it can be followed."""
    definitions = schema.get("$defs", {})
    node: object = schema
    for step in location:
        for candidate in _candidates(node, definitions):
            if isinstance(step, int) and "items" in candidate:
                node = candidate["items"]
                break
            if isinstance(step, str) and step in candidate.get("properties", {}):
                node = candidate["properties"][step]
                break
    return node


def _candidates(node: object, definitions: SchemaNode, depth: int = 0) -> list[SchemaNode]:
    """The node behind references and unions."""
    if not isinstance(node, dict) or depth > 4:
        return []
    if "$ref" in node:
        return _candidates(definitions.get(str(node["$ref"]).rsplit("/", 1)[-1]), definitions, depth + 1)
    found = [node]
    for each in node.get("anyOf") or node.get("oneOf") or ():
        found += _candidates(each, definitions, depth + 1)
    return found
