"""What a text of SQL would destroy: its statements are told apart by their first words, never executed or fully parsed.

Knows the words of PostgreSQL, MySQL and SQLite. A statement that it does not know destroys nothing; a name that only the
running script knows is a HOLE.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from dbmigration_runner.checks.drops import DESTROYS, HOLE, Drop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.checks.drops import Ledger

_TOKENS = tuple(
    re.compile(
        rf"""--[^\n]*|/\*.*?\*/|(?P<body>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<text>{literal})"""
        rf"""|(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[A-Za-z_][^\]\n]*\])|(?P<word>[\w{HOLE}$@]+)|(?P<sign>\S)""",
        re.DOTALL,
    )
    # Whether a backslash takes the meaning from a quote depends on the server, and on the letter before the literal.
    for literal in (r"[EeNn]?'(?:[^'\\]|''|\\.)*'", r"[Ee]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'")
)
_CONDITIONAL = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)  # which MySQL and MariaDB execute
_DESTROYING = re.compile(r"\b(DROP|DELETE|TRUNCATE|UPDATE|EXECUTE)\b", re.IGNORECASE)
# What `ALTER TABLE … DROP` drops where it is no column.
_NO_COLUMNS = ("CONSTRAINT", "INDEX", "KEY", "PRIMARY", "FOREIGN", "CHECK", "UNIQUE", "DEFAULT", "NOT")
_CASCADING = ("TYPE", "DOMAIN", "EXTENSION", "COLLATION")  # a column of such a type goes with it
_LONGEST = 200_000


class _Words:
    """One statement's tokens, and a place in them. A name that was quoted is kept apart from a word."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def take(self, *words: str) -> bool:
        """Go past these words if they come next."""
        found = [text.upper() for kind, text in self._tokens[self._at : self._at + len(words)] if kind == "word"]
        if found == list(words):
            self._at += len(words)
            return True
        return False

    def next_word(self) -> str:
        """The next token, in capitals; "" for what is no word, and at the end."""
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return text.upper() if kind == "word" else ""

    def skip(self) -> bool:
        """Go past one token; False at the end."""
        self._at += 1
        return self._at <= len(self._tokens)

    def name(self) -> str | None:
        """`[schema.]name`, as it is written; None where none comes."""
        parts: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at][0] in {"word", "quoted"}:
            parts.append(self._tokens[self._at][1])
            self._at += 1
            if not self.sign("."):
                break
        return ".".join(parts) or None

    def sign(self, sign: str) -> bool:
        """Go past this sign if it comes next."""
        if self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign):
            self._at += 1
            return True
        return False

    def rest(self) -> list[tuple[str, str]]:
        """What was not taken yet."""
        return self._tokens[self._at :]

    def called(self, pattern: re.Pattern[str]) -> str:
        """The first function with such a name that is called; "" where none is."""
        tokens = self.rest()
        behind = itertools.pairwise(tokens)
        return next(
            (
                name
                for (kind, name), then in behind
                if kind == "word" and then == ("sign", "(") and pattern.search(name)
            ),
            "",
        )

    def holds(self, *words: str) -> bool:
        """Does one of them come at all?"""
        return any(kind == "word" and text.upper() in words for kind, text in self.rest())


def read_sql(text: str, ledger: Ledger) -> None:
    """Enter what the statements of the text would take away."""
    ledger.acts = True
    if len(text) > _LONGEST:
        ledger.say("executes SQL that is too long to read")
        return
    text = _CONDITIONAL.sub(r" \1 ", text)
    for token in _TOKENS if "\\'" in text else _TOKENS[:1]:
        for statement in _statements(text, token):
            _read(_Words(statement), ledger)


def _statements(text: str, token: re.Pattern[str]) -> Iterator[list[tuple[str, str]]]:
    statement: list[tuple[str, str]] = []
    for match in token.finditer(text):
        kind = match.lastgroup
        found = match.group()
        if match.group("body"):
            statement.append(("body", found))
        elif kind == "quoted":
            closing = found[-1]
            statement.append(("quoted", found[1:-1].replace(closing * 2, closing)))
        elif kind == "sign" and found == ";":
            yield statement
            statement = []
        elif kind is not None:
            statement.append((kind, found))
    yield statement


def _read(words: _Words, ledger: Ledger) -> None:
    first = words.next_word()
    words.skip()
    match first:
        case "DROP":
            _read_drop(words, ledger)
        case "ALTER" | "RENAME":
            (_read_alter if first == "ALTER" else _read_renames)(words, ledger)
        case "TRUNCATE" | "CREATE":
            (_read_truncate if first == "TRUNCATE" else _read_create)(words, ledger)
        case "DELETE":
            _ = words.take("FROM") and words.take("ONLY")
            ledger.empty(words.name(), every_row=not words.holds("WHERE", "USING", "LIMIT", "JOIN"))
        case "UPDATE":
            _read_update(words, ledger)
        case "INSERT":
            enters = ledger.overwrite if words.holds("UPDATE") else ledger.fill
            _ = words.take("INTO")
            enters(words.name())
        case "REPLACE" | "MERGE":
            _ = words.take("INTO")
            ledger.overwrite(words.name())
        case "WITH" | "EXPLAIN" if words.holds("DELETE", "UPDATE"):
            ledger.say("deletes or overwrites rows by a statement that begins with WITH")
        case "DO" if any(kind in {"body", "text"} and _DESTROYING.search(text) for kind, text in words.rest()):
            ledger.say("runs a DO block that may destroy something")
        case "CALL" | "EXEC" | "SELECT" | "VALUES":
            _read_call(first, words, ledger)
        case _ if first.startswith(HOLE):
            ledger.say("executes SQL that is only known when it runs")
        case _:
            pass


def _read_call(first: str, words: _Words, ledger: Ledger) -> None:
    """A procedure may do anything; of a function that a query calls only its name speaks."""
    if first in {"CALL", "EXEC"}:
        ledger.say(f"calls the procedure {words.name() or 'of a name that is only known when it runs'}")
    elif name := words.called(DESTROYS):
        ledger.say(f"calls the function {name}")


def _read_drop(words: _Words, ledger: Ledger) -> None:
    if words.take("TABLE"):
        words.take("IF", "EXISTS")
        while True:
            ledger.drop(words.name())
            if not words.sign(","):
                return
    elif words.next_word() in {"SCHEMA", "DATABASE"}:
        kind = words.next_word().lower()
        words.skip()
        words.take("IF", "EXISTS")
        ledger.say(f"drops the {kind} {words.name() or ''} with everything in it")
    elif words.next_word() in _CASCADING and words.holds("CASCADE"):
        kind = words.next_word().lower()
        words.skip()
        words.take("IF", "EXISTS")
        ledger.say(f"drops the {kind} {words.name() or ''} with the columns that use it")
    elif words.next_word() == "OWNED":
        ledger.say("drops everything that a role owns")
    elif words.next_word().startswith(HOLE):
        ledger.say("drops something whose kind is only known when it runs")


def _read_alter(words: _Words, ledger: Ledger) -> None:
    if words.take("SCHEMA") and words.holds("RENAME"):
        ledger.say(f"renames the schema {words.name()}: what is dropped from it afterwards is not known")
    if not words.take("TABLE"):
        return
    words.take("IF", "EXISTS")
    words.take("ONLY")
    table = words.name()
    words.sign("*")
    for action in _split(words.rest()):
        _read_action(table, _Words(action), ledger)


def _read_action(table: str | None, words: _Words, ledger: Ledger) -> None:
    if words.take("DROP"):
        _read_drop_of(table, words, ledger)
    elif words.take("ALTER"):
        words.take("COLUMN")
        column_name = words.name()
        if words.take("TYPE") or words.take("SET", "DATA", "TYPE"):
            ledger.convert(table or HOLE, column_name or HOLE)
    elif words.take("MODIFY") or words.take("CHANGE"):
        words.take("COLUMN")
        ledger.convert(table or HOLE, words.name() or HOLE)
    elif words.take("RENAME"):
        _read_rename(table, words, ledger)
    elif words.take("SET", "SCHEMA"):
        ledger.rename(Drop(table or HOLE), Drop(f"{words.name()}.{(table or HOLE).rpartition('.')[2]}"))
    elif any(words.take(verb, "PARTITION") for verb in ("TRUNCATE", "CONVERT", "EXCHANGE")):
        ledger.say(f"empties a partition of {table}, or takes it away")
    elif words.take("ADD"):
        if words.take("COLUMN") and not words.take("IF", "NOT", "EXISTS"):
            ledger.make(table, words.name(), surely=True)
    elif words.next_word().startswith(HOLE):
        ledger.say(f"alters {table or 'a table'} in a way that is only known when it runs")


def _read_drop_of(table: str | None, words: _Words, ledger: Ledger) -> None:
    column = words.take("COLUMN")
    if not column and words.next_word() == "PARTITION":
        ledger.say(f"drops a partition of {table}")
    elif column or words.next_word() not in _NO_COLUMNS:
        words.take("IF", "EXISTS")
        ledger.drop(table, words.name() or "")


def _read_rename(table: str | None, words: _Words, ledger: Ledger) -> None:
    if words.next_word() in {"CONSTRAINT", "INDEX", "KEY"}:
        return
    if words.take("TO") or words.take("AS"):
        new = words.name()
        schema = (table or "").rpartition(".")[0]
        ledger.rename(Drop(table or ""), Drop(f"{schema}.{new}" if schema and new else new or ""))
        return
    words.take("COLUMN")
    old, _, new = words.name(), words.take("TO"), words.name()
    ledger.rename(Drop(table or "", old or HOLE), Drop(table or "", new or HOLE))


def _read_renames(words: _Words, ledger: Ledger) -> None:
    if not (words.take("TABLE") or words.take("TABLES")):
        return
    words.take("IF", "EXISTS")
    while True:
        old, _, new = words.name(), words.take("TO"), words.name()
        ledger.rename(Drop(old or HOLE), Drop(new or HOLE))
        if not words.sign(","):
            return


def _read_truncate(words: _Words, ledger: Ledger) -> None:
    words.take("TABLE")
    words.take("ONLY")
    while True:
        ledger.empty(words.name(), every_row=True)
        words.sign("*")
        if not words.sign(","):
            return


def _read_create(words: _Words, ledger: Ledger) -> None:
    """MariaDB drops the table that is there."""
    if words.take("OR", "REPLACE", "TABLE"):
        ledger.drop(words.name())


def _read_update(words: _Words, ledger: Ledger) -> None:
    words.take("ONLY")
    table = words.name()
    while words.next_word() != "SET":
        if not words.skip():
            return
    words.skip()
    columns: list[str] = []
    for assignment in _split(words.rest()):
        name = _Words(assignment).name()
        columns.append(name.rpartition(".")[2] if name is not None else HOLE)  # `(a, b) = …`
    ledger.overwrite(table, columns)


def _split(tokens: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """At the commas that stand in no bracket; of an UPDATE, until its WHERE."""
    depth, part = 0, list[tuple[str, str]]()
    for kind, text in tokens:
        if kind == "sign":
            depth += (text in "([") - (text in ")]")
        elif kind == "word" and depth == 0 and text.upper() in {"WHERE", "FROM", "RETURNING"}:
            break
        if (kind, text, depth) == ("sign", ",", 0):
            yield part
            part = []
        else:
            part.append((kind, text))
    yield part
