#!/usr/bin/env python3
"""Writes src/vivarium/models.py from openapi/openapi.json: a TypedDict for each object, a Literal for each list of words.

    generate.py            write the file anew
    generate.py --check    1, and a word on what to do, where the file is not what would be written

It needs nothing but Python. It knows JSON Schema as the server writes it, and stops at any keyword that it does not know.
"""

from __future__ import annotations

import json
import keyword
import sys
import textwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OPENAPI = HERE.parent.parent / "openapi" / "openapi.json"
MODELS = HERE / "src" / "vivarium" / "models.py"
REF = "#/components/schemas/"
KNOWN = {
    "$ref", "type", "description", "properties", "required", "items", "oneOf", "anyOf", "allOf", "enum", "const", "format",
    "additionalProperties", "propertyNames", "default", "example", "examples", "title", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems", "pattern", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum", "deprecated",
    "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "discriminator",
}  # fmt: skip
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
HEAD = '''\
"""The server's shapes, as dictionaries with known keys.

Written by generate.py from openapi/openapi.json; changes made here by hand are lost.
"""

import sys
from typing import Any, Literal

if sys.version_info >= (3, 11):
    from typing import NotRequired, TypeAlias, TypedDict
else:
    from typing_extensions import NotRequired, TypeAlias, TypedDict
'''
Schema = dict[str, Any]


class Models:
    """The definitions made so far, by name; inline objects get a name from where they stand."""

    def __init__(self, schemas: dict[str, Schema]) -> None:
        self.schemas = schemas
        self.by_shape = {shape(schema): name for name, schema in reversed(list(schemas.items())) if "properties" in schema}
        self.done: dict[str, str] = {}

    def text(self) -> str:
        for name, schema in self.schemas.items():
            self.define(name, schema)
        names = ",\n".join(f'    "{name}"' for name in sorted(self.done))
        return HEAD + f"\n__all__ = [\n{names},\n]\n" + "".join("\n\n" + self.done[name] for name in sorted(self.done))

    def define(self, name: str, schema: Schema) -> None:
        if name in self.done:
            raise SystemExit(f"two schemas would be called {name}")
        merged = self.merged(schema)
        if merged is not None and merged.get("properties"):
            self.done[name] = ""
            self.done[name] = self.typed_dict(name, merged)
        else:
            self.done[name] = comment(schema) + f'{name}: TypeAlias = "{self.hint(schema, name)}"\n'

    def merged(self, schema: Schema) -> Schema | None:
        """An object with its fields, those of every part of an `allOf` included; nothing where a part is no object."""
        if "$ref" in schema and not schema.get("properties"):
            return self.merged(self.schemas[schema["$ref"].removeprefix(REF)])
        parts = [self.merged(part) for part in schema.get("allOf", [])]
        if "oneOf" in schema or "anyOf" in schema or any(part is None for part in parts):
            return None
        if not parts and schema.get("type") != "object":
            return None
        whole: Schema = {"properties": {}, "required": [], "description": schema.get("description", "")}
        for part in [*parts, schema]:
            assert part is not None
            whole["properties"].update(part.get("properties", {}))
            whole["required"] += part.get("required", [])
        return whole

    def typed_dict(self, name: str, schema: Schema) -> str:
        fields = []
        for key, value in sorted(schema["properties"].items()):
            hint = self.hint(value, name + camel(key))
            # only the inner type is quoted: Python itself must see which keys may be missing
            fields.append((key, f'"{hint}"' if key in schema["required"] else f'NotRequired["{hint}"]', value))
        if all(key.isidentifier() and not keyword.iskeyword(key) for key, _, _ in fields):
            lines = [f"{comment(value, '    ')}    {key}: {hint}\n" for key, hint, value in fields]
            return f"class {name}(TypedDict):\n{docstring(schema)}" + "".join(lines)
        lines = [f'        "{key}": {hint},\n' for key, hint, _ in fields]
        return f'{comment(schema)}{name} = TypedDict(\n    "{name}",\n    {{\n{"".join(lines)}    }},\n)\n'

    def hint(self, schema: Schema, place: str) -> str:
        unknown = set(schema) - KNOWN
        if unknown:
            raise SystemExit(f"{place}: generate.py does not know {', '.join(sorted(unknown))}")
        if "$ref" in schema:
            return str(schema["$ref"].removeprefix(REF))
        if "enum" in schema or "const" in schema:
            words = schema.get("enum", [schema.get("const")])
            return f"Literal[{', '.join(literal(word) for word in words)}]"
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                parts = [self.hint(part, place + choice_name(part, number)) for number, part in enumerate(schema[choice])]
                return union(parts)
        if "allOf" in schema:
            return self.inline(schema, place)
        kinds = schema.get("type", [])
        return union([self.one(kind, schema, place) for kind in ([kinds] if isinstance(kinds, str) else kinds)])

    def one(self, kind: str, schema: Schema, place: str) -> str:
        if kind == "array":
            items = schema.get("items")
            return f"list[{self.hint(items, place + 'Item') if isinstance(items, dict) else 'Any'}]"
        if kind != "object":
            return PLAIN[kind]
        if schema.get("properties"):
            return self.inline(schema, place)
        values = schema.get("additionalProperties")
        return f"dict[str, {self.hint(values, place + 'Value') if isinstance(values, dict) else 'Any'}]"

    def inline(self, schema: Schema, place: str) -> str:
        """The name of an object that stands inside another: that of the component it repeats, or one from its place."""
        known = self.by_shape.get(shape(schema))
        if known:
            return known
        merged = self.merged(schema)
        if merged is None:
            raise SystemExit(f"{place}: an allOf of something that is no object")
        self.define(place, merged | {"type": "object"})
        return place


def shape(schema: Schema) -> str:
    return json.dumps({key: schema.get(key) for key in ("properties", "required", "allOf")}, sort_keys=True)


def union(hints: list[str]) -> str:
    """`None` last, each once; nothing known is anything."""
    once = list(dict.fromkeys(hints))
    ordered = [hint for hint in once if hint != "None"] + [hint for hint in once if hint == "None"]
    return "Any" if not ordered or "Any" in ordered else " | ".join(ordered)


def literal(word: object) -> str:
    return f"'{word}'" if isinstance(word, str) else repr(word)


def camel(key: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in "".join(c if c.isalnum() else " " for c in key).split())


def choice_name(schema: Schema, number: int) -> str:
    """What tells one inline choice from the next: the word of its tag, or its only required field, or its number."""
    for part in [schema, *schema.get("allOf", [])]:
        for key in ("kind", "type"):
            words = part.get("properties", {}).get(key, {}).get("enum", [])
            if len(words) == 1:
                return camel(str(words[0]))
    required = schema.get("required", [])
    return camel(required[0]) if len(required) == 1 else str(number) if "properties" in schema else ""


def comment(schema: Schema, indent: str = "") -> str:
    return "".join(f"{indent}# {line}".rstrip() + "\n" for line in wrapped(schema, 110))


def docstring(schema: Schema) -> str:
    lines = wrapped(schema, 110)
    if not lines:
        return ""
    text = "\n    ".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'    """{text}"""\n\n' if not text.endswith('"') else f'    """{text} """\n\n'


def wrapped(schema: Schema, width: int) -> list[str]:
    paragraphs = str(schema.get("description", "")).strip().splitlines()
    return [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, width) or []]


def main() -> int:
    schemas = json.loads(OPENAPI.read_text(encoding="utf-8"))["components"]["schemas"]
    text = Models(schemas).text()
    if sys.argv[1:] == ["--check"]:
        if MODELS.exists() and MODELS.read_text(encoding="utf-8") == text:
            return 0
        print(f"{MODELS} is not what openapi/openapi.json says; run clients/python/generate.py and commit", file=sys.stderr)
        return 1
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    MODELS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
