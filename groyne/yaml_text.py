"""An object as YAML text, the same for the same object."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML


def yaml_text(value: Mapping[str, Any]) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.width = 4096
    out = StringIO()
    writer.dump(dict(value), out)
    return out.getvalue()
