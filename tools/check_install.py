"""Check an installed wheel: the kernel is compiled, and its answers equal the reference's.

The release workflow runs it for each wheel, outside the checkout, with the extra ``reference``.
"""

import json
import sys
from pathlib import Path

import numpy as np

import neuralbits
from neuralbits import artifact, loading, reference

vectors = Path(__file__).parents[1] / "tests" / "vectors" / "vectors.jsonl"
if Path(neuralbits.__file__).is_relative_to(vectors.parents[2]):
    sys.exit(f"{neuralbits.__file__} is the checkout's: run this outside of it")
if neuralbits.backend() != "kernel":
    sys.exit(f"{neuralbits.__file__} has no compiled kernel")
texts = [json.loads(line)["text"] for line in vectors.read_text("utf-8").splitlines()]
for name, path in loading.shipped().items():
    kernel = neuralbits.load(name)
    expected = reference.Reference(artifact.read(path)).scores(texts)
    if not np.array_equal(kernel.scores(texts), expected):
        sys.exit(f"{name}: the kernel's scores differ from the reference's")
print(f"neuralbits {neuralbits.__version__}: {len(texts)} texts have the reference's scores")
