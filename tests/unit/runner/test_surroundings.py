"""What a database's settings and grants become when they are put back."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines.dump import Setting, Surroundings
from dbmigration_runner.engines.postgresql_probe import like
from dbmigration_runner.engines.postgresql_surroundings import gone, grants, settings, without


def surroundings(**facts):
    return Surroundings("shop", "UTF8", "C", "C", **facts)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("work_mem=8MB", "\"work_mem\" TO '8MB'"),
        ("application_name=it's", "\"application_name\" TO 'it''s'"),
        ("shop.tenant=a=b", '"shop"."tenant" TO \'a=b\''),
        ('search_path=sales, "Odd, ""schema", public', "\"search_path\" TO 'sales', 'Odd, \"schema', 'public'"),
        ('search_path=""', "\"search_path\" TO ''"),
        ('search_path="$user", public', "\"search_path\" TO '$user', 'public'"),
    ],
)
def test_a_setting_is_said_as_it_was_meant(setting, said):
    assert list(settings("d", surroundings(settings=(Setting(setting),)))) == [f'ALTER DATABASE "d" SET {said}']


def test_a_roles_setting_stays_the_roles():
    wanted = surroundings(settings=(Setting("work_mem=8MB", 'od"d'),))
    assert list(settings("d", wanted)) == ['ALTER ROLE "od""d" IN DATABASE "d" SET "work_mem" TO \'8MB\'']


def test_grants_begin_from_nothing():
    """What PUBLIC has by default was perhaps taken away."""
    wanted = surroundings(grants=("shop=CTc/shop", "=c/shop", '"odd=role/x"=T*/shop'))
    assert list(grants("d", wanted)) == [
        'REVOKE ALL ON DATABASE "d" FROM PUBLIC',
        'REVOKE ALL ON DATABASE "d" FROM "shop"',
        'GRANT CREATE ON DATABASE "d" TO "shop"',
        'GRANT TEMPORARY ON DATABASE "d" TO "shop"',
        'GRANT CONNECT ON DATABASE "d" TO "shop"',
        'GRANT CONNECT ON DATABASE "d" TO PUBLIC',
        'GRANT TEMPORARY ON DATABASE "d" TO "odd=role/x" WITH GRANT OPTION',
    ]


def test_where_nothing_was_granted_the_defaults_stay():
    assert list(grants("d", surroundings())) == []


def test_where_everything_was_revoked_nobody_is_granted_anything():
    wanted = surroundings(grants=("=/",))
    assert list(grants("d", wanted)) == [
        'REVOKE ALL ON DATABASE "d" FROM PUBLIC',
        'REVOKE ALL ON DATABASE "d" FROM "shop"',
    ]
    assert gone(wanted, frozenset()) == ()


def test_only_what_was_for_a_role_that_is_gone_is_left_out():
    wanted = surroundings(
        grants=("=c/shop", "odd=T*/shop", "shop=CTc/shop"),
        settings=(Setting("work_mem=8MB"), Setting("work_mem=9MB", "late"), Setting("work_mem=7MB", "shop")),
    )
    left = gone(wanted, frozenset({"shop"}))
    assert left == ("late", "odd")
    assert without(wanted, left) == surroundings(
        grants=("=c/shop", "shop=CTc/shop"), settings=(Setting("work_mem=8MB"), Setting("work_mem=7MB", "shop"))
    )
    assert without(wanted, ()) == wanted


def test_where_only_the_gone_were_granted_anything_nobody_is():
    """An empty list would bring PUBLIC's defaults back."""
    assert without(surroundings(grants=("odd=c/shop",)), ("odd",)).grants == ("=/",)


def test_what_icu_was_told_is_told_again():
    """Text sorts by it, and so do indexes."""
    told = like(surroundings(locale_provider="icu", locale="en-US", collation_rules="&z < 'a'"))
    assert told.endswith("LOCALE_PROVIDER = icu ICU_LOCALE = 'en-US' ICU_RULES = '&z < ''a'''")
    assert "ICU_RULES" not in like(surroundings(locale_provider="icu", locale="en-US"))
