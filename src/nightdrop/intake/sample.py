# SPDX-License-Identifier: Apache-2.0
"""Made-up but lifelike files: what a student information system sends on a good night.

Nothing in them is a fault, and everything that trips a careless reader is there:
commas, quotes, apostrophes and accents in names, a line break in an address now and
then, identifiers and Zip codes with leading zeros, empty optional cells. The same
number of students and the same seed give the same bytes, on any day and machine.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

from nightdrop.core.formats.generic import GUARDIANS, STUDENTS
from nightdrop.core.formats.spec import Table
from nightdrop.intake import sample_words as words

_T = TypeVar("_T")

#: The school year of the sample. It is fixed, because the same seed gives the same bytes.
_SCHOOL_YEAR = 2026
_FIRST_ID = 1001
#: Coprime to a thousand million, so that no two students get one SIS Internal ID.
_STRIDE = 791_911_123

_STUDENT_COLUMNS = tuple(column.name for column in STUDENTS.columns)
_GUARDIAN_COLUMNS = tuple(
    column.name for column in GUARDIANS.columns if column.name != "guardian_id"
)


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a family lives; `cells` are Address, City, State and Zip."""

    family: str
    language: str
    cells: tuple[str, str, str, str]


def write_samples(directory: Path, *, students: int, seed: int) -> tuple[Path, Path]:
    """Write students.csv and guardians.csv; files of these names are replaced.

    Shape:   UTF-8, CRLF; 1.6 guardians per student on average.
    Returns: the two paths.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / STUDENTS.file_name, directory / GUARDIANS.file_name
    with (
        paths[0].open("w", encoding="utf-8", newline="") as student_file,
        paths[1].open("w", encoding="utf-8", newline="") as guardian_file,
    ):
        student_rows, guardian_rows = csv.writer(student_file), csv.writer(guardian_file)
        student_rows.writerow(_headings(STUDENTS, _STUDENT_COLUMNS))
        guardian_rows.writerow(_headings(GUARDIANS, _GUARDIAN_COLUMNS))
        people = _People(Random(seed))
        for number in range(students):
            student_id = f"{_FIRST_ID + number:07d}"
            home = people.home()
            student_rows.writerow(people.student(student_id, home))
            guardian_rows.writerows(people.guardians(student_id, home))
    return paths


def _headings(table: Table, names: Sequence[str]) -> list[str]:
    return [table.column(name).heading for name in names]


class _People:
    """Makes people up from a stream of random numbers.

    Only `Random.random` is used: its numbers are the same in every version of Python,
    which the methods built upon it do not promise.
    """

    __slots__ = ("_random",)

    def __init__(self, random: Random) -> None:
        self._random = random.random

    def home(self) -> _Home:
        """Make up a family and its address."""
        city, zip_code = self._pick(words.PLACES)
        street = f"{1 + self._number(990)} {self._pick(words.STREETS)}"
        if self._chance(0.06):
            street += f"{self._pick(words.BREAKS)}Apt {1 + self._number(40)}"
        family = self._pick(words.FAMILIES)
        cells = (street, city, words.STATE, zip_code)
        return _Home(family, self._pick(words.LANGUAGES), cells)

    def student(self, student_id: str, home: _Home) -> tuple[str, ...]:
        """Make up the cells of a student, in the order of the format's columns."""
        is_girl = self._chance(0.5)
        names = words.GIRLS if is_girl else words.BOYS
        first, last = self._pick(names), home.family
        if self._chance(0.005):
            first = f'{first} "{self._pick(words.NICKNAMES)}"'
        if self._chance(0.01):
            last = f"{last}, {self._pick(words.SUFFIXES)}"
        grade = self._number(13)
        building, reporting_id = self._building(grade)
        return (
            student_id,
            last,
            first,
            self._pick(names) if self._chance(0.4) else "",
            self._birth(grade),
            "F" if is_girl else "M",
            self._pick(words.ENROLLMENTS),
            "KG" if grade == 0 else f"{grade:02d}",
            *home.cells,
            self._pick(words.RACES),
            "Apple Grove",
            "Pomona",
            "Apple Grove" if self._chance(0.97) else "Cider Mills",
            f"AG{student_id}",
            building,
            reporting_id,
            f"{int(student_id) * _STRIDE % 10**9:09d}",
            home.language,
        )

    def guardians(self, student_id: str, home: _Home) -> Iterator[tuple[str, ...]]:
        """Make up one, two or three guardians, no two of the same name."""
        start = self._number(len(words.GIRLS))
        for index in range(self._pick(words.GUARDIANS)):
            names = words.BOYS if index == 1 else words.GIRLS
            first = names[(start + 7 * index) % len(names)]
            last = home.family if self._chance(0.8) else self._pick(words.FAMILIES)
            yield (
                student_id,
                last,
                first,
                ("Mother", "Father", "Grandmother")[index],
                *home.cells,
                self._phone(0.5),
                self._phone(0.3),
                self._phone(0.9),
                self._email(first, student_id, index),
                home.language,
            )

    def _building(self, grade: int) -> tuple[str, str]:
        open_to = [place for place in words.BUILDINGS if place[2] <= grade <= place[3]]
        name, reporting_id, _, _ = self._pick(open_to)
        return name, reporting_id

    def _birth(self, grade: int) -> str:
        year = _SCHOOL_YEAR - 6 - grade
        return f"{1 + self._number(12):02d}/{1 + self._number(28):02d}/{year}"

    def _phone(self, share: float) -> str:
        if not self._chance(share):
            return ""
        number = f"(413) 555-01{self._number(100):02d}"
        return f"{number} x{1 + self._number(99)}" if self._chance(0.03) else number

    def _email(self, first: str, student_id: str, index: int) -> str:
        if not self._chance(0.8):
            return ""
        name = first.replace(" ", ".").encode("ascii", "ignore").decode().lower()
        return f"{name}.{int(student_id)}{index}@{self._pick(words.MAIL_DOMAINS)}"

    def _chance(self, share: float) -> bool:
        return self._random() < share

    def _number(self, below: int) -> int:
        return int(self._random() * below)

    def _pick(self, choices: Sequence[_T]) -> _T:
        return choices[int(self._random() * len(choices))]
