"""One figure compared with another, and the table of the targets."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    work: str
    against: str
    ours: str
    theirs: str
    ratio: float
    target: float
    smaller_is_better: bool
    unit: str = " ×"

    @property
    def met(self) -> bool:
        """Whether the ratio, not rounded, is within its target."""
        return self.ratio <= self.target if self.smaller_is_better else self.ratio >= self.target

    def cells(self) -> list[str]:
        """Return the cells of the line."""
        scale = 100 if self.unit == " %" else 1
        sign = "≤" if self.smaller_is_better else "≥"
        return [
            self.work,
            self.against,
            self.ours,
            self.theirs,
            f"{scale * self.ratio:.2f}{self.unit}",
            f"{sign} {scale * self.target:g}{self.unit}",
            "yes" if self.met else "**no**",
        ]


def table(what: str, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table in Markdown, its first column titled by what is compared."""
    titles = [what, "against", "neuralbits", "the other", "ratio", "target", "met"]
    lines = [titles, ["---"] * len(titles), *(row.cells() for row in rows)]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
