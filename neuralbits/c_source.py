"""Names, strings and arrays in C, as every export to C writes them."""

import re


def identifier(name: str) -> str:
    """Turn a file's stem into a C identifier that can't clash with the kernel's names.

    Example:
        >>> identifier("home-assistant-en"), identifier("2024"), identifier("neuralbits")
        ('home_assistant_en', 'm2024', 'm_neuralbits')
    """
    cleaned = re.sub(r"\W", "_", name.lower(), flags=re.ASCII)
    if cleaned.startswith("neuralbits"):
        return f"m_{cleaned}"
    return cleaned if cleaned[:1].isalpha() else f"m{cleaned}"


def c_bytes(content: bytes) -> str:
    """Write bytes as the elements of a C array, in lines.

    Example:
        >>> c_bytes(b"abc")
        '97,98,99'
    """
    numbers = [str(byte) for byte in content]
    rows = (",".join(numbers[start : start + 24]) for start in range(0, len(numbers), 24))
    return ",\n    ".join(rows)


def c_string(text: str) -> str:
    """Write a C string literal, with octal escapes for all but plain ASCII characters."""
    return '"' + re.sub(rb"[^\w .,:/-]", _octal, text.encode()).decode() + '"'


def _octal(byte: re.Match[bytes]) -> bytes:
    return b"\\%03o" % ord(byte[0])
