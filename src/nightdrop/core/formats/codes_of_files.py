# SPDX-License-Identifier: Apache-2.0
"""Findings about a whole delivery or a whole file."""

from nightdrop.core.formats.codes import Code, Severity

_CSV = "RFC 4180"
_TEXT = "Generic format: a file is text in UTF-8"
_RULES = "Delivery rules: nothing half-finished is loaded"
_NAMES = "Delivery rules: the name of a file decides what it is"
_LIMITS = "Limits: 2 GiB a file, 20 million rows, 1 MiB a cell, 500 columns"

CODES_OF_DELIVERIES = (
    Code(
        slug="only-marker",
        severity=Severity.BLOCKING,
        title="No files beside the marker",
        sentence="The directory held a marker file and nothing else.",
        hint="Upload the CSV files first and COMPLETE last, into the same directory.",
        example="20260901-020000/COMPLETE and no other file",
        source=_RULES,
    ),
    Code(
        slug="marker-not-last",
        severity=Severity.REMARK,
        title="The marker was not the last file",
        sentence="This file was still being written when the marker file was already there.",
        hint="Upload COMPLETE after all other files have arrived. This time nothing was lost.",
        example="COMPLETE at 02:00:01, students.csv at 02:00:03",
        source=_RULES,
    ),
    Code(
        slug="came-after-seal",
        severity=Severity.REMARK,
        title="A file came too late",
        sentence="This file arrived after the delivery had been closed and was not taken.",
        hint="Upload it again with all the other files, in a new directory, COMPLETE last.",
        example="guardians.csv, one minute after COMPLETE",
        source=_RULES,
    ),
    Code(
        slug="epoch-name-no-time",
        severity=Severity.REMARK,
        title="The directory's name is no real date and time",
        sentence="The directory's name is no real date and time.",
        hint="Name it YYYYMMDD-HHMMSS after the moment of the export. It was processed anyway.",
        example="20200101-139029 (there is no 13:90:29)",
        source="Delivery rules: the name of an epoch",
    ),
    Code(
        slug="two-files-for-one-table",
        severity=Severity.BLOCKING,
        title="Two files for one table",
        sentence="There are two files for the same table: this one and {other}.",
        hint="Send one of them only; Nightdrop cannot know which one is right.",
        example="students.csv and Students.CSV",
        source=_NAMES,
        facts=("other",),
    ),
    Code(
        slug="guardians-without-students",
        severity=Severity.BLOCKING,
        title="Guardians without students",
        sentence="There is a file of guardians, but no file of students.",
        hint="Send students.csv together with guardians.csv, in the same directory.",
        example="guardians.csv and COMPLETE, no students.csv",
        source="Generic format: guardians.csv comes only together with students.csv",
    ),
    Code(
        slug="unknown-file",
        severity=Severity.REMARK,
        title="A file that Nightdrop does not know",
        sentence="Nightdrop does not know a file of this name and left it alone.",
        hint="If it should be loaded, give it a name of the format, such as students.csv.",
        example="bus-routes.csv",
        source=_NAMES,
    ),
    Code(
        slug="looks-like",
        severity=Severity.REMARK,
        title="A known file under an unknown name",
        sentence="The headings are those of {expected}, but the file has another name.",
        hint="Rename the file and send it again. Nothing is loaded from a file by guessing.",
        example="student_export.csv with the headings of students.csv",
        source=_NAMES,
        facts=("expected",),
    ),
    Code(
        slug="file-name-case",
        severity=Severity.REMARK,
        title="Capital letters in the file's name",
        sentence="The file's name should be {expected}, in small letters; it was accepted.",
        hint="Change the name in the export, so that it is the same every night.",
        example="Students.CSV",
        source=_NAMES,
        facts=("expected",),
    ),
)

CODES_OF_FILES = (
    Code(
        slug="empty-file",
        severity=Severity.BLOCKING,
        title="Empty file",
        sentence="The file is empty.",
        hint="Look at the export: it ran, but wrote nothing. Send the files again.",
        example="students.csv with 0 bytes",
        source=_RULES,
    ),
    Code(
        slug="headings-only",
        severity=Severity.BLOCKING,
        title="Headings and no rows",
        sentence="The file has headings and not a single row.",
        hint="Look at the export: it found no records, perhaps because of a filter or a new "
        "school year. Send the files again.",
        example="Student Id,Last Name,First Name and nothing below",
        source=_RULES,
    ),
    Code(
        slug="not-csv",
        severity=Severity.BLOCKING,
        title="Not a CSV file",
        sentence="The file has the right name, but inside it is {seems}.",
        hint="Export the table as CSV. Renaming another kind of file does not make it CSV.",
        example="<!DOCTYPE html>",
        source=_CSV,
        facts=("seems",),
    ),
    Code(
        slug="cut-off",
        severity=Severity.BLOCKING,
        title="The file breaks off",
        sentence="The file ends in the middle of a row: it did not arrive whole, or the export "
        "was interrupted.",
        hint="Send all files again. If it happens again, look for a full disk where the export "
        "writes.",
        example="1001,Rivera as the last line, without a line end, under eight headings",
        source=_RULES,
    ),
    Code(
        slug="unreadable-encoding",
        severity=Severity.BLOCKING,
        title="Unknown character encoding",
        sentence="The characters of the file cannot be read: it is neither UTF-8 nor UTF-16 "
        "with its mark nor Windows-1252.",
        hint="Choose UTF-8 in the export.",
        example="UTF-16 without a byte order mark",
        source=_TEXT,
    ),
    Code(
        slug="windows-1252",
        severity=Severity.REMARK,
        title="Read as Windows-1252",
        sentence="The file is not UTF-8; it was read as Windows-1252.",
        hint="Choose UTF-8 in the export, so that every name arrives as it is written.",
        example="Jos\u00e9 with the single byte E9",
        source=_TEXT,
    ),
    Code(
        slug="utf-16",
        severity=Severity.REMARK,
        title="Read as UTF-16",
        sentence="The file is UTF-16; it was read.",
        hint="Choose UTF-8 in the export: it is half as large and every program reads it.",
        example="a file that begins with the bytes FF FE",
        source=_TEXT,
    ),
    Code(
        slug="wrong-delimiter",
        severity=Severity.BLOCKING,
        title="Cells are not separated by commas",
        sentence="The cells are separated by the {delimiter}, not by the comma.",
        hint="Choose the comma as the separator in the export. Programs set to a European "
        "language often write semicolons.",
        example="Student Id;Last Name;First Name",
        source=_CSV,
        facts=("delimiter",),
    ),
    Code(
        slug="file-too-large",
        severity=Severity.BLOCKING,
        title="File too large",
        sentence="The file is larger than {limit}.",
        hint="Check that the export holds what it should. One-time transfers of this size are "
        "arranged with the operator.",
        example="students.csv of 3 GiB",
        source=_LIMITS,
        facts=("limit",),
    ),
    Code(
        slug="too-many-rows",
        severity=Severity.BLOCKING,
        title="Too many rows",
        sentence="The file has more than {limit} rows.",
        hint="Check that the export holds each record once.",
        example="students.csv with 25 million rows",
        source=_LIMITS,
        facts=("limit",),
    ),
    Code(
        slug="too-many-columns",
        severity=Severity.BLOCKING,
        title="Too many columns",
        sentence="The first row has more than {limit} cells.",
        hint="Export only the columns of the format. One very long first row can also mean that "
        "the line ends are missing.",
        example="a heading row with 600 cells",
        source=_LIMITS,
        facts=("limit",),
    ),
)
