"""``python -m neuralbits.app``: serve, as the environment says."""

import sys

try:
    from .server import serve
except ModuleNotFoundError as error:
    sys.exit(f"neuralbits: serving needs {error.name}: pip install 'neuralbits[serve]'")

serve()
