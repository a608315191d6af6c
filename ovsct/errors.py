"""The errors that ovsct tells people about: one line each, with the place and what to do.

Anything that is wrong with what the user gave (a flow, a capture, a scenario, an argument) is an
:class:`InputError`; the command line prints it and exits with 2. Everything else that escapes is a
defect of ovsct itself.
"""

from __future__ import annotations


class OvsctError(Exception):
    """Base of every error that ovsct raises on purpose."""


class InputError(OvsctError):
    """Something the user gave cannot be used as it is.

    Args:
        problem: what is wrong, in one line, without the place.
        file: name of the file it stands in, if any.
        line: 1-based line number, if any.
        column: 1-based column of the token, if any.
        token: the offending text itself, if any.
        expected: what would have been right, if that can be said.
        hint: what to do about it, if that is not obvious.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        token: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.column = column
        self.token = token
        self.expected = expected
        self.hint = hint
        super().__init__(str(self))

    def at(
        self, *, file: str | None = None, line: int | None = None, column: int | None = None
    ) -> InputError:
        """The same error with a place that only the caller knew; what is already known stays."""
        return type(self)(
            self.problem,
            file=self.file or file,
            line=self.line or line,
            column=self.column or column,
            token=self.token,
            expected=self.expected,
            hint=self.hint,
        )

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{place}: {self.problem}" if place else self.problem
        if self.token is not None and repr(self.token) not in text:
            text += f": {self.token!r}"
        if self.expected:
            text += f" (expected {self.expected})"
        if self.hint:
            text += f"; {self.hint}"
        return text
