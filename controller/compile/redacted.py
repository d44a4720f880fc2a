"""Values of a Secret on their way from the compiler to the API server: whatever prints them shows `***`."""

from dataclasses import dataclass, field

MASK = "***"


@dataclass(frozen=True, slots=True)
class Redacted:
    """`reveal` is the only way to the bytes. Equality compares them, so that "nothing changed" can be told."""

    _value: bytes = field(repr=False)

    def reveal(self) -> bytes:
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """A pickle or a deep copy is one more way to print."""
        return (str, (MASK,))
