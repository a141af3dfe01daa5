# SPDX-License-Identifier: Apache-2.0
"""Findings about one cell; the rules themselves are in `core.formats.values`."""

from nightdrop.core.formats.codes import Code, Severity

_RULES = "Generic format: rules for cells"
_TEXT = "Generic format: a file is text in UTF-8"
_VALUE = ("value",)

CODES_OF_CELLS = (
    Code(
        slug="trimmed",
        severity=Severity.REMARK,
        title="Blanks around a cell",
        sentence='Cells of "{column}" have blanks before or after the text; they were removed.',
        hint="Nothing has to be done.",
        example="1001, Rivera ,Ana",
        source=_RULES,
        is_once=True,
    ),
    Code(
        slug="empty-required",
        severity=Severity.ERROR,
        title="An empty cell that must be filled",
        sentence='"{column}" is empty, but must be filled in every row.',
        hint="Fill it in the student information system.",
        example="1001,,Ana",
        source=_RULES,
    ),
    Code(
        slug="control-character",
        severity=Severity.ERROR,
        title="A control character in a cell",
        sentence='"{column}" holds a control character, which no text may have.',
        hint="Type the cell anew in the student information system.",
        example="Ana<U+0007>",
        source=_TEXT,
        facts=_VALUE,
    ),
    Code(
        slug="text-too-long",
        severity=Severity.ERROR,
        title="A cell with too much text",
        sentence='"{column}" has more than 255 characters.',
        hint="Shorten it. Look also for a quote that closes too late, so that several cells "
        "became one.",
        example="an address with a whole letter in it",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="bad-identifier",
        severity=Severity.ERROR,
        title="Not an identifier",
        sentence='"{column}" must be 1 to 20 letters and digits, nothing else.',
        hint="Remove blanks, dots and dashes, and make sure that a spreadsheet did not turn the "
        "number into something like 1.2E+07.",
        example="10-01, or 1.2E+07",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="bad-date",
        severity=Severity.ERROR,
        title="Not a date that can be read",
        sentence='"{column}" is not a date that Nightdrop can read, or no day of the calendar.',
        hint="Write dates as MM/DD/YYYY, MM-DD-YYYY, YYYY/MM/DD or YYYY-MM-DD, with two digits "
        "for month and day.",
        example="1/2/2010, or 02/30/2012",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="date-in-future",
        severity=Severity.ERROR,
        title="A date in the future",
        sentence='"{column}" is later than today.',
        hint="Correct the year in the student information system.",
        example="2106-04-01",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="too-old",
        severity=Severity.ERROR,
        title="A date of 120 years ago",
        sentence='"{column}" is 120 years ago or more.',
        hint="Correct the year; 0010 was probably meant to be 2010. Dates such as 01/01/1900 "
        "stand for an unknown date in some systems.",
        example="01/01/1900",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="bad-gender",
        severity=Severity.ERROR,
        title="Not a gender of the format",
        sentence='"{column}" must be M, F, m, f, male, female, Male or Female.',
        hint="Write one of these words. If your system uses other words, ask for a mapping.",
        example="Fem",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="bad-choice",
        severity=Severity.ERROR,
        title="Not one of the words of the format",
        sentence='"{column}" must be one of: {choices}.',
        hint="Write one of these words, in capital letters and with the underscores.",
        example="Active",
        source=_RULES,
        facts=("choices", "value"),
    ),
    Code(
        slug="bad-language",
        severity=Severity.ERROR,
        title="Not a language code",
        sentence='"{column}" must be a language code of two letters (ISO 639-1).',
        hint="Write en for English, es for Spanish, so for Somali, and so on.",
        example="Spanish",
        source="ISO 639-1",
        facts=_VALUE,
    ),
    Code(
        slug="bad-phone",
        severity=Severity.ERROR,
        title="Not a telephone number",
        sentence='"{column}" may hold digits, blanks and the characters + - ( ) . x only.',
        hint='Move remarks such as "work, after 5" to another place.',
        example="614 555 0100 (mother)",
        source=_RULES,
        facts=_VALUE,
    ),
    Code(
        slug="bad-email",
        severity=Severity.ERROR,
        title="Not an e-mail address",
        sentence='"{column}" must be one e-mail address, or empty.',
        hint="Leave one address in the cell, without a name and without brackets.",
        example="ana@example.org; luis@example.org",
        source=_RULES,
        facts=_VALUE,
    ),
)
