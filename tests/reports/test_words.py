"""Every language says the same things, and writes numbers as its readers do."""

from __future__ import annotations

import re
import string

import pytest
import yaml

from reports.words import LOCALES, ReportError, flatten, languages, load_words


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_keys_and_places() -> None:
    english = load_words("en").entries
    assert set(languages()) == {"de", "en"}
    for lang in languages():
        entries = load_words(lang).entries
        assert set(entries) == set(english)
        differing = [key for key in english if places(entries[key]) != places(english[key])]
        assert differing == []


def test_no_text_stands_in_two_files_of_a_language() -> None:
    for lang in languages():
        parts = [flatten(yaml.safe_load(path.read_text("utf-8"))) for path in sorted(LOCALES.glob(f"{lang}*.yaml"))]
        assert len(parts) > 1
        assert sum(map(len, parts)) == len(load_words(lang).entries)


def test_texts_hold_no_words_that_rolecall_does_not_use() -> None:
    for lang in languages():
        text = " ".join(load_words(lang).entries.values()).lower()
        assert not re.search(r"debias|unbiased model|race of the person", text)


def test_numbers() -> None:
    en, de = load_words("en"), load_words("de")
    assert (en.number(12345.6, 1), de.number(12345.6, 1)) == ("12,345.6", "12.345,6")
    assert en.interval(0.857, 0.979) == "86–98\u00a0%"
    assert [en.percent(share) for share in (0, 0.001, 0.87, 0.999, 1)] == [
        *("0\u00a0%", "<\u00a01\u00a0%", "87\u00a0%", ">\u00a099\u00a0%", "100\u00a0%")
    ]
    assert (en.points(0.126), en.points(-0.126), en.points(-0.001)) == ("+13", "−13", "0")
    assert (en.p_value(0.0002), de.p_value(0.0312)) == ("<\u00a00.001", "0,031")
    assert {en.number(float("nan")), en.percent(float("nan")), en.interval(float("nan"), 1)} == {"–"}


def test_what_is_filled_in_is_escaped_and_counted() -> None:
    words = load_words("en")
    assert str(words("pictures.unreadable", n=1, number="1")) == "1 picture could not be read."
    assert "<em>&lt;b&gt;</em>" in words("page.heading", model="<b>")
    assert words.name("class", "long_haired") == "long haired"


def test_unknown_language_is_refused_in_one_line() -> None:
    with pytest.raises(ReportError, match=r"Unknown report language 'fr'\. Choose one of: de, en\."):
        load_words("fr")
