# SPDX-License-Identifier: Apache-2.0
"""The rules for single cells."""

import re
import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.formats import values
from nightdrop.core.formats.findings import CATALOGUE
from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.languages import LANGUAGES
from nightdrop.core.formats.spec import Column, Rule
from nightdrop.core.formats.values import Fault, canonical, oldest_birth_date

TODAY = date(2026, 9, 1)
DATE_FORMS = ("{m}/{d}/{y}", "{m}-{d}-{y}", "{y}/{m}/{d}", "{y}-{m}-{d}")
COLUMNS = [column for table in GENERIC.tables for column in table.columns]


def read(rule: Rule, text: str, *, required: bool = False) -> str | Fault:
    column = Column(heading="X", name="x", rule=rule, required=required, choices=("ONE", "TWO"))
    return canonical(column, text, today=TODAY)


@pytest.mark.parametrize(
    ("rule", "text", "wanted"),
    [
        (Rule.TEXT, "  O'Brien \u00a0", "O'Brien"),
        (Rule.TEXT, "Jose\u0301", "Jos\u00e9"),
        (Rule.TEXT, "12 Oak St\r\nApt 4\rBell 2", "12 Oak St\nApt 4\nBell 2"),
        (Rule.TEXT, "x" * 255, "x" * 255),
        (Rule.IDENTIFIER, "0001001", "0001001"),
        (Rule.IDENTIFIER, "aZ9", "aZ9"),
        (Rule.PAST_DATE, "04/01/2015", "2015-04-01"),
        (Rule.PAST_DATE, "04-01-2015", "2015-04-01"),
        (Rule.PAST_DATE, "2015/04/01", "2015-04-01"),
        (Rule.PAST_DATE, "2015-04-01", "2015-04-01"),
        (Rule.PAST_DATE, "02/29/2016", "2016-02-29"),
        (Rule.PAST_DATE, "2026-09-01", "2026-09-01"),
        (Rule.PAST_DATE, "1906-09-02", "1906-09-02"),
        *((Rule.GENDER, text, "M") for text in ("M", "m", "male", "Male")),
        *((Rule.GENDER, text, "F") for text in ("F", "f", "female", "Female")),
        (Rule.CHOICE, "TWO", "TWO"),
        (Rule.LANGUAGE, "EN", "en"),
        (Rule.PHONE, "+1 (614) 555-0100 x.7", "+1 (614) 555-0100 x.7"),
        (Rule.EMAIL, "a.o'brien+x@mail.example.org", "a.o'brien+x@mail.example.org"),
    ],
)
def test_good_cell_becomes_canonical(rule: Rule, text: str, wanted: str) -> None:
    assert read(rule, text) == wanted


@pytest.mark.parametrize(
    ("rule", "text", "code"),
    [
        (Rule.TEXT, "Ana\x07", "control-character"),
        (Rule.TEXT, "x" * 256, "text-too-long"),
        (Rule.IDENTIFIER, "10-01", "bad-identifier"),
        (Rule.IDENTIFIER, "1" * 21, "bad-identifier"),
        (Rule.IDENTIFIER, "\u0661\u0662", "bad-identifier"),
        (Rule.IDENTIFIER, "1001\u200b", "bad-identifier"),
        (Rule.PAST_DATE, "1/2/2010", "bad-date"),
        (Rule.PAST_DATE, "2010-2-3", "bad-date"),
        (Rule.PAST_DATE, "02/30/2012", "bad-date"),
        (Rule.PAST_DATE, "02/29/2015", "bad-date"),
        (Rule.PAST_DATE, "13/01/2012", "bad-date"),
        (Rule.PAST_DATE, "04/01-2015", "bad-date"),
        (Rule.PAST_DATE, "0000-01-01", "bad-date"),
        (Rule.PAST_DATE, "2015-04-01T00:00", "bad-date"),
        (Rule.PAST_DATE, "\u0662015-04-01", "bad-date"),
        (Rule.PAST_DATE, "2026-09-02", "date-in-future"),
        (Rule.PAST_DATE, "9999-12-31", "date-in-future"),
        (Rule.PAST_DATE, "1906-09-01", "too-old"),
        (Rule.PAST_DATE, "0010-04-01", "too-old"),
        (Rule.GENDER, "MALE", "bad-gender"),
        (Rule.GENDER, "Fem", "bad-gender"),
        (Rule.CHOICE, "two", "bad-choice"),
        (Rule.LANGUAGE, "xx", "bad-language"),
        (Rule.LANGUAGE, "eng", "bad-language"),
        (Rule.LANGUAGE, "\uff45\uff4e", "bad-language"),
        (Rule.PHONE, "555-0100 (mother)", "bad-phone"),
        (Rule.EMAIL, "ana@example", "bad-email"),
        (Rule.EMAIL, "Ana <ana@example.org>", "bad-email"),
        (Rule.EMAIL, "ana@example.org, luis@example.org", "bad-email"),
        (Rule.EMAIL, "ana@@example.org", "bad-email"),
        (Rule.EMAIL, "ana@example..org", "bad-email"),
    ],
)
def test_bad_cell_is_a_fault(rule: Rule, text: str, code: str) -> None:
    assert read(rule, text) == Fault(code)


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("text", ["", "   ", "\u00a0\t"])
def test_empty_cell_is_empty_or_a_fault_where_it_must_be_filled(rule: Rule, text: str) -> None:
    assert read(rule, text) == ""
    assert read(rule, text, required=True) == Fault("empty-required")


@pytest.mark.parametrize(
    ("today", "wanted"),
    [
        (date(2026, 9, 1), date(1906, 9, 1)),
        (date(2024, 2, 29), date(1904, 2, 29)),
        (date(2020, 2, 29), date(1900, 2, 28)),
    ],
)
def test_oldest_birth_date_exists_in_every_year(today: date, wanted: date) -> None:
    assert oldest_birth_date(today) == wanted


@given(st.sampled_from(COLUMNS), st.text(max_size=30))
def test_canonical_form_is_its_own_canonical_form(column: Column, text: str) -> None:
    found = canonical(column, text, today=TODAY)
    if isinstance(found, str):
        assert canonical(column, found, today=TODAY) == found
    else:
        assert found.code in CATALOGUE


@given(st.dates(date(1906, 9, 2), TODAY), st.sampled_from(DATE_FORMS))
def test_every_real_date_is_read_in_every_form(day: date, form: str) -> None:
    written = form.format(y=f"{day.year:04d}", m=f"{day.month:02d}", d=f"{day.day:02d}")
    assert read(Rule.PAST_DATE, written) == day.isoformat()


def test_blanks_are_unicode_white_space() -> None:
    spaces = {chr(point) for point in range(0x11000) if unicodedata.category(chr(point)) == "Zs"}
    assert spaces | set("\t\n\x0b\x0c\r\x85\u2028\u2029") == set(values.BLANKS)


@pytest.mark.parametrize(
    "pattern",
    [
        values.IDENTIFIER_PATTERN,
        values.PHONE_PATTERN,
        values.LANGUAGE_PATTERN,
        values.EMAIL_PATTERN,
        *values.DATE_PATTERNS,
    ],
)
def test_patterns_mean_the_same_in_python_and_rust(pattern: str) -> None:
    """Anchored, no look-around, no class that depends on the engine's idea of Unicode."""
    assert pattern.startswith("^")
    assert pattern.endswith("$")
    assert not re.search(r"\\[dwb]|\(\?[=!<]|\\[1-9]", pattern)


def test_languages_are_two_small_letters() -> None:
    assert len(LANGUAGES) == 183
    assert all(re.fullmatch("[a-z]{2}", code) for code in LANGUAGES)
    assert {"en", "es", "so", "vi", "zh"} <= LANGUAGES
