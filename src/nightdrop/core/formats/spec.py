# SPDX-License-Identifier: Apache-2.0
"""What a CSV format is made of: a format is data, declared once.

From one declaration come the checks, the meaning of the database columns, the
documentation page, the downloadable template and the sample data. Rules for cells
are named here and written out in `core.formats.values`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """How the text of one cell is read and brought to its canonical form."""

    #: Any text; blanks around it are trimmed and the text is NFC-normalised.
    TEXT = "text"
    #: Letters and digits, 1 to 20 of them.
    IDENTIFIER = "identifier"
    #: MM/DD/YYYY, MM-DD-YYYY, YYYY/MM/DD or YYYY-MM-DD; canonical is ISO.
    PAST_DATE = "past-date"
    #: M F m f male female Male Female; canonical is M or F.
    GENDER = "gender"
    #: One of `Column.choices`, exactly.
    CHOICE = "choice"
    #: ISO 639-1, two letters; canonical is lower case.
    LANGUAGE = "language"
    #: Digits and ``+ - ( ) . x`` and blanks.
    PHONE = "phone"
    #: One address.
    EMAIL = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    `heading` is what the file's header row says, `name` what the roster's database
    column is called. `required` means that the heading must be there *and* no cell
    may be empty.
    """

    heading: str
    name: str
    rule: Rule = Rule.TEXT
    required: bool = False
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    #: True for a column whose public description is inferred, not quoted.
    inferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One file of a format and the roster table that it fills.

    `key` names the columns that tell two rows apart. `alternative_key`, where
    given, is one column that replaces the last parts of the key when its cell is
    filled (guardians: Guardian Id instead of the names). `parent` names the table
    whose key the first key column refers to.
    """

    name: str
    file_name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    alternative_key: str | None = None
    parent: str | None = None
    #: A file with headings and no rows stops the delivery.
    must_have_rows: bool = True

    def column(self, name: str) -> Column:
        """Return the column with this `name`; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A set of tables that a student information system sends together."""

    name: str
    title: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """Return the table with this `name`; KeyError when there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)
