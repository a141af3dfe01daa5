# SPDX-License-Identifier: Apache-2.0
"""What a roster table is called in the database, and the statements that fill it.

The statements are the files in `sql/`; here their gaps are filled for one table and for
the columns that one file supplies. Each of them names the district by itself, though row
security does so too: a role that may see all districts must not mix them up either.

Shape of a roster table: `district_id`, a column for each `Column.name`, `row_hash`,
`added_by`; the key is the district and the format's key. Where the format has an
alternative key (guardians), one text column `<name>_key` stands for both forms::

    guardian_key = "id:" guardian_id                              if there is a Guardian Id
                 / "name:" last_name %x1F first_name              otherwise
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from psycopg import sql

from nightdrop.core.formats.spec import Column, Rule, Table

_SQL = Path(__file__).parent / "sql"
_DISTRICT = sql.SQL(
    # As a subquery it is evaluated once; the bare expression would be for every row.
    "(SELECT NULLIF(current_setting('nightdrop.district', true), '')::uuid)"
)
_COMMA = sql.SQL(", ")


@dataclass(frozen=True, slots=True)
class RosterTable:
    """The roster table that a format's table fills, for a file with these columns."""

    table: Table
    supplied: tuple[str, ...]

    @property
    def name(self) -> str:
        """The table's name in the database: one row's noun, where the file has the plural."""
        return self.table.name.removesuffix("s")

    @property
    def stage(self) -> sql.Composable:
        """The temporary table in which the file's rows wait."""
        return sql.Identifier("pg_temp", f"staged_{self.name}")

    def statement(self, name: str) -> sql.Composed:
        """Return the statement of the file `sql/<name>.sql`, for this table."""
        return _read_sql(name).format(
            roster=sql.Identifier(self.name),
            stage=self.stage,
            district=_DISTRICT,
            columns=_COMMA.join(map(sql.Identifier, (*self.supplied, *self._key_column))),
            match=self._match,
            differs=self._differs,
            next_key=self._next_key,
            assignments=_COMMA.join(
                sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in self._assigned
            ),
            headed=_COMMA.join(map(_headed, map(self.table.column, self.supplied))),
            order=_COMMA.join(
                sql.SQL('{} COLLATE "C"').format(sql.Identifier(name))
                for name in (*self._matched_by, *self._key_column)
            ),
        )

    def stage_statement(self) -> sql.Composed:
        """Return the statement that makes the stage, with every column the table can have."""
        columns: list[sql.Composable] = [
            sql.SQL("{} {}").format(sql.Identifier(column.name), _type_of(column))
            for column in self.table.columns
        ]
        if self.table.alternative_key is not None:
            columns.append(
                sql.SQL("{} text GENERATED ALWAYS AS ({}) STORED").format(
                    sql.Identifier(*self._key_column), self._key_expression
                )
            )
            columns.append(sql.SQL("former_key text"))
        return _read_sql("stage").format(stage=self.stage, columns=sql.SQL(",\n    ").join(columns))

    def copy_statement(self) -> sql.Composed:
        """Return the COPY that brings rows into the stage: `supplied`, then the hash."""
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')").format(
            self.stage, _COMMA.join(map(sql.Identifier, (*self.supplied, "row_hash")))
        )

    @property
    def _key_column(self) -> tuple[str, ...]:
        return () if self.table.alternative_key is None else (f"{self.name}_key",)

    @property
    def _supplies_key(self) -> bool:
        """Whether a row's key can be told from this file alone."""
        alternative = self.table.alternative_key
        return alternative is None or alternative in self.supplied

    @property
    def _key_expression(self) -> sql.Composed:
        assert self.table.alternative_key is not None  # noqa: S101 - the caller has looked
        names = sql.SQL(" || chr(31) || ").join(map(sql.Identifier, self.table.key[1:]))
        return sql.SQL("COALESCE('id:' || {}, 'name:' || {})").format(
            sql.Identifier(self.table.alternative_key), names
        )

    @property
    def _match(self) -> sql.Composable:
        """The condition under which roster row `r` is staged row `s`, known by its former key."""
        if not self._key_column:
            return _all_equal(self.table.key)
        return sql.SQL("{} AND r.{key} = COALESCE(s.former_key, s.{key})").format(
            _all_equal(self.table.key[:1]), key=sql.Identifier(*self._key_column)
        )

    @property
    def _assigned(self) -> Sequence[str]:
        """What an update sets. A key that the file does not supply in full stays."""
        values = [name for name in self.supplied if name not in self._matched_by]
        return [*values, *(self._key_column if self._supplies_key else ())]

    @property
    def _matched_by(self) -> tuple[str, ...]:
        """The columns that are equal in rows that match."""
        return self.table.key[:1] if self._key_column else self.table.key

    @property
    def _differs(self) -> sql.Composed:
        # The key is told from columns that are compared, so it needs no comparing.
        names = [name for name in self._assigned if name not in self._key_column]
        return sql.SQL("{} IS DISTINCT FROM {}").format(_row_of("r", names), _row_of("s", names))

    @property
    def _next_key(self) -> sql.Composed:
        side = "s" if self._supplies_key else "r"
        parts = [(self.table.key[0], "s"), *((name, side) for name in self._key_column)]
        if not self._key_column:
            parts += [(name, "s") for name in self.table.key[1:]]
        return sql.SQL("jsonb_build_object({})").format(
            _COMMA.join(
                sql.SQL("{}, {}").format(sql.Literal(name), sql.Identifier(row, name))
                for name, row in parts
            )
        )


@cache
def _read_sql(name: str) -> sql.SQL:
    text = (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    return sql.SQL(text)


def _type_of(column: Column) -> sql.SQL:
    return sql.SQL("date") if column.rule is Rule.PAST_DATE else sql.SQL("text")


def _headed(column: Column) -> sql.Composed:
    """Select a column as the format heads and writes it, whatever the session's DateStyle is."""
    name = sql.Identifier(column.name)
    value = sql.SQL("to_char({}, 'YYYY-MM-DD')") if column.rule is Rule.PAST_DATE else sql.SQL("{}")
    return sql.SQL("{} AS {}").format(value.format(name), sql.Identifier(column.heading))


def _all_equal(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("r.{0} = s.{0}").format(sql.Identifier(name)) for name in names
    )


def _row_of(row: str, names: Sequence[str]) -> sql.Composed:
    return sql.SQL("ROW({})").format(_COMMA.join(sql.Identifier(row, name) for name in names))
