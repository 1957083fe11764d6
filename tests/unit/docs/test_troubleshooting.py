"""docs/troubleshooting.md quotes what the product writes: each condition, reason, status and text is in its code, and
so are the conditions and reasons of the other pages for users."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.documentation import DOCS, PAGES, page

SERVICES = DOCS.parent / "services"
PAGE = (DOCS / "troubleshooting.md").read_text().partition("\n## Logs\n")[0]
_ROW = re.compile(r"(?m)^\| (?!---|what you see)(.+?) \|")
_WORD = re.compile(r"`([A-Za-z]+)(?:=(?:True|False))?`")
_TEXT = re.compile(r'"([^"]+)"')
_OF_SEVERAL_WORDS = re.compile(r"`([A-Z][a-z]+[A-Z][A-Za-z]+)(?:=(?:True|False))?`")
OF_KUBERNETES = {"WaitForFirstConsumer"}
SYMPTOMS = _ROW.findall(PAGE)
WORDS = sorted({word for symptom in SYMPTOMS for word in _WORD.findall(symptom) if word[0].isupper()})
TEXTS = sorted({text for symptom in SYMPTOMS for text in _TEXT.findall(symptom)})


@cache
def constants() -> frozenset[str]:
    """Every text of the services' code, those in f-strings in parts; none of a docstring is a single word."""
    found: set[str] = set()
    for path in SERVICES.glob("*/virt_*/**/*.py"):
        found |= {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return frozenset(found)


def test_the_page_has_symptoms() -> None:
    assert len(SYMPTOMS) > 50 and len(WORDS) > 50 and len(TEXTS) > 3


@pytest.mark.parametrize("word", WORDS)
def test_a_condition_reason_or_status_is_one_of_the_products(word: str) -> None:
    assert word in constants()


@pytest.mark.parametrize("name", PAGES)
def test_another_page_names_no_condition_or_reason_that_nobody_writes(name: str) -> None:
    assert set(_OF_SEVERAL_WORDS.findall(page(name))) - constants() <= OF_KUBERNETES


@pytest.mark.parametrize("text", TEXTS)
def test_a_quoted_text_is_in_a_message_of_the_product(text: str) -> None:
    assert any(text in constant for constant in constants())


def test_a_word_that_nobody_writes_would_be_noticed() -> None:
    assert "LiveMigratible" not in constants() and "Stalled" in constants()
