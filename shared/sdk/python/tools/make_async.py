"""Writes src/latchkey_sdk/_async_resources.py from _resources.py. A test holds the one to the other.

    python tools/make_async.py
"""

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src/latchkey_sdk"
HEAD = '"""Written from _resources.py by tools/make_async.py: do not edit."""\n'

RULES = [
    (r'^""".*?"""\n', HEAD),
    (r"\bclass (\w+):", r"class Async\1:"),
    (r"^( +)def (?!__init__)", r"\1async def "),
    (r"^def _pages", "async def _pages"),
    (r"\bself\._transport\.send\(", "await self._transport.send("),
    (r"\bself\._tokens\.(get|replace)\(", r"await self._tokens.\1("),
    (r"\bself\.(list|redeem)\(", r"await self.\1("),
    (r"\bload\(after\)$", "await load(after)"),
    (r"\bfor page in _pages", "async for page in _pages"),
    (r"\bCallable\[\[str \| None\], P\]", "Callable[[str | None], Awaitable[P]]"),
    (r"import Callable, Iterator,", "import AsyncIterator, Awaitable, Callable,"),
    (r"(?<!Async)\bIterator\[", "AsyncIterator["),
    (r"\b(Transport|TokenCache)\b", r"Async\1"),
]


def make_async(source: str) -> str:
    for pattern, replacement in RULES:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    return source


if __name__ == "__main__":
    text = make_async((PACKAGE / "_resources.py").read_text())
    (PACKAGE / "_async_resources.py").write_text(text)
