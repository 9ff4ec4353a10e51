"""Which keys are built after the rows: those that a table can do without, each given back as the server wrote it."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines.mysql_keys import apart

HEAD = b"/*M!999999\\- enable the sandbox mode */ \n\n/*!40014 SET FOREIGN_KEY_CHECKS=0 */;\n"
SAVED = b"/*!40101 SET @saved_cs_client     = @@character_set_client */;\n"


def table(*lines, name=b"`orders`", end=b") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n"):
    return SAVED + b"CREATE TABLE " + name + b" (\n" + b",\n".join(b"  " + line for line in lines) + b"\n" + end


ID = b"`id` int(11) NOT NULL AUTO_INCREMENT"
NOTE = b"`note` text COMMENT '  KEY `no` (`id`),\\n'"
PRIMARY, UNIQUE = b"PRIMARY KEY (`id`)", b"UNIQUE KEY `u` (`note`(9))"
KEY, FULLTEXT = b"KEY `by``note` (`note`(10))", b"FULLTEXT KEY `words` (`note`)"
FOREIGN = b"CONSTRAINT `to` FOREIGN KEY (`id`) REFERENCES `other` (`id`) ON DELETE CASCADE"
CHECK = b"CONSTRAINT `sane` CHECK (`id` < 7)"


def test_keys_that_rows_do_not_need_come_after_them_in_their_order():
    tables, keys = apart(HEAD + table(ID, NOTE, PRIMARY, UNIQUE, KEY, FULLTEXT, FOREIGN, CHECK))
    assert tables == HEAD + table(ID, NOTE, PRIMARY, UNIQUE, CHECK)
    altered = b"ALTER TABLE `orders`\n  ADD " + b",\n  ADD ".join((KEY, FULLTEXT, FOREIGN)) + b";\n"
    assert keys == HEAD.replace(b"\n\n", b"\n") + altered


def test_a_table_without_such_keys_is_as_it_was():
    text = HEAD + table(ID, NOTE, PRIMARY, UNIQUE, CHECK)
    assert apart(text) == (text, b"")


@pytest.mark.parametrize(
    "end",
    [
        b") ENGINE=MyISAM;\n",
        b") ENGINE=InnoDB WITH SYSTEM VERSIONING;\n",
    ],
)
def test_other_tables_keep_theirs(end):
    text = HEAD + table(ID, PRIMARY, KEY, end=end)
    assert apart(text) == (text, b"")


def test_a_table_with_a_period_keeps_its_own():
    text = HEAD + table(ID, PRIMARY, KEY, b"PERIOD FOR SYSTEM_TIME (`a`, `b`)")
    assert apart(text) == (text, b"")


def test_a_counter_keeps_the_key_that_it_needs():
    counting = (b"KEY `c` (`id`,`note`(3))", KEY)
    tables, keys = apart(HEAD + table(ID, NOTE, b"PRIMARY KEY (`note`(7))", *counting))
    assert counting[0] in tables
    assert keys.endswith(b"ALTER TABLE `orders`\n  ADD " + KEY + b";\n")


def test_each_table_gets_its_own_back():
    _, keys = apart(HEAD + table(ID, PRIMARY, KEY, name=b"`a (\n`") + table(ID, PRIMARY, KEY, name=b"`b``c`"))
    assert keys.count(b"ALTER TABLE") == 1  # a name with a line break is refused elsewhere, and here it is left alone
    assert b"ALTER TABLE `b``c`\n" in keys
