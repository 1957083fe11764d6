"""Each alert has a page in docs/runbooks/ that says what it means and what to do, and no page is left over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from virt_operator.monitoring.alerts import alerts

FOLDER = Path(__file__).parents[3] / "docs" / "runbooks"
PAGES = {page.stem: page.read_text() for page in FOLDER.glob("*.md")}
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert set(PAGES) == {alert.name for alert in alerts("kubevirt")}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_says_meaning_impact_diagnosis_and_mitigation(name: str) -> None:
    title, *sections = re.split(r"^## ", PAGES[name], flags=re.MULTILINE)
    assert title.strip() == f"# {name}"
    parts = dict(section.split("\n", 1) for section in sections)
    assert list(parts) == SECTIONS and all(text.strip() for text in parts.values())


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGES[name]):
        assert (FOLDER / link).is_file(), link


@pytest.mark.parametrize("name", sorted(PAGES))
def test_what_is_to_be_typed_is_set_off_from_the_text(name: str) -> None:
    assert re.findall(r"^(?:kubectl|virtadm|sum by|kubevirt_).*", PAGES[name], flags=re.MULTILINE) == []
