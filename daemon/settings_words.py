"""The settings in words: one table for `--help` and for a page of docs, and what is wrong with a value.

Everything comes from the model, so that neither can say what the program does not do. A wrong value is not repeated, except where the model
itself does: somebody may have put a secret in the wrong place.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from crds.nearest import did_you_mean
from daemon.settings import REMEDIES, Model, kebab, variable

_WANTED = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be `true` or `false`",
    "string": "must be text",
    "tuple": "must be a list, or one text with commas",
    "path": "must be the path of a file",
}


def explain(found: Mapping[str, Any]) -> str:
    kind, context = str(found["type"]), found.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return REMEDIES[context["pattern"]]
    if kind == "literal_error":
        return one_of([word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(", ")], found["input"])
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context)
    wanted = next((text for name, text in _WANTED.items() if kind.startswith(f"{name}_")), None)
    return wanted or str(found["msg"])


_LIMITS = {
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_long": "may have {max_length} characters",
    "string_too_short": "must not be empty",
    "too_long": "may have {max_length} entries",
    "finite_number": "must be a finite number",
}


def one_of(words: list[str], value: Any) -> str:
    return f"must be one of {', '.join(words)}{did_you_mean(value, words) if isinstance(value, str) else ''}"


def extra(model: type[Model], field: str) -> dict[str, Any]:
    found = model.model_fields[field].json_schema_extra
    return found if isinstance(found, dict) else {}


def metavar(model: type[Model], field: str) -> str:
    """How a value is written: what the model says, else the words to choose from."""
    annotation = model.model_fields[field].annotation
    choices = "true|false" if annotation is bool else "|".join(map(str, get_args(annotation)))
    return str(extra(model, field).get("value", choices))


def default_text(model: type[Model], field: str) -> str:
    value = model.model_fields[field].default
    if "default" in extra(model, field):
        return str(extra(model, field)["default"])
    if value is None or value == "":
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def help_text(model: type[Model], field: str) -> str:
    return f"{model.model_fields[field].description} [{variable(field)}; by default {default_text(model, field)}]"


def table(model: type[Model]) -> str:
    """Markdown; `--config` names the file, so the file cannot hold it."""
    head = "| flag | environment | value | default | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in rows(model))


def rows(model: type[Model]) -> Iterator[tuple[str, ...]]:
    for field, info in model.model_fields.items():
        value = metavar(model, field).replace("|", "\\|")
        meaning = (info.description or "").replace("|", "\\|")
        yield f"`--{kebab(field)}`", f"`{variable(field)}`", value, default_text(model, field), meaning
