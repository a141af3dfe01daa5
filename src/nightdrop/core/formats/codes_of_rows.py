# SPDX-License-Identifier: Apache-2.0
"""Findings about the heading row, and about rows as a whole."""

from nightdrop.core.formats.codes import Code, Severity

_CSV = "RFC 4180, section 2"
_HEADINGS = "Generic format: headings"
_KEYS = "Generic format: one row for each key"
_PARENTS = "Generic format: a guardian belongs to a student of students.csv"
_RULES = "Delivery rules: a bad file never harms a good roster"
_LIMITS = "Limits: 2 GiB a file, 20 million rows, 1 MiB a cell, 500 columns"

CODES_OF_HEADINGS = (
    Code(
        slug="no-headings",
        severity=Severity.BLOCKING,
        title="No heading row",
        sentence="The first row holds none of the headings of this table.",
        hint="Turn on headings (column names) in the export; they must be the first row, without "
        "a title above them.",
        example="1001,Rivera,Ana as the first row",
        source=_HEADINGS,
    ),
    Code(
        slug="unreadable-headings",
        severity=Severity.BLOCKING,
        title="A heading row that cannot be read",
        sentence="The heading row cannot be read: its quotes are not in order.",
        hint="Write the headings without quotes, or with one before and one behind each.",
        example='Student Id,"Last Name,First Name',
        source=_CSV,
    ),
    Code(
        slug="missing-column",
        severity=Severity.BLOCKING,
        title="A required column is missing",
        sentence='The column "{column}" is missing; every file must have it.',
        hint="Add the column to the export, with exactly this heading.",
        example="a heading row without Student Id",
        source=_HEADINGS,
    ),
    Code(
        slug="duplicate-heading",
        severity=Severity.BLOCKING,
        title="One heading twice",
        sentence='The heading "{column}" is there more than once: cells {positions}.',
        hint="Remove one of them from the export; Nightdrop cannot know which one is right.",
        example="Student Id,Last Name,Last Name",
        source=_HEADINGS,
        facts=("positions",),
    ),
    Code(
        slug="unknown-column",
        severity=Severity.REMARK,
        title="A column that is not used",
        sentence='The column "{column}" (cell {position}) is not part of the format and was not '
        "read.",
        hint="Nothing, unless you expected it to be loaded: then compare its heading with the "
        "format's.",
        example="Locker Number",
        source=_HEADINGS,
        facts=("position",),
    ),
    Code(
        slug="heading-repaired",
        severity=Severity.REMARK,
        title="A heading written differently",
        sentence='"{found}" was read as the heading "{column}".',
        hint="Nothing has to be done. Better: write the heading as the format has it.",
        example="STUDENTS.LAST_NAME for Last Name",
        source=_HEADINGS,
        facts=("found",),
    ),
    Code(
        slug="invisible-character-in-heading",
        severity=Severity.BLOCKING,
        title="An invisible character in a heading",
        sentence='The heading "{column}" has an invisible character in it: {characters}.',
        hint="Type the heading anew in the export's settings; it was probably pasted from a web "
        "page or a document.",
        example="Student Id with a zero width space (U+200B) behind it",
        source=_HEADINGS,
        facts=("characters",),
    ),
)

CODES_OF_ROWS = (
    Code(
        slug="row-too-short",
        severity=Severity.ERROR,
        title="A row with too few cells",
        sentence="A row has fewer cells than the {expected} headings.",
        hint="Look at the line: a line break inside a cell needs quotes around the cell, and a "
        "last line that stops in the middle means that the file did not arrive whole.",
        example="1001,Rivera under three headings",
        source=_CSV,
        facts=("expected", "value"),
    ),
    Code(
        slug="row-too-long",
        severity=Severity.ERROR,
        title="A row with too many cells",
        sentence="A row has more cells than the {expected} headings.",
        hint="Put quotes around cells that hold a comma.",
        example="1001,Rivera, Jr.,Ana under three headings",
        source=_CSV,
        facts=("expected", "value"),
    ),
    Code(
        slug="unclosed-quote",
        severity=Severity.ERROR,
        title="A quote that is never closed",
        sentence='A cell begins with a quote (") that is never closed.',
        hint='Close the quote. A quote inside a quoted cell is written twice: "".',
        example='1001,"Rivera,Ana',
        source=_CSV,
        facts=("value",),
    ),
    Code(
        slug="text-after-quote",
        severity=Severity.ERROR,
        title="Text behind a closing quote",
        sentence="Between a closing quote and the next comma there is more text.",
        hint='A quote inside a quoted cell is written twice: "Ana ""Annie"" Rivera".',
        example='1001,"Rivera" Jr.,Ana',
        source=_CSV,
        facts=("value",),
    ),
    Code(
        slug="stray-quote",
        severity=Severity.ERROR,
        title="A quote inside a cell without quotes",
        sentence="A cell that does not begin with a quote has a quote inside.",
        hint='Put quotes around the cell and write the inner quote twice: "Ana ""Annie""".',
        example='1001,Rivera,Ana "Annie"',
        source=_CSV,
        facts=("value",),
    ),
    Code(
        slug="nul-byte",
        severity=Severity.ERROR,
        title="A NUL byte in a row",
        sentence="A row holds a NUL byte, which no text may have.",
        hint="The record is damaged in the student information system, or the file on its way. "
        "Type the record's cells anew.",
        example="a row with the byte 00",
        source="Generic format: a file is text in UTF-8",
        facts=("value",),
    ),
    Code(
        slug="bad-bytes",
        severity=Severity.ERROR,
        title="A row that is not UTF-8",
        sentence="A row holds bytes that are not UTF-8, although the rest of the file is.",
        hint="Type the record's cells anew; text was pasted in another encoding.",
        example="a row with the byte 81",
        source="Generic format: a file is text in UTF-8",
        facts=("value",),
    ),
    Code(
        slug="cell-too-long",
        severity=Severity.BLOCKING,
        title="A cell that is far too long",
        sentence="A cell is longer than {limit}.",
        hint="Look for a quote that is opened on this line and never closed.",
        example="a cell of 3 MiB",
        source=_LIMITS,
        facts=("limit",),
    ),
    Code(
        slug="blank-lines",
        severity=Severity.REMARK,
        title="Empty lines",
        sentence="The file has empty lines; they were skipped.",
        hint="Nothing has to be done.",
        example="an empty line at the end",
        source=_CSV,
        is_once=True,
    ),
    Code(
        slug="duplicate-rows",
        severity=Severity.REMARK,
        title="The same row twice",
        sentence="A row is there more than once, the same in every cell; it counts once.",
        hint="Let the export write each record once.",
        example="two identical rows for Student Id 1001",
        source=_KEYS,
        facts=("value",),
    ),
    Code(
        slug="many-duplicates",
        severity=Severity.BLOCKING,
        title="Very many identical rows",
        sentence="{duplicates} of {rows} rows repeat another row.",
        hint="The export joins tables that it should not join, or two exports were put into one "
        "file. Correct it and send the files again.",
        example="400 of 1,000 rows",
        source=_RULES,
        facts=("duplicates", "rows"),
    ),
    Code(
        slug="conflicting-rows",
        severity=Severity.ERROR,
        title="Two different rows for one record",
        sentence="Two or more rows are for the same record and say different things; none of "
        "them was taken.",
        hint="Leave one row for each record in the export.",
        example="1001,Rivera,Ana and 1001,Rivera,Anne",
        source=_KEYS,
        facts=("value",),
    ),
    Code(
        slug="unknown-student",
        severity=Severity.ERROR,
        title="A guardian of nobody",
        sentence="A guardian's Student Id is neither in students.csv nor on the roster.",
        hint="Check that both files are from the same export and write the Student Id alike, "
        "leading zeros included.",
        example="Student Id 7 in guardians.csv, 0007 in students.csv",
        source=_PARENTS,
        facts=("value",),
    ),
    Code(
        slug="student-not-in-file",
        severity=Severity.REMARK,
        title="A guardian whose student was not sent",
        sentence="A guardian's student is on the roster, but was not taken from this students.csv; "
        "the row was left out.",
        hint="Send the student too, or do not send the guardian. Nothing was changed for them.",
        example="a guardian of a student who has left",
        source=_PARENTS,
        facts=("value",),
    ),
    Code(
        slug="too-many-faulty-rows",
        severity=Severity.BLOCKING,
        title="Too many faulty rows",
        sentence="{faulty} of {rows} rows are faulty.",
        hint="Mend what is named most often first; a column that moved or a setting of the export "
        "is the usual cause.",
        example="412 of 1,500 rows",
        source=_RULES,
        facts=("faulty", "rows"),
    ),
)
