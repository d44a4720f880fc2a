"""An object as YAML text, the same for the same object: people compare it, so nothing is shared by alias and no line is broken."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML


def yaml_text(value: Mapping[str, Any]) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.width = 1 << 20
    writer.representer.ignore_aliases = lambda *_: True
    out = StringIO()
    writer.dump(dict(value), out)
    return out.getvalue()
