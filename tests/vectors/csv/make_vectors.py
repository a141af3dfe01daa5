# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors beside it, or elsewhere: `python tests/vectors/csv/make_vectors.py [DIR]`.

Every vector is declared here with what must be found in it, by hand and from the rules,
never from what the program says. expected.json has, beside `verdict` and `findings`
(code, file, line, column):

`today`    the day of the check.
`sent_as`  a file's name in the delivery, where two names differ in case only and some
           file systems could not keep both.
`limits`   limits smaller than the product's, where the smallest file would be too large.
`roster`   student ids that are on the roster.
"""

import codecs
import json
import shutil
import sys
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

HERE = Path(__file__).parent
TODAY = "2026-09-01"

STUDENTS = (
    "Student Id,Last Name,First Name,Date of Birth,Gender,District Enrollment,"
    "Building,Building Reporting Id"
)
GUARDIANS = "Student Id,Last Name,First Name,Cell Phone,Email"
PLACE = "Grove Elementary,010101"
ANA = f"1001,Rivera,Ana,2015-04-01,F,ENROLLED,{PLACE}"
BEN = f"1002,Okafor,Ben,11/30/2014,M,ENROLLED,{PLACE}"
CAL = f"1003,Lee,Cal,2016/02/29,male,ENROLLED,{PLACE}"
EVA = "1001,Rivera,Eva,(614) 555-0100,eva@example.org"
IDA = "1002,Okafor,Ida,,"

Row = tuple[str, str, int | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A delivery and what must be found in it; `why` says how it was made."""

    folder: str
    why: str
    files: dict[str, bytes]
    findings: tuple[Row, ...]
    verdict: str
    more: dict[str, object] = field(default_factory=dict)


def text(*lines: str, end: str = "\n") -> bytes:
    """Return lines as a file."""
    return "".join(line + end for line in lines).encode()


def students(*rows: str, headings: str = STUDENTS) -> dict[str, bytes]:
    """Return a delivery of students.csv alone."""
    return {"students.csv": text(headings, *rows)}


def night(student_rows: tuple[str, ...], *guardian_rows: str) -> dict[str, bytes]:
    """Return a delivery of both files."""
    return students(*student_rows) | {"guardians.csv": text(GUARDIANS, *guardian_rows)}


def ana(**changed: str) -> str:
    """Return Ana's row with cells changed, by heading in snake case."""
    names = [heading.lower().replace(" ", "_") for heading in STUDENTS.split(",")]
    cells = dict(zip(names, ANA.split(","), strict=True)) | changed
    return ",".join(cells[name] for name in names)


def bad_cell(code: str, column: str, cell: str, why: str) -> Vector:
    """Return a vector with one wrong cell on line 2 of students.csv."""
    row = ana(**{column.lower().replace(" ", "_"): cell})
    found: Row = (code, "students.csv", 2, column)
    return Vector(
        folder=code, why=why, files=students(row, BEN), findings=(found,), verdict="faulty"
    )


def bad_guardian(code: str, row: str, column: str, why: str) -> Vector:
    """Return a vector with one wrong row on line 2 of guardians.csv."""
    found: Row = (code, "guardians.csv", 2, column)
    return Vector(
        folder=code, why=why, files=night((ANA, BEN), row, IDA), findings=(found,), verdict="faulty"
    )


def bad_row(code: str, row: str, why: str) -> Vector:
    """Return a vector with one row that cannot be read, between two good ones."""
    found: Row = (code, "students.csv", 3, None)
    return Vector(
        folder=code, why=why, files=students(ANA, row, CAL), findings=(found,), verdict="faulty"
    )


def blocked(
    folder: str, why: str, files: dict[str, bytes], *findings: Row, **more: object
) -> Vector:
    """Return a vector of which nothing may be loaded."""
    return Vector(
        folder=folder, why=why, files=files, findings=findings, verdict="blocked", more=more
    )


def remarked(
    folder: str, why: str, files: dict[str, bytes], *findings: Row, **more: object
) -> Vector:
    """Return a vector of which everything is loaded."""
    return Vector(
        folder=folder, why=why, files=files, findings=findings, verdict="clean", more=more
    )


def zipped(name: str, content: bytes) -> bytes:
    """Return a zip archive, the same bytes each time."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


S, G = "students.csv", "guardians.csv"
HTML = text("<!DOCTYPE html>", "<html><body><h1>Session expired</h1>", "</body></html>")
SEMICOLONS = text(*(line.replace(",", ";") for line in (STUDENTS, ANA, BEN)))
INVISIBLE = STUDENTS.replace("Student Id", "Student Id\u200b")
BOTH = (ANA, BEN)

OF_DELIVERIES = (
    blocked("only-marker", "COMPLETE alone", {"COMPLETE": b""}, ("only-marker", "", None, None)),
    blocked(
        "two-files-for-one-table",
        "students.csv twice, the second one with capital letters in its name",
        students(*BOTH) | {"students_2.csv": text(STUDENTS, *BOTH)},
        ("file-name-case", "Students.CSV", None, None),
        ("two-files-for-one-table", "Students.CSV", None, None),
        sent_as={"students_2.csv": "Students.CSV"},
    ),
    blocked(
        "guardians-without-students",
        "guardians.csv alone",
        {G: text(GUARDIANS, EVA)},
        ("guardians-without-students", G, None, None),
    ),
    remarked(
        "unknown-file",
        "a table that is not of the format beside students.csv",
        students(*BOTH) | {"bus-routes.csv": text("Route,Stop", "7,Oak Street")},
        ("unknown-file", "bus-routes.csv", None, None),
    ),
    Vector(
        folder="looks-like",
        why="students.csv under another name",
        files={"student_export.csv": text(STUDENTS, *BOTH)},
        findings=(("looks-like", "student_export.csv", None, None),),
        verdict="unrecognised",
    ),
    remarked(
        "file-name-case",
        "students.csv with capital letters in its name",
        {"Students.CSV": text(STUDENTS, *BOTH)},
        ("file-name-case", "Students.CSV", None, None),
    ),
)

OF_FILES = (
    blocked("empty-file", "0 bytes", {S: b""}, ("empty-file", S, None, None)),
    blocked("headings-only", "a heading row alone", students(), ("headings-only", S, None, None)),
    blocked("not-csv", "a page that asks for a password", {S: HTML}, ("not-csv", S, None, None)),
    blocked(
        "unreadable-encoding",
        "UTF-16, little endian, without its mark",
        {S: text(STUDENTS, *BOTH).decode().encode("utf-16-le")},
        ("unreadable-encoding", S, None, None),
    ),
    remarked(
        "windows-1252",
        "one name with the single byte E9",
        {S: text(STUDENTS, ana(first_name="Andr\u00e9e"), BEN).decode().encode("cp1252")},
        ("windows-1252", S, None, None),
    ),
    remarked(
        "utf-16",
        "UTF-16, little endian, with its mark",
        {S: codecs.BOM_UTF16_LE + text(STUDENTS, *BOTH).decode().encode("utf-16-le")},
        ("utf-16", S, None, None),
    ),
    blocked(
        "cut-off",
        "the last row breaks off",
        {S: text(STUDENTS, ANA, BEN)[:-30]},
        ("row-too-short", S, 3, None),
        ("cut-off", S, 3, None),
    ),
    blocked("wrong-delimiter", "semicolons", {S: SEMICOLONS}, ("wrong-delimiter", S, None, None)),
    blocked(
        "file-too-large",
        "a limit of 100 bytes",
        students(*BOTH),
        ("file-too-large", S, None, None),
        limits={"file_bytes": 100},
    ),
    blocked(
        "too-many-rows",
        "a limit of two rows",
        students(ANA, BEN, CAL),
        ("too-many-rows", S, None, None),
        limits={"rows": 2},
    ),
    blocked(
        "too-many-columns",
        "a limit of seven columns",
        students(*BOTH),
        ("too-many-columns", S, None, None),
        limits={"columns": 7},
    ),
)

OF_HEADINGS = (
    blocked("no-headings", "rows alone", {S: text(ANA, BEN)}, ("no-headings", S, 1, None)),
    blocked(
        "unreadable-headings",
        "a quote that is opened in the heading row and never closed",
        students(*BOTH, headings=STUDENTS.replace("Last", '"Last')),
        ("unreadable-headings", S, 1, None),
    ),
    blocked(
        "missing-column",
        "Gender is called Sex",
        students(*BOTH, headings=STUDENTS.replace("Gender", "Sex")),
        ("unknown-column", S, 1, "Sex"),
        ("missing-column", S, 1, "Gender"),
    ),
    blocked(
        "duplicate-heading",
        "Last Name twice, and no First Name",
        students(*BOTH, headings=STUDENTS.replace("First", "Last")),
        ("duplicate-heading", S, 1, "Last Name"),
        ("missing-column", S, 1, "First Name"),
    ),
    remarked(
        "unknown-column",
        "a column Locker at the end",
        students(ANA + ",17", BEN + ",18", headings=STUDENTS + ",Locker"),
        ("unknown-column", S, 1, "Locker"),
    ),
    remarked(
        "heading-repaired",
        "Last Name as PowerSchool writes it",
        students(*BOTH, headings=STUDENTS.replace("Last Name", "STUDENTS.LAST_NAME")),
        ("heading-repaired", S, 1, "Last Name"),
    ),
    blocked(
        "invisible-character-in-heading",
        "a zero width space, U+200B, behind Student Id",
        students(*BOTH, headings=INVISIBLE),
        ("invisible-character-in-heading", S, 1, "Student Id"),
    ),
)

OF_ROWS = (
    bad_row("row-too-short", "1002,Okafor,Ben", "three cells of eight"),
    bad_row("row-too-long", BEN.replace("Okafor", "Okafor, Jr."), "a comma without quotes"),
    bad_row("unclosed-quote", BEN.replace("Okafor", '"Okafor'), "a quote that stays open"),
    bad_row("text-after-quote", BEN.replace("Okafor", '"Okafor" Jr.'), "text behind a quote"),
    bad_row("stray-quote", BEN.replace("Ben", 'Ben "Bo"'), "quotes in a cell without quotes"),
    bad_row("nul-byte", BEN.replace("Ben", "B\0n"), "the byte 00 in a name"),
    Vector(
        folder="bad-bytes",
        why="twenty names in UTF-8, and one with the single byte E9",
        files={
            S: text(STUDENTS, ana(first_name="\u00c9" * 20))
            + BEN.replace("Ben", "Ren\u00e9").encode("cp1252")
            + text("", CAL)
        },
        findings=(("bad-bytes", S, 3, None),),
        verdict="faulty",
    ),
    blocked(
        "cell-too-long",
        "a limit of 40 bytes",
        students(ANA, BEN.replace("Ben", "B" * 41), CAL),
        ("cell-too-long", S, 3, None),
        limits={"cell_bytes": 40},
    ),
    remarked("blank-lines", "an empty line", students(ANA, "", BEN), ("blank-lines", S, 3, None)),
    remarked(
        "duplicate-rows",
        "one row of thirty twice",
        students(*(f"{1000 + n}{ANA[4:]}" for n in range(30)), ANA),
        ("duplicate-rows", S, 32, None),
    ),
    blocked(
        "many-duplicates",
        "one row of two twice",
        students(ANA, BEN, ANA),
        ("duplicate-rows", S, 4, None),
        ("many-duplicates", S, None, None),
    ),
    Vector(
        folder="conflicting-rows",
        why="two rows for 1001 that differ in the first name",
        files=students(ANA, BEN, ana(first_name="Anne")),
        findings=(("conflicting-rows", S, 2, None), ("conflicting-rows", S, 4, None)),
        verdict="faulty",
    ),
    bad_guardian("unknown-student", "7001" + EVA[4:], "Student Id", "a guardian of nobody"),
    Vector(
        folder="student-not-in-file",
        why="a guardian of a student who is on the roster and not in students.csv",
        files=night(BOTH, "1009" + EVA[4:], IDA),
        findings=(("student-not-in-file", G, 2, "Student Id"),),
        verdict="clean",
        more={"roster": ["1001", "1009"]},
    ),
    blocked(
        "too-many-faulty-rows",
        "all rows faulty",
        students(ana(gender="X")),
        ("bad-gender", S, 2, "Gender"),
        ("too-many-faulty-rows", S, None, None),
    ),
)

OF_CELLS = (
    remarked(
        "trimmed",
        "blanks around two cells of one column",
        students(ana(last_name=" Rivera"), BEN.replace("Okafor", "Okafor ")),
        ("trimmed", S, 2, "Last Name"),
    ),
    bad_cell("empty-required", "Last Name", "", "no last name"),
    bad_cell("control-character", "First Name", "A\x07a", "the character U+0007 in a name"),
    bad_cell("text-too-long", "Building", "x" * 256, "256 characters"),
    bad_cell("bad-identifier", "Student Id", "10-01", "a dash in the Student Id"),
    bad_cell("bad-date", "Date of Birth", "4/1/2015", "month and day with one digit"),
    bad_cell("date-in-future", "Date of Birth", "2026-09-02", "the day after the check"),
    bad_cell("too-old", "Date of Birth", "1906-09-01", "120 years on the day of the check"),
    bad_cell("bad-gender", "Gender", "Fem", "a word of another system"),
    bad_cell("bad-choice", "District Enrollment", "Active", "a word of another system"),
    Vector(
        folder="bad-language",
        why="a language by its name",
        files=students(ANA + ",Spanish", BEN + ",EN", headings=STUDENTS + ",Language"),
        findings=(("bad-language", S, 2, "Language"),),
        verdict="faulty",
    ),
    bad_guardian("bad-phone", EVA.replace("0100", "0100 (work!)"), "Cell Phone", "an exclamation"),
    bad_guardian("bad-email", EVA.replace("eva@", "Eva <eva@"), "Email", "a name before it"),
)

MANY = tuple(f"{1000 + n}{ANA[4:]}" for n in range(30))
DISASTERS = (
    blocked(
        "headers-only",
        "both files without rows",
        night(()),
        ("headings-only", S, None, None),
        ("headings-only", G, None, None),
    ),
    blocked(
        "empty",
        "both files of 0 bytes",
        {S: b"", G: b""},
        ("empty-file", S, None, None),
        ("empty-file", G, None, None),
    ),
    blocked(
        "wrong-encoding",
        "students.csv in UTF-16 without its mark",
        {S: text(STUDENTS, *MANY).decode().encode("utf-16-be")},
        ("unreadable-encoding", S, None, None),
    ),
    blocked(
        "columns-shifted",
        "an empty cell before every row and the last one cut off",
        students(*("," + row.rsplit(",", 1)[0] for row in MANY)),
        *(
            (code, S, line, column)
            for line in range(2, 32)
            for code, column in (
                ("empty-required", "Student Id"),
                ("bad-date", "Date of Birth"),
                ("bad-gender", "Gender"),
                ("bad-choice", "District Enrollment"),
            )
        ),
        ("too-many-faulty-rows", S, None, None),
    ),
    blocked(
        "truncated",
        "students.csv breaks off in the middle of its last row",
        {S: text(STUDENTS, *MANY)[:-30]},
        ("row-too-short", S, 31, None),
        ("cut-off", S, 31, None),
    ),
    blocked(
        "semicolons", "semicolons for commas", {S: SEMICOLONS}, ("wrong-delimiter", S, None, None)
    ),
    blocked(
        "invisible-heading",
        "a zero width space behind Student Id",
        students(*MANY, headings=INVISIBLE),
        ("invisible-character-in-heading", S, 1, "Student Id"),
    ),
    blocked("html-page", "a web page named students.csv", {S: HTML}, ("not-csv", S, None, None)),
    blocked(
        "zip-named-csv",
        "a zip archive named students.csv",
        {S: zipped(S, text(STUDENTS, *MANY))},
        ("not-csv", S, None, None),
    ),
    blocked(
        "duplicate-ids",
        "twelve of thirty rows with the Student Id of another row and other names",
        students(*MANY[:18], *(row.replace("Ana", "Ann") for row in MANY[:12])),
        *(("conflicting-rows", S, line, None) for line in (*range(2, 14), *range(20, 32))),
        ("too-many-faulty-rows", S, None, None),
    ),
    blocked(
        "guardians-alone",
        "guardians.csv without students.csv",
        {G: text(GUARDIANS, EVA, IDA)},
        ("guardians-without-students", G, None, None),
    ),
)

README = """\
# CSV vectors

Made by `make_vectors.py`, which says for each one what it is and what must be found in
it; nothing here is taken from a real district. Folders are named for the finding that
they show with the smallest files that show it; `disaster-nights` are whole nights that
must leave the roster untouched, or lose no more than the row that is damaged.
`tests/intake/test_vectors.py` runs them all.

| folder | how it was made |
|---|---|
"""


def write(vector: Vector, target: Path, *place: str) -> str:
    """Write one vector and return its line of the README."""
    folder = target.joinpath(*place, vector.folder)
    folder.mkdir(parents=True)
    for name, content in vector.files.items():
        (folder / name).write_bytes(content)
    keys = ("code", "file", "line", "column")
    expected = {
        "today": TODAY,
        "verdict": vector.verdict,
        "findings": [dict(zip(keys, row, strict=True)) for row in vector.findings],
        **vector.more,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    return f"| {folder.relative_to(target)} | {vector.why} |\n"


def main(target: Path) -> None:
    """Write all vectors anew."""
    for old in target.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    small = (*OF_DELIVERIES, *OF_FILES, *OF_HEADINGS, *OF_ROWS, *OF_CELLS)
    lines = [write(vector, target) for vector in small]
    lines += [write(vector, target, "disaster-nights") for vector in DISASTERS]
    (target / "README.md").write_text(README + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
