# SPDX-License-Identifier: Apache-2.0
"""Settings: where they come from, and what a bad one is told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nightdrop.config import Config, ConfigRefused, LogFormat, load_config, read_secret_key
from nightdrop.config.settings import default_home


def _load(home: Path, **settings: str) -> Config:
    return load_config({"NIGHTDROP_HOME": str(home), **settings})


def _refusal(home: Path, **settings: str) -> ConfigRefused:
    with pytest.raises(ConfigRefused) as refused:
        _load(home, **settings)
    return refused.value


def test_a_later_source_wins(tmp_path: Path) -> None:
    assert _load(tmp_path).sftp_port == 2022
    (tmp_path / "nightdrop.toml").write_text("sftp_port = 2200\nbind = '::1'\n")
    assert _load(tmp_path).sftp_port == 2200
    assert _load(tmp_path, NIGHTDROP_SFTP_PORT="2300").sftp_port == 2300
    environ = {"NIGHTDROP_HOME": str(tmp_path), "NIGHTDROP_SFTP_PORT": "2300"}
    config = load_config(environ, overrides={"sftp_port": 0, "web_port": None})
    assert (config.sftp_port, config.web_port, config.bind) == (0, 8080, "::1")


def test_it_cannot_be_changed(tmp_path: Path) -> None:
    config = _load(tmp_path)
    with pytest.raises(ValidationError):
        config.sftp_port = 1  # type: ignore[misc]


def test_the_tree_is_in_the_home_unless_told(tmp_path: Path) -> None:
    assert _load(tmp_path).tree == tmp_path / "districts"
    assert _load(tmp_path, NIGHTDROP_TREE="/srv/tree").tree == Path("/srv/tree")


def test_a_relative_home_does_not_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _load(Path("scratch")).home == tmp_path / "scratch"


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert _load(tmp_path, NIGHTDROP_DATABASE_URL="", NIGHTDROP_BIND="").is_embedded


def test_hosts_are_separated_by_commas(tmp_path: Path) -> None:
    config = _load(
        tmp_path, NIGHTDROP_ALLOWED_HOSTS="a.example, b.example", NIGHTDROP_PUBLIC_HOST="c.example"
    )
    assert config.allowed_hosts == ("a.example", "b.example")
    assert config.web_hosts[:3] == ("c.example", "a.example", "b.example")
    (tmp_path / "nightdrop.toml").write_text("allowed_hosts = ['d.example']\n")
    assert _load(tmp_path).allowed_hosts == ("d.example",)


@pytest.mark.parametrize(
    ("name", "value", "why", "mend"),
    [
        ("SFTP_PORT", "ssh", "is not a whole number", "give a whole number from 0 to 65535"),
        ("SFTP_PORT", "65536", "is too large", "give a whole number from 0 to 65535"),
        ("WEB_PORT", "2022", "is also the port of the SFTP server", "give a whole number"),
        ("SFTP_LEGACY_PORT", "2022", "is also the port of the SFTP server", "give a whole number"),
        ("SFTP_LEGACY_PORT", "8080", "is also the port of the web console", "give a whole number"),
        ("SFTP_LEGACY_PORT", "old", "is not a whole number", "give a whole number from 0 to 65535"),
        ("SEAL_QUIET_SECONDS", "-1", "is too small", "give a number from 0 to 3600"),
        ("SEAL_QUIET_SECONDS", "nan", "is too large", "give a number from 0 to 3600"),
        ("BIND", "localhost", "is not an IP address", "give an IP address"),
        ("LOG_FORMAT", "xml", "is not one of the choices", "give one of auto, json, text"),
    ],
)
def test_a_bad_value_is_told_with_the_mend(
    tmp_path: Path, name: str, value: str, why: str, mend: str
) -> None:
    refusal = _refusal(tmp_path, **{f"NIGHTDROP_{name}": value})
    assert (refusal.name, refusal.value, refusal.why) == (f"NIGHTDROP_{name}", value, why)
    assert refusal.mend.startswith(mend)


def test_a_bad_value_is_named_as_its_giver_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "nightdrop.toml").write_text("web_workers = 0\n")
    assert _refusal(tmp_path).name == f"web_workers in {tmp_path / 'nightdrop.toml'}"
    (tmp_path / "nightdrop.toml").unlink()
    with pytest.raises(ConfigRefused) as refused:
        load_config({"NIGHTDROP_HOME": str(tmp_path)}, overrides={"web_port": 70000})
    assert refused.value.name == "--web-port"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("NIGHTDROP_SFTPPORT", "NIGHTDROP_SFTP_PORT"),
        ("NIGHTDROP_DATABASE", "NIGHTDROP_DATABASE_URL"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest(
    tmp_path: Path, wrong: str, meant: str
) -> None:
    refusal = _refusal(tmp_path, **{wrong: "1"})
    assert refusal.name == wrong
    assert meant in refusal.mend


def test_a_misspelt_name_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "nightdrop.toml"
    file.write_text("sftpport = 1\n")
    refusal = _refusal(tmp_path)
    assert refusal.name == f"sftpport in {file}"
    assert "sftp_port" in refusal.mend
    file.write_text("home = '/srv'\n")
    assert "NIGHTDROP_HOME" in _refusal(tmp_path).mend
    file.write_text("sftp_port = \n")
    assert _refusal(tmp_path).name == str(file)


def test_no_refusal_has_a_password(tmp_path: Path) -> None:
    bad = _refusal(tmp_path, NIGHTDROP_DATABASE_URL="mysql://app:hidden@db/roster?password=hidden")
    misspelt = _refusal(tmp_path, NIGHTDROP_DATABASE_URI="postgresql://app:hidden@db/roster")
    assert bad.value == "mysql://app@db/roster"
    assert "hidden" not in f"{vars(bad)}{vars(misspelt)}{bad}{misspelt}"
    good = _load(tmp_path, NIGHTDROP_DATABASE_URL="postgresql://app:hidden@db/roster")
    assert "hidden" not in repr(good)


def test_roles_are_not_spread_over_two_databases(tmp_path: Path) -> None:
    refusal = _refusal(tmp_path, NIGHTDROP_DATABASE_OWNER_URL="postgresql://owner@db/roster")
    assert refusal.name == "NIGHTDROP_DATABASE_URL"


def test_home_depends_on_who_starts_it() -> None:
    environ = {"HOME": "/home/ann"}
    assert default_home(environ, is_root=True) == Path("/var/lib/nightdrop")
    assert default_home(environ, is_root=False) == Path("/home/ann/.local/share/nightdrop")
    environ["XDG_DATA_HOME"] = "/data/ann"
    assert default_home(environ, is_root=False) == Path("/data/ann/nightdrop")


def test_a_secret_is_there_after_the_first_start(tmp_path: Path) -> None:
    config = _load(tmp_path)
    assert read_secret_key(config) is None
    config.secret_key_file.parent.mkdir(parents=True)
    config.secret_key_file.write_text("a secret\n")
    assert read_secret_key(config) == "a secret"


def test_choices_are_values(tmp_path: Path) -> None:
    assert _load(tmp_path, NIGHTDROP_LOG_FORMAT="json").log_format is LogFormat.JSON


def test_every_setting_is_described() -> None:
    for name, field in Config.model_fields.items():
        said: Any = field.description
        assert said, name
        assert said.endswith("."), name


def test_it_is_read_without_django() -> None:
    program = "import sys, nightdrop.config; print('django' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"
