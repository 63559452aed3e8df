"""Check that tracked files use the words of docs/style.md; `make lint` runs it.

python tools/check_words.py [FILE]...     by default, all tracked text files but the generated ones
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STYLE = Path("docs/style.md")
# Their next regeneration takes the words of the code that writes them.
GENERATED = (
    "artifacts/*.md",
    "benchmarks/KERNEL.md",
    "benchmarks/RESULTS.md",
    "benchmarks/SERVICE.md",
)
SUFFIXES = {".py", ".pyi", ".c", ".h", ".mjs", ".mts", ".html", ".md", ".toml", ".yaml", ".yml", ""}


def vocabulary(style: str) -> dict[str, str]:
    """Read the table: each refused word and its replacement."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", style, re.MULTILINE)
    return {word: better for words, better in rows[1:] for word in words.split(", ")}


def findings(text: str, words: dict[str, str]) -> list[tuple[int, str, str]]:
    """Find refused words: the line, the word, and its replacement."""
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    return [
        (number, match[0], words[match[0].lower()])
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(line)
    ]


def main() -> None:
    """Print each finding as ``file:line: word``; exit with 1 if there is one."""
    words = vocabulary((ROOT / STYLE).read_text(encoding="utf-8"))
    excluded = [f":!{pattern}" for pattern in ("fuzz/corpus", *GENERATED)]
    tracked = subprocess.check_output(
        ["git", "ls-files", "--", *excluded], cwd=ROOT, text=True
    ).splitlines()
    failed = False
    for path in map(Path, sys.argv[1:] or tracked):
        file = ROOT / path
        if path == STYLE or path.suffix not in SUFFIXES or file.is_symlink():
            continue
        for line, word, better in findings(file.read_text(encoding="utf-8"), words):
            failed = True
            print(f"{path}:{line}: {word!r}: write {better!r}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
