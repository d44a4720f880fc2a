"""Core objects that policy refers to: metadata, Secrets, ConfigMaps.

Only what is read is typed; a Secret's values show up in no repr, no error and no dump of the model's text.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from crds.base import Open, Tolerant
from crds.fields import AnnotationMap, Checked, Int64, Labels, Namespace, Str, Subdomain
from crds.names import data_key

DataKey = Annotated[Str, Checked(data_key)]


def _not_base64(text: str) -> str | None:
    try:
        base64.b64decode(_joined(text), validate=True)
    except (binascii.Error, ValueError):
        return "not valid base64: put plain text under `stringData` instead"
    return None


def _joined(text: str) -> str:
    """Go ignores line ends inside base64, and nothing else."""
    return text.replace("\r", "").replace("\n", "")


class ObjectMeta(Open):
    """What every object says of itself."""

    name: Subdomain
    namespace: Namespace | None = None
    labels: Labels = Field(default_factory=dict)
    annotations: AnnotationMap = Field(default_factory=dict, repr=False)
    uid: Str | None = None
    generation: Int64 | None = None
    resource_version: Str | None = None


class TemplateMeta(Open):
    """The metadata that a template gives its pods."""

    labels: Labels = Field(default_factory=dict)
    annotations: AnnotationMap = Field(default_factory=dict, repr=False)


class Secret(Tolerant):
    """A Secret: `values` is what counts."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Secret"] = "Secret"
    metadata: ObjectMeta
    type: Str = "Opaque"
    data: dict[DataKey, Annotated[Str, Checked(_not_base64)]] = Field(default_factory=dict, repr=False)
    string_data: dict[DataKey, Str] = Field(default_factory=dict, repr=False)

    @property
    def values(self) -> Mapping[str, bytes]:
        """Every key with its decoded value; `stringData` wins over `data`, as it does in the API server."""
        decoded = {key: base64.b64decode(_joined(text)) for key, text in self.data.items()}
        return decoded | {key: text.encode() for key, text in self.string_data.items()}


class ConfigMap(Tolerant):
    """A ConfigMap; `binaryData` is not read."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["ConfigMap"] = "ConfigMap"
    metadata: ObjectMeta
    data: dict[DataKey, Str] = Field(default_factory=dict)
