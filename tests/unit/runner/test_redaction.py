"""No form of a secret passes, and ordinary words do."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from dbmigration_runner.redaction import Redactor

FORMS = [
    str,
    repr,
    json.dumps,
    quote,
    quote_plus,
    lambda word: quote(word, safe=""),
    lambda word: word.replace("%", "%%"),
    lambda word: quote(word, safe="").replace("%", "%%"),
    lambda word: base64.b64encode(word.encode()).decode(),
    lambda word: base64.b64encode((word + "\n").encode()).decode(),
    lambda word: f"password={word}",
    lambda word: base64.b64encode(f"shop:{word}".encode()).decode(),
]


def redactor(password):
    made = Redactor()
    url = URL.create("postgresql", username="shop", password=password, host="db", database="shop")
    made.add_url(url.render_as_string(hide_password=False), url)
    return made


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=6, max_size=30))
def test_no_form_of_the_password_passes(password):
    redact = redactor(password)
    for form in FORMS:
        written = form(password)
        assert written.strip("\"'=") not in redact(f"before {written} after").replace("***", "\0")


def test_a_url_with_a_password_of_somebody_else_is_masked_too():
    assert (
        Redactor()("connecting to postgresql://other:theirs@host/db now")
        == "connecting to postgresql://other:***@host/db now"
    )


@pytest.mark.parametrize("line", ["Running upgrade a1 -> a2, first", "https://host/path", "12:30:45 user@host"])
def test_ordinary_lines_stay_as_they_are(line):
    assert redactor("S3cret-word")(line) == line
