"""Flags, environment and a file become `Settings`, or one line for each mistake that names where it was made and what to do.

    flags (pydantic-settings' own reading of the command line)  win over
    environment (GROYNE_…)                                      wins over
    file (--config, GROYNE_CONFIG: YAML, read by `manifests` with lines)  wins over the defaults

Each source is read by itself, so that every value still knows where it came from when it turns out to be wrong. Nothing here ends the
process but `--help` and `--version`; `MistakeError` is for whoever does.
"""

import re
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource

from crds.nearest import did_you_mean
from daemon.settings import PREFIX, TOGETHER, MistakeError, Model, kebab, variable
from daemon.settings_words import default_text, explain, help_text, metavar
from manifests import files
from manifests.places import place_of
from manifests.yaml_nodes import Budget, Document, read_documents

_LINK = re.compile(r"(tcp|udp|sctp)://")
_LINK_NAMES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""What Kubernetes puts into a container's environment for each Service: one that is called `groyne-health` sets GROYNE_HEALTH_PORT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value as it was written, and how to name the place."""

    value: Any
    where: str


class Parser(ArgumentParser):
    """Says what is wrong as every source does, and does not guess what a shortened flag means."""

    known: tuple[str, ...] = ()

    def error(self, message: str) -> NoReturn:
        raise MistakeError(message.removeprefix("argument "))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].split("=", 1)[0]
            meant = did_you_mean(flag, self.known)
            self.error(f"{flag}: there is no such flag{meant}" if flag.startswith("-") else f"{flag}: only flags are read: what is it for?")
        return parsed


S = TypeVar("S", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[S]):
    """`warnings` are to be logged as soon as there is a log."""

    settings: S
    warnings: tuple[str, ...] = ()


def load(arguments: Sequence[str], model: type[S], *, program: str, description: str) -> Loaded[S]:
    """`program` and `description` are for the help."""
    return Sources(model=model, program=program, description=description).load(arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources(Generic[S]):
    model: type[S]
    program: str
    description: str

    @property
    def fields(self) -> dict[str, str]:
        """By the flag's name."""
        return {kebab(name): name for name in self.model.model_fields}

    @property
    def switches(self) -> frozenset[str]:
        return frozenset(name for name, field in self.fields.items() if self.model.model_fields[field].annotation is bool)

    def load(self, arguments: Sequence[str]) -> Loaded[S]:
        flags = self.from_flags(arguments)
        environment, warnings = self.from_environment()
        named = {**environment, **flags}
        given = {**self.from_file(named.get("config")), **named}
        try:
            settings = self.model(**{name: one.value for name, one in given.items()})
        except ValidationError as error:
            raise MistakeError(*(self.line(found, given) for found in error.errors(include_url=False))) from None
        kubeconfig = getattr(settings, "kubeconfig", None)
        if kubeconfig and not any(Path(part).expanduser().is_file() for part in str(kubeconfig).split(":")):
            raise MistakeError(f"{self.place('kubeconfig', given)}: there is no such file")
        return Loaded(settings=settings, warnings=warnings)

    def from_flags(self, arguments: Sequence[str]) -> dict[str, Given]:
        parser = Parser(
            prog=self.program,
            description=f"{self.description} Every flag can also be given in the environment or a file.",
            allow_abbrev=False,
        )
        parser.known = tuple(f"--{name}" for name in self.fields)
        parser.add_argument("--version", action="version", version=f"groyne {version('groyne')}")
        source = CliSettingsSource[Parser](
            self.model,
            cli_parse_args=[self.plain(argument) for argument in arguments],
            cli_kebab_case=True,
            cli_implicit_flags=True,
            root_parser=parser,
            parse_args_method=Parser.parse_args,
            add_argument_method=self.add_argument,
        )
        return {name: Given(value=value, where=f"--{kebab(name)}") for name, value in source().items()}

    def add_argument(self, parser: Any, *names: str, **options: Any) -> Any:
        field = self.fields[names[-1].lstrip("-")]
        if "metavar" in options:
            options["metavar"] = metavar(self.model, field)
        return parser.add_argument(*names, **{**options, "help": help_text(self.model, field).replace("%", "%%")})

    def plain(self, argument: str) -> str:
        """`--once=false`, as flags of Go programs are written."""
        name, _, value = argument.removeprefix("--").partition("=")
        if name not in self.switches or value.lower() not in {"true", "false"}:
            return argument
        return f"--{name}" if value.lower() == "true" else f"--no-{name}"

    def from_environment(self) -> tuple[dict[str, Given], tuple[str, ...]]:
        source = EnvSettingsSource(self.model)
        given = {
            name: Given(value=value, where=variable(name))
            for name, value in source().items()
            if not (isinstance(value, str) and _LINK.match(value))
        }
        names = (name.upper() for name in source.env_vars if name.upper().startswith(PREFIX))
        return given, tuple(unknown for name in sorted(names) if (unknown := self.unknown_variable(name)))

    def unknown_variable(self, name: str) -> str | None:
        known = [variable(field) for field in self.fields.values()]
        if name in known or _LINK_NAMES.fullmatch(name):
            return None
        return f"{name}: there is no such setting, it is not used{did_you_mean(name, known)}"

    def from_file(self, config: Given | None) -> dict[str, Given]:
        if config is None:
            return {}
        text = files.read(Path(config.value), files.MAX_FILE)
        if not isinstance(text, files.TextFile):
            raise MistakeError(f"{config.where}: {text.file}: {text.problem.message}")
        documents = list(read_documents(text.text, Budget()))
        if mistakes := [f"{text.file}:{each.line}: {each.problem.message}" for document in documents for each in document.mistakes]:
            raise MistakeError(*mistakes)
        if not documents:
            return {}
        if len(documents) > 1 or not isinstance(documents[0].data, dict):
            raise MistakeError(f"{text.file}: must hold one map of settings, such as `log-level: debug`")
        return self.from_map(text.file, documents[0])

    def from_map(self, file: str, document: Document) -> dict[str, Given]:
        places = {key: f"{file}:{place_of(document, (key,))[0]}: {key}" for key in document.data}
        if mistakes := [f"{place}: {unknown}" for key, place in places.items() if (unknown := self.unknown_key(str(key)))]:
            raise MistakeError(*mistakes)
        return {self.fields[key]: Given(value=value, where=places[key]) for key, value in document.data.items()}

    def unknown_key(self, key: str) -> str | None:
        if key == "config":
            return "one file does not name another: remove this line"
        return None if key in self.fields else f"there is no such setting{did_you_mean(key, self.fields)}"

    def line(self, found: Mapping[str, Any], given: Mapping[str, Given]) -> str:
        """`field[1]` where one entry of a list is wrong."""
        if found["type"] == TOGETHER:
            return f"{' and '.join(self.place(field, given) for field in found['ctx']['fields'])}: {found['ctx']['text']}"
        field, *inside = found["loc"]
        return f"{self.place(field, given)}{''.join(f'[{part}]' for part in inside)}: {explain(found)}"

    def place(self, field: str, given: Mapping[str, Given]) -> str:
        return given[field].where if field in given else f"{kebab(field)} (by default {default_text(self.model, field)})"
