# SPDX-License-Identifier: Apache-2.0
"""How long a district's night takes, in multiples of what the bare database takes.

B is a bare psycopg COPY of the same two files into empty tables with their primary keys,
in one transaction, as the tables' owner without row security. Ours reads, checks,
compares, applies and commits, as the application's role under row security, in a fresh
process with everything imported. Both run in turn, in one run, on a database of their
own; a CHECKPOINT goes before each so that no one pays for another's writes.

Run: python bench/load.py [--students 500000] [--rounds 3] [--directory DIR]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import django
import django.apps
import polars as pl
import psycopg
from psycopg import sql

from nightdrop.cli.migrate import run_migrate
from nightdrop.config import load_config
from nightdrop.core.formats.generic import GENERIC, GUARDIANS, STUDENTS
from nightdrop.core.formats.spec import Table
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.roles import ADMIN, Role
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import SourceFile
from nightdrop.intake.load import apply, compare, load_order
from nightdrop.intake.sample import write_samples

TODAY = date(2026, 9, 1)
NOW = datetime(2026, 9, 1, tzinfo=UTC)
#: The alias of the role that may make districts.
OPERATOR = "operator"
FILES = (STUDENTS.file_name, GUARDIANS.file_name)
#: Every so many rows one is faulty, or one in so many has changed.
EVERY_FAULTY, EVERY_CHANGED = 20, 100
#: case -> (the variant of the files, whether the roster is emptied first, design's limit).
CASES: Mapping[str, tuple[str, bool, str]] = {
    "first load": ("sample", True, "2.2 B"),
    "same rows, other bytes": ("respelt", False, "0.8 B"),
    "1 % changed": ("changed", False, "1.1 B"),
    "first load, shuffled": ("shuffled", True, "1.3 of sorted"),
    "first load, 5 % faulty": ("faulty", True, "2 of clean"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One load: seconds of each step, the process's peak memory, what was counted."""

    check: float
    compare: float
    apply: float
    commit: float
    peak_mib: int
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The whole load."""
        return self.check + self.compare + self.apply + self.commit


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="keep and reuse the files here")
    parser.add_argument("--once", nargs=3, metavar=("CONNINFO", "DISTRICT", "FILES"))
    given = parser.parse_args()
    if given.once:
        conninfo, district, directory = given.once
        measured = load_once(conninfo, UUID(district), Path(directory))
        print(json.dumps(asdict(measured)))
        return
    with tempfile.TemporaryDirectory(prefix="nd-bench-") as scratch:
        # As root, PostgreSQL runs as a user who must be able to pass through.
        Path(scratch).chmod(0o755)
        files = make_files(given.directory or Path(scratch) / "files", students=given.students)
        with bench_database(Path(scratch) / "home") as server:
            run_rounds(server, files, rounds=given.rounds)


def run_rounds(server: EmbeddedPostgres, files: Path, *, rounds: int) -> None:
    """Run the baseline and each case in turn, and print a table."""
    bare: list[float] = []
    ours: dict[str, list[Measured]] = {case: [] for case in CASES}
    district = uuid4()
    for _ in range(rounds):
        for case, (variant, starts_empty, _) in CASES.items():
            if starts_empty:
                bare.append(load_bare(server, files / "sample"))
                make_district(server, district)
            settle(server)
            ours[case].append(start_load(server, district, files / variant))
    baseline = statistics.median(bare)
    print(f"B {baseline:.2f} s of {', '.join(f'{seconds:.2f}' for seconds in bare)}")
    sorted_load = statistics.median(run.seconds for run in ours["first load"])
    for case, runs in ours.items():
        seconds = statistics.median(run.seconds for run in runs)
        steps = " ".join(
            f"{name} {statistics.median(getattr(run, name) for run in runs):.2f}"
            for name in ("check", "compare", "apply", "commit")
        )
        print(
            f"{case:24} {seconds:5.2f} s  {seconds / baseline:4.2f} B"
            f"  {seconds / sorted_load:4.2f} of first  (at most {CASES[case][2]})"
            f"  {max(run.peak_mib for run in runs)} MiB  {steps}"
        )
        print(f"{'':24} {runs[-1].counts}")


def start_load(server: EmbeddedPostgres, district: UUID, files: Path) -> Measured:
    """Load in a fresh process, as the application's role."""
    said = subprocess.run(
        [sys.executable, __file__, "--once", server.conninfo(Role.APP), str(district), str(files)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Measured(**json.loads(said.stdout))


def load_once(conninfo: str, district: UUID, files: Path) -> Measured:
    """Load one delivery, and say how long each step took."""
    sources = [SourceFile(name, files / name) for name in FILES]
    steps = {"check": 0.0, "compare": 0.0, "apply": 0.0, "commit": 0.0}
    counts = {}
    with psycopg.connect(conninfo) as connection:
        connection.execute("SELECT set_config('nightdrop.district', %s, true)", [str(district)])
        clock = time.perf_counter()

        def tick(step: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            steps[step] += now - clock
            clock = now

        with check_files(sources, format=GENERIC, today=TODAY, roster=None) as bundle:
            tick("check")
            for checked in load_order(bundle):
                found = compare(connection, checked, students=bundle.tables["students"])
                tick("compare")
                counts[checked.table.name] = apply(connection, found, delivery=district).as_json()
                tick("apply")
        connection.commit()
        tick("commit")
    peak_mib = read_peak_mib()
    return Measured(peak_mib=peak_mib, counts=counts, **steps)


def read_peak_mib() -> int:
    """Return the most memory that this process had.

    Not by getrusage, which counts what its parent had when it was forked.
    """
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def load_bare(server: EmbeddedPostgres, files: Path) -> float:
    """Load the files into bare tables; the baseline B, in seconds."""
    settle(server)
    with psycopg.connect(server.conninfo(Role.OWNER), autocommit=True) as owner:
        for table in (STUDENTS, GUARDIANS):
            owner.execute(_bare_table(table, _headings(files / table.file_name)))
    with psycopg.connect(server.conninfo(Role.OWNER)) as connection:
        start = time.perf_counter()
        connection.execute("SET LOCAL datestyle = 'ISO, MDY'")
        for table in (STUDENTS, GUARDIANS):
            path = files / table.file_name
            columns = sql.SQL(", ").join(map(sql.Identifier, _headings(path)))
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(
                sql.Identifier(f"bare_{table.name}"), columns
            )
            with path.open("rb") as file, connection.cursor().copy(statement) as copy:
                while piece := file.read(1 << 20):
                    copy.write(piece)
        connection.commit()
        return time.perf_counter() - start


def _bare_table(table: Table, headings: Sequence[str]) -> sql.Composed:
    columns = [
        sql.SQL("{} {}").format(
            sql.Identifier(heading), sql.SQL("date" if "Date" in heading else "text")
        )
        for heading in headings
    ]
    key = [table.column(name).heading for name in table.key]
    return sql.SQL(
        "DROP TABLE IF EXISTS {0}; CREATE TABLE {0} (district_id uuid NOT NULL DEFAULT {1},"
        " {2}, PRIMARY KEY (district_id, {3})) WITH (fillfactor = 90)"
    ).format(
        sql.Identifier(f"bare_{table.name}"),
        sql.Literal(uuid4()),
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(map(sql.Identifier, key)),
    )


def _headings(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return file.readline().strip().split(",")


@contextmanager
def bench_database(home: Path) -> Iterator[EmbeddedPostgres]:
    """Start a server of its own, with Nightdrop's real tables."""
    os.environ["NIGHTDROP_HOME"] = str(home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "nightdrop.site.settings"
    django.setup()
    server = EmbeddedPostgres(home)
    with server.attach():
        run_migrate(load_config())
        yield server


def make_district(server: EmbeddedPostgres, district: UUID) -> None:
    """Empty the roster and make the district, with a delivery of the same id to load."""
    with psycopg.connect(server.conninfo(ADMIN), autocommit=True) as admin:
        admin.execute("TRUNCATE district, student, guardian CASCADE")
    get_model = django.apps.apps.get_model
    get_model("db", "District").objects.using(OPERATOR).create(
        id=district, username="bench.example", time_zone="UTC"
    )
    get_model("db", "Delivery").objects.using(OPERATOR).create(
        id=district, district_id=district, sealed_at=NOW, settles_at=NOW, state_since=NOW
    )


def settle(server: EmbeddedPostgres) -> None:
    """Let the server finish what it would do some time after a load."""
    with psycopg.connect(server.conninfo(ADMIN), autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE student, guardian")
        admin.execute("CHECKPOINT")


def make_files(directory: Path, *, students: int) -> Path:
    """Make the sample and its variants, unless they are there."""
    sample = directory / "sample"
    if sample.exists():
        return directory
    write_samples(sample, students=students, seed=1)
    for name in FILES:
        rows = pl.read_csv(sample / name, infer_schema=False)
        number = pl.int_range(pl.len())
        is_changed, is_faulty = number % EVERY_CHANGED == 0, number % EVERY_FAULTY == 0
        wrong = "Gender" if name == STUDENTS.file_name else "Email"
        variants = {
            "respelt": rows,
            "changed": rows.with_columns(
                Address=pl.when(is_changed).then(pl.lit("1 New Street")).otherwise("Address")
            ),
            "shuffled": rows.sample(fraction=1.0, shuffle=True, seed=1),
            "faulty": rows.with_columns(
                pl.when(is_faulty).then(pl.lit("none of these")).otherwise(wrong).alias(wrong)
            ),
        }
        for variant, frame in variants.items():
            (directory / variant).mkdir(exist_ok=True)
            frame.write_csv(
                directory / variant / name,
                line_terminator="\r\n",
                # Every cell in quotes: the same values in other bytes.
                quote_style="always" if variant == "respelt" else "necessary",
            )
    return directory


if __name__ == "__main__":
    main()
