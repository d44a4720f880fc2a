"""A user's mistake as data.

Everything that reads what a user wrote (models, policy compiler, manifest loader) answers with Problems instead of raising.
This module knows neither files nor Kubernetes: whoever knows where an object came from adds the file and line to it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: a stable CamelCase reason, a sentence that names the remedy, and the field's path.

    `field` is written like `spec.rules[2].match[0].paths[1].value`; it is empty where the whole object is meant.
    `fatal` is False where the object still compiles (a missing Secret, an order-sensitive pair): such a problem is
    reported and counted, but does not keep the object from being in force.
    """

    reason: str
    message: str
    field: str = ""
    fatal: bool = True

    def below(self, parent: str) -> "Problem":
        """The same problem, its field read relative to `parent`."""
        if not self.field:
            return replace(self, field=parent)
        joint = "" if self.field.startswith("[") else "."
        return replace(self, field=f"{parent}{joint}{self.field}")
