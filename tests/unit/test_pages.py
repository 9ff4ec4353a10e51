"""What the pages point at is there, and what they tell people to apply is accepted.

Whether a page's words are true is no business of these tests.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmigration.api.names import KIND
from dbmigration.local.manifest import parse_manifest

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "helm/dbmigration-operator/templates/NOTES.txt"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
REST = {"backup": {"skip": {"reason": "the page speaks of other fields"}}}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """As the hosts of repositories make them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every DatabaseMigration of a page, and every piece of one that says from where its scripts come."""
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for document in yaml.safe_load_all(textwrap.dedent(block)):
                if document.get("kind") == KIND or "migrations" in document.get("spec", {}):
                    yield named(page), document
    shown = re.search(r"^  apiVersion:.*?(?=^\S)", NOTES.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert shown is not None
    yield named(NOTES), yaml.safe_load(shown.group())


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_manifest_of_a_page_is_accepted():
    found = list(manifests())
    assert {page for page, _ in found} >= {"README.md", "docs/how-to/hand-over-the-url.md", named(NOTES)}
    for page, document in found:
        if "kind" not in document:
            document |= {"apiVersion": "dbmigration.io/v1alpha1", "metadata": {"name": "a-piece"}}
            document["spec"] = REST | document["spec"]
        parse_manifest(document, page)


def test_every_page_is_reached_from_the_readme():
    """Pages that nobody links are read by nobody; a link to a folder reaches what is in it."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            waiting += target.glob("*.md") if target.is_dir() else [target] if target.suffix == ".md" else []
    assert {named(page) for page in ROOT.glob("docs/**/*.md")} <= {named(page) for page in seen}
