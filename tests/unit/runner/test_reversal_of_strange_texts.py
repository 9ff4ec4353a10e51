"""Whatever a revision's text is, it is read without an error."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbmigration_runner.checks.reversal import Reversal, reversal
from tests.unit.runner.revisions import HEAD, loaded

NAMES = st.sampled_from(
    ["op", "sa", "x", "y", "drop_table", "batch_alter_table", "execute", "downgrade", "upgrade", "self"]
)
EXPRESSIONS = st.recursive(
    st.one_of(
        NAMES,
        st.text(max_size=12).map(repr),
        st.integers(-5, 5).map(repr),
        st.sampled_from(["None", "...", "b'x'", "1.5", "1j", "'DROP TABLE t'", "'%s %(a)d {} {0.x!r:>9}'", "f'{x!r}'"]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, NAMES).map(lambda part: f"({part[0]}).{part[1]}"),
        st.tuples(inner, st.lists(inner, max_size=3)).map(lambda part: f"({part[0]})({', '.join(part[1])})"),
        st.tuples(inner, inner).map(lambda part: f"({part[0]})(*{part[1]}, **{{'a': {part[1]}}})"),
        st.tuples(inner, st.sampled_from(["+", "%", "*", "==", "in", "is", "and", "or", "<"]), inner).map(
            lambda part: f"(({part[0]}) {part[1]} ({part[2]}))"
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"[{', '.join(parts)}, *x]"),
        st.tuples(inner, inner).map(lambda part: f"{{{part[0]}: {part[1]}, **y}}"),
        st.tuples(inner, inner).map(lambda part: f"({part[0]})[{part[1]}]"),
        st.tuples(inner, inner).map(lambda part: f"[{part[0]} for x in {part[1]} if y]"),
        st.tuples(inner, inner).map(lambda part: f"({part[0]} if x else {part[1]})"),
        inner.map(lambda part: f"(lambda x, *y, z=1, **w: {part})"),
        inner.map(lambda part: f"(x := {part})"),
    ),
    max_leaves=8,
)
STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS,
        EXPRESSIONS.map(lambda part: f"x, *y = {part}"),
        EXPRESSIONS.map(lambda part: f"x.y[z] += {part}"),
        EXPRESSIONS.map(lambda part: f"return {part}"),
        EXPRESSIONS.map(lambda part: f"raise {part}"),
        EXPRESSIONS.map(lambda part: f"assert {part}"),
        st.sampled_from(["pass", "global g", "del x", "import os.path as x", "from . import y", "from sqlalchemy import *"]),
    ),
    lambda inner: st.one_of(
        st.tuples(EXPRESSIONS, inner).map(lambda part: f"for x, y in {part[0]}:\n{_in(part[1])}\n    continue"),
        st.tuples(EXPRESSIONS, inner, inner).map(lambda part: f"if {part[0]}:\n{_in(part[1])}\nelse:\n{_in(part[2])}"),
        st.tuples(EXPRESSIONS, inner).map(lambda part: f"while {part[0]}:\n{_in(part[1])}\n    break"),
        st.tuples(EXPRESSIONS, inner).map(lambda part: f"with {part[0]} as x, y as (z, *w):\n{_in(part[1])}"),
        st.tuples(inner, inner).map(lambda part: f"try:\n{_in(part[0])}\nexcept x as y:\n{_in(part[1])}\nfinally:\n    pass"),
        st.tuples(EXPRESSIONS, inner).map(lambda part: f"match {part[0]}:\n    case [x, *y] if z:\n{_in(_in(part[1]))}"),
        st.tuples(inner, EXPRESSIONS).map(lambda part: f"def x(op, /, y={part[1]}, *, z={part[1]}, **w):\n{_in(part[0])}\nx(x)"),
        st.tuples(inner, inner).map("\n".join),
    ),
    max_leaves=6,
)  # fmt: skip


def _in(text: str) -> str:
    return textwrap.indent(text, "    ")


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(body=STATEMENTS)
def test_no_text_of_a_downgrade_is_too_strange(tmp_path, body):
    text = HEAD + "x = ('a', 'b')\ny = {'a': 1}\n\ndef downgrade():\n" + _in(body)
    try:
        ast.parse(text)
        compile(text, "m", "exec")
    except (SyntaxError, ValueError):
        return
    found = reversal(loaded(tmp_path, text))
    assert isinstance(found, Reversal)
    for sentence in found.unclear:
        assert sentence.isprintable() or "\n" not in sentence
        assert len(sentence) <= 200
