"""For the documentation's site: a docstring's `Example:` is what griffe knows as `Examples:`."""

from typing import Any

import griffe


class Examples(griffe.Extension):  # type: ignore[misc]
    """Renames the section of each docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename it in one object's docstring."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
