"""`python -m crds generate` writes the CRD files; `python -m crds check` fails when they differ from the models.

The only place in this package that touches files. Both take the directory as an optional second argument.
"""

import sys
from difflib import unified_diff
from pathlib import Path

from crds.schema import files

DEFAULT = Path(__file__).resolve().parent.parent / "kustomize" / "crds"
_SHOWN = 40


def generate(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {directory / name}\n")
    return 0


def check(directory: Path) -> int:
    drifted = [name for name, text in files().items() if _read(directory / name) != text]
    for name in drifted:
        sys.stderr.write(f"{directory / name} differs from the models; run `python -m crds generate`\n{_diff(directory, name)}")
    return 1 if drifted else 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _diff(directory: Path, name: str) -> str:
    lines = list(unified_diff(_read(directory / name).splitlines(), files()[name].splitlines(), "written", "models", lineterm="", n=1))
    more = [f"… {len(lines) - _SHOWN} more lines"] if len(lines) > _SHOWN else []
    return "".join(f"  {line}\n" for line in [*lines[:_SHOWN], *more])


def main(arguments: list[str]) -> int:
    commands = {"generate": generate, "check": check}
    if not arguments or arguments[0] not in commands or len(arguments) > 2:
        sys.stderr.write("usage: python -m crds generate|check [DIRECTORY]\n")
        return 2
    return commands[arguments[0]](Path(arguments[1]) if len(arguments) == 2 else DEFAULT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
