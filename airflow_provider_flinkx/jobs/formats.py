"""Forms of texts in a job that a schema names by `format`, and that can be judged without a driver or a server."""

from __future__ import annotations

import codecs
import re

import jsonschema

#: Letters of SimpleDateFormat that are understood (job.md §11).
DATE_LETTERS = frozenset("yMdEaHkKhmsSzZX")
_QUOTED = re.compile(r"'(?:[^']|'')*'")


def check_date_pattern(value: object) -> bool:
    """A pattern of Java's SimpleDateFormat, of the letters that are understood.

    Raises:
        ValueError: with the letters that are not.
    """
    letters = {character for character in _QUOTED.sub("", str(value)) if character.isascii() and character.isalpha()}
    unknown = sorted(letters - DATE_LETTERS)
    if unknown:
        letters_text = ", ".join(map(repr, unknown))
        raise ValueError(f"letter {letters_text} is not known in a date pattern; text stands in quotes")
    return True


def check_regex(value: object) -> bool:
    """A regular expression.

    Raises:
        ValueError: with what is wrong with it.
    """
    try:
        re.compile(str(value))
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return True


def check_encoding(value: object) -> bool:
    """A character set that Python knows.

    Raises:
        ValueError: it knows none of this name.
    """
    try:
        codecs.lookup(str(value))
    except LookupError:
        raise ValueError("names no character set that is known here") from None
    return True


FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-pattern", raises=ValueError)(check_date_pattern)
FORMATS.checks("regex", raises=ValueError)(check_regex)
FORMATS.checks("encoding", raises=ValueError)(check_encoding)
