"""The name of its own schema is left out of the server's text; a column of a table that is called like it is not touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.engines.mysql_own_name import without_schema

# Written with the schema's name as `s`. for what is to go; `shop` is the schema.
CASES = [
    "select `s`.`orders`.`id` AS `id` from `s`.`orders`",
    "select `s`.`shop`.`id` AS `id` from (`s`.`shop` join `s`.`orders` on(`s`.`orders`.`id` = `s`.`shop`.`o`))",
    "select `shop`.`id` AS `id` from ((`s`.`orders` `shop` join `s`.`a` on((`shop`.`id`) = 1)) left join `s`.`b` on(`shop`.`id` = `s`.`b`.`id`))",
    "select `shop`.`id`,`shop`.`o` AS `o` from `s`.`orders` `shop` where `shop`.`id` in (select 1 from `s`.`t`) group by `shop`.`o`",
    "select extract(year from `shop`.`at`),trim(leading 'x' from `shop`.`n`) from `s`.`orders` `shop`",
    "select extract(year from (select max(`shop`.`at`) from `s`.`orders` `shop`)) AS `y`",
    "select 'it''s `shop`.`t` from `shop`.`t`','\\'`shop`.`t`',`s`.`one`(`shop`.`id`) AS `from` from `s`.`orders` `shop`",
    "select nextval(`s`.`numbers`),count(`shop`.`id`) from `s`.`orders` `shop` straight_join `other`.`shop` union select 1,2 from `s`.`t`",
    "with `c` as (select `shop`.`id` from (select `s`.`t`.`id` AS `id` from `s`.`t`) `shop`)select * from `c`",
    "CREATE DEFINER=`shop`@`%` SQL SECURITY DEFINER VIEW `s`.`v` AS select `other`.`shop`.`id` from `other`.`shop`",
    "CREATE TABLE `t` (\n  `id` int DEFAULT (nextval(`s`.`numbers`) + 1) COMMENT '`shop`.`t`',\n  CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `s`.`t` (`id`)\n)",
]


@pytest.mark.parametrize("text", CASES)
def test_it_goes_where_it_stands_before_a_table_and_nowhere_else(text):
    assert without_schema("shop", text.replace("`s`.", "`shop`.")) == text.replace("`s`.", "")


@pytest.mark.parametrize("text", CASES)
@given(name=st.text(st.sampled_from("a`.' (é"), min_size=1, max_size=8))
def test_the_text_is_the_same_from_a_schema_of_whatever_other_name(text, name):
    """As a copy has one: the alias stays what it was."""
    quoted = "`" + name.replace("`", "``") + "`"
    if quoted not in text:
        assert without_schema(name, text.replace("`s`.", f"{quoted}.")) == text.replace("`s`.", "")
