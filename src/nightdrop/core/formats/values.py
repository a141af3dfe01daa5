# SPDX-License-Identifier: Apache-2.0
r"""The exact rules for one cell: what is accepted, and its canonical form.

`canonical` decides, and nothing else does. `intake` looks for cells that are surely their
own canonical form, a whole column at a time and with the patterns declared here, and
asks about the others. So that both can use one text, every pattern of a whole cell is
anchored, has no look-around and no ``\d``, and means the same to Python's `re` and to
Rust's `regex`.

Steps, in this order; the first fault is the cell's only fault:

1. `BLANKS` around the text are trimmed, line breaks inside become LF, the text
   becomes Unicode NFC.
2. Nothing left: ``empty-required`` in a required column, else the empty text.
3. `CONTROL_PATTERN` found: ``control-character``.
4. More than `TEXT_LIMIT` characters: ``text-too-long``.
5. The rule of the column.

Source: docs/findings.md for the codes; the layouts of the generic format.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from nightdrop.core.formats.languages import LANGUAGES
from nightdrop.core.formats.spec import Column, Rule

#: What is trimmed around a cell: Unicode White_Space, written out, because Python's
#: and Rust's ideas of a blank differ for U+001C to U+001F.
BLANKS = (
    "\t\n\x0b\x0c\r \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
#: Every match becomes LF, so that a feed that changes its line ends changes no row.
LINE_BREAK_PATTERN = r"\r\n?"
#: Control characters other than TAB, LF and CR. NUL is a fault of the row, found before.
CONTROL_PATTERN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
#: In characters. Two names of this length still fit into one index entry of PostgreSQL
#: (2,704 bytes) when every character takes four bytes.
TEXT_LIMIT = 255

IDENTIFIER_PATTERN = r"^[A-Za-z0-9]{1,20}$"
PHONE_PATTERN = r"^[0-9+\-().x ]+$"
LANGUAGE_PATTERN = r"^[A-Za-z]{2}$"

_ADDRESS_PART = r'[^\s@,;:<>()\[\]"\\]'
_ADDRESS_LABEL = r'[^\s@,;:<>()\[\]"\\.]+'
#: One address: something, one ``@``, a name with at least one dot. Nothing that would
#: make it a list or a display name.
EMAIL_PATTERN = rf"^{_ADDRESS_PART}{{1,64}}@(?:{_ADDRESS_LABEL}\.)+{_ADDRESS_LABEL}$"

#: Four digits that are not 0000, a year that neither Python nor a calendar has.
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_TWO = r"[0-9]{2}"
#: The pattern comes before any parsing, because every parser of dates is laxer than the
#: rule: ``1/2/2010`` is no date here. Month first where the year is last.
DATE_PATTERNS = (
    rf"^{_TWO}/{_TWO}/{_YEAR}$",
    rf"^{_TWO}-{_TWO}-{_YEAR}$",
    rf"^{_YEAR}/{_TWO}/{_TWO}$",
    rf"^{_YEAR}-{_TWO}-{_TWO}$",
)
#: In years; nobody on a roster is as old as this.
AGE_LIMIT = 120

GENDERS: Mapping[str, str] = {
    "M": "M",
    "F": "F",
    "m": "M",
    "f": "F",
    "male": "M",
    "female": "F",
    "Male": "M",
    "Female": "F",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a cell is not accepted: the slug of a code in the catalogue."""

    code: str


def canonical(column: Column, text: str, *, today: date) -> str | Fault:
    """Bring the text of one cell to the form that the roster holds.

    Returns: the canonical text, empty for an empty cell; a Fault when a rule is broken.
             Dates come back as ``YYYY-MM-DD``.
    """
    text = clean(text)
    if not text:
        return Fault("empty-required") if column.required else ""
    if _CONTROL.search(text):
        return Fault("control-character")
    if len(text) > TEXT_LIMIT:
        return Fault("text-too-long")
    return _READERS[column.rule](column, text, today)


def clean(text: str) -> str:
    """Trim the blanks around a cell, make its line breaks LF and its characters NFC."""
    return unicodedata.normalize("NFC", _LINE_BREAK.sub("\n", text.strip(BLANKS)))


def oldest_birth_date(today: date) -> date:
    """Return the last day of birth that is too old: who was born on it turns 120 today."""
    year = today.year - AGE_LIMIT
    try:
        return today.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def _read_text(_column: Column, text: str, _today: date) -> str | Fault:
    return text


def _read_identifier(_column: Column, text: str, _today: date) -> str | Fault:
    return text if _IDENTIFIER.fullmatch(text) else Fault("bad-identifier")


def _read_past_date(_column: Column, text: str, today: date) -> str | Fault:
    found = _date_of(text)
    if found is None:
        return Fault("bad-date")
    if found > today:
        return Fault("date-in-future")
    if found <= oldest_birth_date(today):
        return Fault("too-old")
    return found.isoformat()


def _date_of(text: str) -> date | None:
    if not any(pattern.fullmatch(text) for pattern in _DATES):
        return None
    first, second, third = (int(part) for part in re.split("[/-]", text))
    year_first = text[4] in "/-"
    year, month, day = (first, second, third) if year_first else (third, first, second)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _read_gender(_column: Column, text: str, _today: date) -> str | Fault:
    return GENDERS.get(text) or Fault("bad-gender")


def _read_choice(column: Column, text: str, _today: date) -> str | Fault:
    return text if text in column.choices else Fault("bad-choice")


def _read_language(_column: Column, text: str, _today: date) -> str | Fault:
    if not _LANGUAGE.fullmatch(text) or text.lower() not in LANGUAGES:
        return Fault("bad-language")
    return text.lower()


def _read_phone(_column: Column, text: str, _today: date) -> str | Fault:
    return text if _PHONE.fullmatch(text) else Fault("bad-phone")


def _read_email(_column: Column, text: str, _today: date) -> str | Fault:
    return text if _EMAIL.fullmatch(text) else Fault("bad-email")


_CONTROL = re.compile(CONTROL_PATTERN)
_LINE_BREAK = re.compile(LINE_BREAK_PATTERN)
_IDENTIFIER = re.compile(IDENTIFIER_PATTERN)
_PHONE = re.compile(PHONE_PATTERN)
_EMAIL = re.compile(EMAIL_PATTERN)
_LANGUAGE = re.compile(LANGUAGE_PATTERN)
_DATES = tuple(re.compile(pattern) for pattern in DATE_PATTERNS)

_READERS: Mapping[Rule, Callable[[Column, str, date], str | Fault]] = {
    Rule.TEXT: _read_text,
    Rule.IDENTIFIER: _read_identifier,
    Rule.PAST_DATE: _read_past_date,
    Rule.GENDER: _read_gender,
    Rule.CHOICE: _read_choice,
    Rule.LANGUAGE: _read_language,
    Rule.PHONE: _read_phone,
    Rule.EMAIL: _read_email,
}
