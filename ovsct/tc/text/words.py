"""The words of one command, each with its place, and the errors that name it."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from ovsct.errors import InputError

_WORD: Final = re.compile(r"\S+")


class Words:
    """A command line under the cursor. `file` and `line` only serve the errors."""

    __slots__ = ("_at", "_columns", "_words", "file", "line")

    def __init__(self, text: str, *, file: str | None = None, line: int | None = None) -> None:
        found = list(_WORD.finditer(text))
        self._words = [match.group() for match in found]
        self._columns = [match.start() + 1 for match in found]
        self._at = 0
        self.file = file
        self.line = line

    def __bool__(self) -> bool:
        return self._at < len(self._words)

    def peek(self) -> str:
        """The next word, or nothing at the end."""
        return self._words[self._at] if self else ""

    def take(self, expected: str) -> str:
        """The next word; `expected` says what should stand there."""
        if not self:
            last = self._words[-1] if self._words else None
            self.fail("the command ends too early", expected=expected, token=last)
        word = self._words[self._at]
        self._at += 1
        return word

    def skip(self, *words: str) -> bool:
        """Take the next word if it is one of `words`."""
        if self and self._words[self._at] in words:
            self._at += 1
            return True
        return False

    def choice(self, table: dict[str, int], what: str) -> int:
        """The next word, looked up in `table`."""
        word = self.take(what)
        if word not in table:
            self.fail(f"no such {what}", token=word, expected=", ".join(table))
        return table[word]

    def number(self, what: str, bits: int, base: int = 0) -> int:
        """The next word as an unsigned number of `bits` bits."""
        word = self.take(what)
        return self.to_number(word, what, bits, base)

    def to_number(self, word: str, what: str, bits: int, base: int = 0) -> int:
        """`word`, just taken, as an unsigned number of `bits` bits. Base 0 reads as C does."""
        try:
            # strtoul() takes a leading 0 as octal, which int() refuses in base 0.
            octal = base == 0 and len(word) > 1 and word[0] == "0" and word.isdigit()
            value = int(word, 8 if octal else base)
        except ValueError:
            value = -1
        if not 0 <= value < 1 << bits or "_" in word:
            self.fail(f"{what} is no number of {bits} bits", token=word)
        return value

    def fail(
        self, problem: str, *, token: str | None = None, expected: str | None = None,
        hint: str | None = None,
    ) -> NoReturn:  # fmt: skip
        """Raise the error for the word just taken (or the end of the line)."""
        column = None
        if self._columns:
            column = self._columns[min(max(self._at - 1, 0), len(self._columns) - 1)]
        raise InputError(
            problem, file=self.file, line=self.line, column=column, token=token,
            expected=expected, hint=hint,
        )  # fmt: skip
