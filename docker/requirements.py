"""Print what the image installs: what serving imports where the kernel answers.

That is the project's requirements without those of the reference, which computes with NumPy and
mmh3, and of the command line. They are left out by name, so that whatever else the project comes to
require is in the image at once.
"""

import re
import sys
import tomllib
from pathlib import Path

_LEFT_OUT = {"numpy", "mmh3", "typer"}

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["serve"]]:
    if re.match(r"[\w-]+", requirement)[0] not in _LEFT_OUT:
        print(requirement)
