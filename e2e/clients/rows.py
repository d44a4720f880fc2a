"""What a client test shows, as one row: printed, and kept in the file that GROYNE_CLIENT_ROWS names, if it names one."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "GROYNE_CLIENT_ROWS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`finds` lists the variables by which this client finds the proxy and trusts its certificates."""

    client: str
    version: str
    finds: str
    shown: str

    def report(self) -> None:
        print(f"{self.client} {self.version}: {self.shown} ({self.finds})")
        if os.environ.get(FILE):
            with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self)) + "\n")


def read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
