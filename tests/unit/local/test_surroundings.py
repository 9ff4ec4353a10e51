"""What stands for Secrets and volumes: the right database, and no secret where it could be seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration.local.errors import ManifestError
from dbmigration.local.surroundings import (
    Surroundings,
    absolute_url,
    environment_of_steps,
    manifest_of_options,
    places,
    wish_of,
)

NO_BACKUP = manifest_of_options("shop", "a test", dict)


def around(url="sqlite:////shop.db", project=Path("/app"), **more):
    return Surroundings(url=url, project=project, **more)


@pytest.fixture(autouse=True)
def _no_runtime_folder(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


@pytest.fixture
def project(tmp_path):
    path = tmp_path / "application"
    path.mkdir()
    (path / "alembic.ini").touch()
    return path


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("postgresql+psycopg://shop:S3cret@db:5433/shop?sslmode=require", "postgresql://db:5433/shop"),
        ("postgresql://shop:S3cret@/shop?host=/run/one&password=S3cret", "postgresql:///shop host=/run/one"),
        ("postgresql://shop:S3cret@[::1]/shop", "postgresql://::1/shop"),
        ("postgresql://shop:12/S3cret?#:@db:5433/shop", "postgresql://db:5433/shop"),
        ("postgresql://shop@tenant:S3cret@db/shop", "postgresql://db/shop"),
        ("sqlite:////data/shop.db", "sqlite:////data/shop.db"),
        ("sqlite:////data@home/shop.db", "sqlite:////data@home/shop.db"),
    ],
)
def test_a_database_is_told_apart_by_where_it_is_and_by_nothing_secret(url, database):
    assert around(url).database == database


@pytest.mark.parametrize(
    "url", ["", "shop", "postgresql://shop:S3cret@[db/shop", "postgresql://shop:S3cret@db:port/shop"]
)
def test_a_url_that_cannot_be_read_is_refused_without_being_repeated(url):
    with pytest.raises(ManifestError) as caught:
        around(url).database  # noqa: B018  # it is what raises
    assert "S3cret" not in str(caught.value)
    assert "cannot be read" in str(caught.value)


_PIECES = ("zz", "qw", "7", "@", "/", "?", "#", ":", "&", "=", "[", "]", "%", " ", "host=", "dbname=")
_ELSEWHERE = "postgresql+psycopg mysql+pymysql sqlite :// //: 127.0.0.1:54999/shop host=127"  # and told of any URL


@given(
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=7).map("".join),
    st.sampled_from(["postgresql", "postgresql+psycopg", "mysql+pymysql", "sqlite"]),
)
@settings(deadline=None, max_examples=300)
def test_no_piece_of_a_password_is_shown_however_it_is_written(password, scheme):
    url = f"{scheme}://user:{password}@127.0.0.1:54999/shop"
    try:
        shown = around(url).database
    except ManifestError as error:
        shown = str(error)
    if shown.startswith(
        ("The URL has more than one @: in a password write @ as %40", "The database URL cannot be read.")
    ):
        shown = ""
    pieces = {password[start : start + 2] for start in range(len(password) - 1)}
    assert not [piece for piece in pieces if piece in shown and piece not in _ELSEWHERE]


def test_no_url_stands_in_what_is_printed_of_the_surroundings():
    assert "S3cret" not in repr(around("postgresql://shop:S3cret@db/shop", admin_url="postgresql://a:S3cret@db/shop"))


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("sqlite:///shop.db", "sqlite:////here/shop.db"),
        ("sqlite+aiosqlite:///data/shop.db?timeout=5", "sqlite+aiosqlite:////here/data/shop.db?timeout=5"),
        ("sqlite:////data/shop.db", "sqlite:////data/shop.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql:///shop", "postgresql:///shop"),
    ],
)
def test_a_relative_file_is_meant_from_where_the_program_was_started(url, absolute):
    assert absolute_url(url, Path("/here")) == absolute


def test_the_files_with_the_urls_are_for_their_owner_and_go_with_the_run(project, tmp_path):
    url = "postgresql://shop:S3cret@db/shop"
    with places(NO_BACKUP, around(url, project, admin_url=url), tmp_path) as found:
        assert Path(found.url_file).read_text(encoding="utf-8") == url
        for file in (found.url_file, found.admin_url_file):
            assert Path(file).stat().st_mode & 0o077 == 0
            assert Path(file).parent.stat().st_mode & 0o077 == 0
    assert not Path(found.url_file).exists()
    assert not Path(found.url_file).parent.exists()


def test_the_url_is_kept_in_memory_where_the_system_has_a_folder_for_that(project, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with places(NO_BACKUP, around(project=project), tmp_path / "one") as first:
        assert Path(first.url_file).is_relative_to(tmp_path / "dbmigration")
        with places(NO_BACKUP, around(project=project), tmp_path / "two"):
            pass
        assert Path(first.url_file).exists()


def test_two_databases_do_not_share_a_folder_of_backups(project, tmp_path):
    """Retention counts what is in the folder: it would remove the other database's backups."""
    manifest = manifest_of_options("shop", None, dict)
    folders = set()
    for url in ("postgresql://staging/shop", "postgresql://production/shop"):
        with places(manifest, around(url, project, backups=tmp_path / "backups"), tmp_path) as found:
            folders.add(found.backups)
    assert len(folders) == 2


def test_a_project_without_its_configuration_is_named(project, tmp_path):
    (project / "alembic.ini").unlink()
    with (
        pytest.raises(ManifestError, match=r"There is no alembic\.ini in"),
        places(NO_BACKUP, around(project=project), tmp_path),
    ):
        pass


def test_another_project_is_another_wish():
    assert wish_of(NO_BACKUP, around(project=Path("/one"))) != wish_of(NO_BACKUP, around(project=Path("/two")))


def test_a_step_does_not_inherit_the_url():
    own = {"DBMIGRATION_URL": "postgresql://shop:S3cret@db/shop", "DBMIGRATION_ADMIN_URL": "x", "PATH": "/bin"}
    assert environment_of_steps(NO_BACKUP, own) == {"PATH": "/bin"}


def test_the_manifests_own_environment_is_set_and_what_comes_from_objects_must_be_there():
    env = (
        {"name": "TIER", "value": "gold"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
    )
    template = NO_BACKUP.spec.pod_template.model_copy(update={"env": env})
    manifest = type(NO_BACKUP)("default", "shop", {}, NO_BACKUP.spec.model_copy(update={"pod_template": template}))
    assert environment_of_steps(manifest, {"TOKEN": "t"}) == {"TIER": "gold", "TOKEN": "t"}
    with pytest.raises(ManifestError, match="TOKEN"):
        environment_of_steps(manifest, {})
