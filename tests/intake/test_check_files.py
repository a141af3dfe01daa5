# SPDX-License-Identifier: Apache-2.0
"""What is said of the files of a delivery together, and what of them may be loaded."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from nightdrop.core.formats.generic import GENERIC
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import CheckedBundle, SourceFile, Verdict

TODAY = date(2026, 9, 1)
STUDENTS = (
    "Student Id,Last Name,First Name,Date of Birth,Gender,District Enrollment,"
    "Building,Building Reporting Id\n"
)
GUARDIANS = "Student Id,Last Name,First Name,Guardian Id,Home Phone\n"


def student(number: int | str, *, name: str = "Ana", born: str = "2015-04-01") -> str:
    return f"{number},Rivera,{name},{born},F,ENROLLED,Grove,0101\n"


def guardian(number: int | str, *, name: str = "Eva", known_as: str = "", phone: str = "") -> str:
    return f"{number},Rivera,{name},{known_as},{phone}\n"


class Desk:
    """Takes texts for files, checks them, and closes the results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.roster: set[str] = set()
        self.asked: list[str] = []
        self.bundles: list[CheckedBundle] = []

    def check(
        self, students: str | bytes | None, guardians: str | bytes | None = None, **others: str
    ) -> CheckedBundle:
        texts = {"students.csv": students, "guardians.csv": guardians}
        texts |= {name.replace("_", "."): text for name, text in others.items()}
        files = []
        for name, text in texts.items():
            if text is not None:
                path = self.folder / name
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
                files.append(SourceFile(name, path))
        bundle = check_files(
            files, format=GENERIC, today=TODAY, roster=self._on_roster, scratch=self.scratch
        )
        self.bundles.append(bundle)
        return bundle

    def _on_roster(self, ids: Sequence[str]) -> set[str]:
        self.asked += ids
        return self.roster.intersection(ids)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for bundle in desk.bundles:
        bundle.close()


def said(bundle: CheckedBundle) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.line) for finding in bundle.findings.findings]


def loadable(bundle: CheckedBundle, table: str) -> list[bool]:
    return bundle.tables[table].index["is_loadable"].to_list()


def test_a_clean_delivery(desk: Desk) -> None:
    bundle = desk.check(STUDENTS + student(1) + student(2), GUARDIANS + guardian(1) + guardian(2))
    assert bundle.verdict is Verdict.CLEAN
    assert [(file.name, file.table, file.rows) for file in bundle.files] == [
        ("students.csv", "students", 2),
        ("guardians.csv", "guardians", 2),
    ]
    students, guardians = bundle.tables["students"].index, bundle.tables["guardians"].index
    assert students["key_hash"].to_list() == guardians["parent_hash"].to_list()
    assert students["parent_hash"].null_count() == 2
    assert bundle.tables["guardians"].may_delete
    assert not bundle.tables["students"].may_delete
    assert desk.asked == []


def test_no_known_file_is_unrecognised(desk: Desk) -> None:
    bundle = desk.check(None, export_csv=STUDENTS + student(1))
    assert bundle.verdict is Verdict.UNRECOGNISED
    assert said(bundle) == [("looks-like", None)]
    assert bundle.files[0].table is None


def test_identical_rows_count_once(desk: Desk) -> None:
    rows = "".join(student(n) for n in range(1, 30))
    bundle = desk.check(STUDENTS + rows + student(7))
    assert said(bundle) == [("duplicate-rows", 31)]
    assert bundle.verdict is Verdict.CLEAN
    assert loadable(bundle, "students") == [True] * 29 + [False]
    assert (bundle.tables["students"].duplicates, bundle.tables["students"].faulty) == (1, 0)


def test_rows_written_differently_can_be_identical(desk: Desk) -> None:
    rows = "".join(student(n) for n in range(1, 30))
    bundle = desk.check(STUDENTS + rows + student(" 7 ", name='"Ana"', born="04/01/2015"))
    assert bundle.tables["students"].duplicates == 1


def test_different_rows_of_one_key_are_all_left_out(desk: Desk) -> None:
    rows = "".join(student(n) for n in range(1, 30))
    bundle = desk.check(STUDENTS + rows + student(7, name="Eva") + student(7))
    assert said(bundle) == [("conflicting-rows", line) for line in (8, 31, 32)]
    assert loadable(bundle, "students") == [n not in {6, 29, 30} for n in range(31)]
    assert bundle.tables["students"].faulty == 3


def test_a_faulty_row_takes_its_sound_twin_with_it(desk: Desk) -> None:
    """Which of two rows for one student is right, nobody can know."""
    rows = "".join(student(n) for n in range(1, 30))
    bundle = desk.check(STUDENTS + rows + student(7, born="x"))
    assert ("conflicting-rows", 8) in said(bundle)
    assert bundle.tables["students"].faulty == 2


def test_a_guardian_id_stands_for_the_names(desk: Desk) -> None:
    rows = (
        guardian(1, known_as="g1")
        + guardian(1, known_as="g2")
        + guardian(1)
        + guardian(1, name="Leo", known_as="g3")
        + guardian(1, name="Max", known_as="g3")
        + guardian(2)
    )
    bundle = desk.check(STUDENTS + student(1) + student(2), GUARDIANS + rows)
    assert said(bundle) == [("conflicting-rows", 5), ("conflicting-rows", 6)]
    assert bundle.findings.findings[0].facts["value"] == "1, Rivera, Leo, g3"


def test_a_guardian_of_a_student_on_the_roster_is_left_out(desk: Desk) -> None:
    desk.roster = {"9"}
    bundle = desk.check(STUDENTS + student(1), GUARDIANS + guardian(9) + guardian(1))
    assert said(bundle) == [("student-not-in-file", 2)]
    assert loadable(bundle, "guardians") == [False, True]
    assert bundle.verdict is Verdict.CLEAN
    assert bundle.tables["guardians"].may_delete
    assert bundle.tables["guardians"].faulty == 0
    assert desk.asked == ["9"]


def test_a_guardian_of_nobody_stops_deletions(desk: Desk) -> None:
    bundle = desk.check(STUDENTS + student(1), GUARDIANS + guardian(9) + guardian(1))
    assert said(bundle) == [("unknown-student", 2)]
    assert not bundle.tables["guardians"].may_delete
    assert bundle.tables["guardians"].faulty == 1


def test_a_faulty_student_does_not_make_the_guardians_faulty(desk: Desk) -> None:
    """One fault is one finding; what hangs on it is a remark."""
    students = "".join(student(n) for n in range(1, 30)) + student(30, born="x")
    bundle = desk.check(STUDENTS + students, GUARDIANS + guardian(30) + guardian(1))
    assert said(bundle) == [("bad-date", 31), ("student-not-in-file", 2)]
    assert bundle.tables["guardians"].faulty == 0
    assert bundle.tables["guardians"].may_delete


@pytest.mark.parametrize(
    "row", [guardian(""), guardian("1-2"), "1,Rivera\n", '1,"Rivera,Eva,,\n'], ids=repr
)
def test_a_row_without_a_certain_student_stops_deletions(desk: Desk, row: str) -> None:
    bundle = desk.check(STUDENTS + student(1), GUARDIANS + guardian(1) + row)
    assert not bundle.tables["guardians"].may_delete
    assert bundle.tables["guardians"].faulty == 1


def test_a_student_with_a_faulty_guardian_is_named(desk: Desk) -> None:
    rows = guardian(1) + guardian(2, phone="ask") + guardian(2, name="Leo")
    bundle = desk.check(STUDENTS + student(1) + student(2), GUARDIANS + rows)
    guardians = bundle.tables["guardians"]
    assert guardians.may_delete
    assert guardians.faulty_parents.to_list() == [bundle.tables["students"].index["key_hash"][1]]


@pytest.mark.parametrize(
    ("rows", "faulty", "verdict"),
    [
        (220, 11, Verdict.FAULTY),
        (219, 11, Verdict.BLOCKED),
        (20, 10, Verdict.FAULTY),
        (20, 11, Verdict.BLOCKED),
        (2, 2, Verdict.BLOCKED),
        (2, 1, Verdict.FAULTY),
    ],
)
def test_too_many_faulty_rows_block(desk: Desk, rows: int, faulty: int, verdict: Verdict) -> None:
    text = "".join(student(n, born="x" if n < faulty else "2015-04-01") for n in range(rows))
    bundle = desk.check(STUDENTS + text)
    assert bundle.tables["students"].faulty == faulty
    assert bundle.verdict is verdict


def test_unread_parents_accuse_no_child(desk: Desk) -> None:
    """Students without their key column would make every guardian one of nobody."""
    students = STUDENTS.replace("Student Id", "Number") + student(1)
    bundle = desk.check(students, GUARDIANS + guardian(1))
    assert {code for code, _ in said(bundle)} == {"unknown-column", "missing-column"}


def test_every_file_is_checked_to_its_end(desk: Desk) -> None:
    """A blocked file hides no fault, neither its own nor another's."""
    students = STUDENTS.replace("Gender", "Sex") + student(1) + student(2, born="x")
    bundle = desk.check(students, GUARDIANS + guardian(1, phone="?"))
    assert {"missing-column", "bad-date", "bad-phone"} <= {code for code, _ in said(bundle)}


def test_how_a_file_is_written_changes_no_hash(desk: Desk) -> None:
    plain = desk.check(STUDENTS + student(1) + student(2))
    cells = [line.split(",") for line in (STUDENTS + student(1, born="04/01/2015") + student(2))
             .splitlines()]  # fmt: skip
    turned = "\r\n".join(",".join(f'" {cell}"' for cell in row[::-1]) for row in cells)
    other = desk.check(turned.encode("utf-16"))
    assert other.verdict is Verdict.CLEAN
    assert plain.tables["students"].index.to_dicts() == other.tables["students"].index.to_dicts()


def test_wanted_rows_come_canonical_and_in_order(desk: Desk) -> None:
    rows = student("b", born="04/01/2015") + student("c") + student("a", name=" Ana ")
    bundle = desk.check(STUDENTS + rows)
    students = bundle.tables["students"]
    (frame,) = students.frames(pl.Series([True, False, True]))
    assert frame.columns == [*students.supplied, "row_hash"]
    assert frame.select("student_id", "first_name", "date_of_birth").rows() == [
        ("a", "Ana", "2015-04-01"),
        ("b", "Ana", "2015-04-01"),
    ]
    assert frame["row_hash"].to_list() == students.index["row_hash"].gather([2, 0]).to_list()
    assert list(students.frames(pl.Series([False] * 3))) == []
    with pytest.raises(ValueError, match="2 marks for 3 rows"):
        next(students.frames(pl.Series([True, True])))


def test_an_empty_cell_is_null(desk: Desk) -> None:
    bundle = desk.check(STUDENTS + student(1), GUARDIANS + '1,Rivera,Eva,"",  \n')
    (frame,) = bundle.tables["guardians"].frames(pl.Series([True]))
    assert frame.select("guardian_id", "home_phone").row(0) == (None, None)


def test_scratch_files_are_removed(desk: Desk) -> None:
    bundle = desk.check((STUDENTS + student(1, name="Zoé")).encode("cp1252"))
    assert [path.name for path in desk.scratch.rglob("*.csv")] == ["students.csv"]
    (frame,) = bundle.tables["students"].frames(pl.Series([True]))
    assert frame["first_name"].item() == "Zoé"
    with bundle:
        pass
    assert list(desk.scratch.iterdir()) == []


def test_scratch_files_are_removed_when_a_file_cannot_be_read(desk: Desk) -> None:
    missing = SourceFile("students.csv", desk.folder / "missing")
    with pytest.raises(FileNotFoundError):
        check_files([missing], format=GENERIC, today=TODAY, roster=None, scratch=desk.scratch)
    assert list(desk.scratch.iterdir()) == []


def test_the_same_columns_twice_are_read_once(desk: Desk) -> None:
    """The delivery is blocked; the rows below are checked all the same."""
    bundle = desk.check(
        STUDENTS.replace("Last Name", "First Name") + student(1) + student(2, born="x")
    )
    assert ("bad-date", 3) in said(bundle)
    assert bundle.verdict is Verdict.BLOCKED


def test_an_unknown_file_beside_known_ones_is_left_alone(desk: Desk) -> None:
    bundle = desk.check(STUDENTS + student(1), buses_csv="Route,Stop\n1,2\n")
    assert said(bundle) == [("unknown-file", None)]
    assert bundle.verdict is Verdict.CLEAN
    assert bundle.files[1].table is None
