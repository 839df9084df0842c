"""Own suites by path: what is read, and what is refused in which words."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.expand import _csv_probes
from probes.suite import SuiteError, load_suite


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_prompts_txt(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, "mine.txt", "# my prompts\na photo of a nurse\n\n  Foto: eine Ärztin \n"))
    assert suite.name == "mine"
    assert [p.text for p in suite.probes] == ["a photo of a nurse", "Foto: eine Ärztin"]
    assert suite.probes[0].probe_id == suite.probes[0].subject == "a-photo-of-a-nurse"
    assert suite.probes[0].kind == "prompt"


def test_prompts_csv(tmp_path: Path) -> None:
    text = (
        "prompt,subject,language,form,people,sensitive,keys:us-labour-2022,asked:gender,probe_id\r\n"
        '"a nurse, smiling",nurse,,,,,Registered nurses,,\r\n'
        "Foto: eine Ärztin,arzt,de,feminine,one,true,,woman,arzt.f\r\n"
    )
    first, second = load_suite(write(tmp_path, "mine.csv", "\ufeff" + text)).probes
    assert first.text == "a nurse, smiling"
    assert first.probe_id.startswith("a-nurse-smiling-")
    assert (first.subject, first.language, first.people, first.sensitive) == ("nurse", "en", "one", False)
    assert (first.keys, first.asked) == ({"us-labour-2022": "Registered nurses"}, {})
    assert (second.probe_id, second.form, second.language, second.sensitive) == ("arzt.f", "feminine", "de", True)
    assert second.asked == {"gender": "woman"}


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(
            lambda t: bool(t.strip())
        ),
        min_size=1,
        unique_by=str.strip,
    )
)
def test_csv_round_trip(prompts: list[str]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["prompt"], *([p] for p in prompts)])
    assert [p.text for p in _csv_probes(out.getvalue(), "x.csv")] == [p.strip() for p in prompts]


HEAD = "name: x\ntemplates: {en: {photo: 'a photo of {subject}'}}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "# nothing\n", "a.txt holds no prompt"),
        ("a.txt", "one\ntwo\none\n", "line 3 repeats the prompt of line 1, 'one'"),
        ("a.csv", "text\nx\n", "no column 'prompt' (columns: text)"),
        ("a.csv", "prompt;subject\nx;y\n", "Save the file with commas"),
        ("a.csv", "prompt,langage\nx,en\n", "column 'langage' is unknown: did you mean 'language'?"),
        ("a.csv", "prompt,prompt\nx,y\n", "a column twice"),
        ("a.csv", "prompt,subject\na nurse, smiling,nurse\n", "line 2 has more or fewer cells"),
        ("a.csv", "prompt,subject\na nurse\n", "line 2 has more or fewer cells"),
        ("a.csv", "prompt,sensitive\nx,yes\n", "sensitive must be true or false (got 'yes')"),
        ("a.csv", "prompt,subject\n,nurse\n", "has no text"),
        ("a.csv", "prompt,people\nx,two\n", "must be one of one, none, several"),
        ("a.csv", 'prompt\n"x\n', "is no CSV"),
        ("a.md", "x", "no kind of suite that is known"),
        ("a.yaml", "- a\n- b\n", "the file must be a mapping of names to values (got a list)"),
        ("a.yaml", "just words", "must be a mapping of names to values (got text)"),
        ("a.yaml", "", "must be a mapping of names to values (got nothing)"),
        ("a.yaml", "name: [", "no valid YAML in line 1"),
        ("a.yaml", "name: x\nname: y\n", "the key 'name' occurs twice"),
        ("a.yaml", "name: !!python/object/apply:os.getcwd []\n", "no valid YAML in line 1"),
        ("a.yaml", "name: x\n", "has no 'templates'"),
        ("a.yaml", HEAD + "subject: []\n", "unknown key 'subject' of the suite: did you mean 'subjects'?"),
        ("a.yaml", HEAD + "subjects: {}\n", "subjects must be a list"),
        ("a.yaml", HEAD + "subjects: []\n", "holds no prompt"),
        ("a.yaml", HEAD + "subjects: [nurse]\n", "subject 1 must be a mapping"),
        ("a.yaml", HEAD + "subjects: [{en: nurse}]\n", "subject 1 has no 'id'"),
        ("a.yaml", HEAD + "subjects: [{id: no, en: nurse}]\n", "must be text (got False). Put it in quotes."),
        ("a.yaml", HEAD + "subjects: [{id: a, en: ''}]\n", "subject 'a': en has no text"),
        ("a.yaml", HEAD + "subjects: [{id: a}]\n", "no phrase in any language"),
        ("a.yaml", HEAD + "subjects: [{id: a, en: x}, {id: a, en: y}]\n", "subject id 'a' occurs twice"),
        (
            "a.yaml",
            HEAD + "subjects: [{id: a, en: x, key: {}}]\n",
            "unknown key 'key' of the subject: did you mean 'keys'?",
        ),
        ("a.yaml", HEAD + "subjects: [{id: a, en: x, people: two}]\n", "people is 'two'"),
        ("a.yaml", HEAD + "subjects: [{id: a, en: x, sensitive: 3}]\n", "sensitive must be true or false"),
        ("a.yaml", HEAD + "subjects: [{id: a, en: x, article: of}]\n", "article must be one of a, an, the, none"),
        (
            "a.yaml",
            HEAD + "subjects: [{id: a, en: x, templates: [foto]}]\n",
            "template 'foto' is unknown: did you mean 'photo'?",
        ),
        (
            "a.yaml",
            HEAD + "subjects: [{id: a, en: {femnine: x}}]\n",
            "form 'femnine' of 'en' is unknown: did you mean 'feminine'?",
        ),
        (
            "a.yaml",
            HEAD + "subjects: [{id: a, en: {star: {txt: x}}}]\n",
            "unknown key 'txt' of the phrase: did you mean 'text'?",
        ),
        (
            "a.yaml",
            HEAD + "card: {tittle: x}\nsubjects: []\n",
            "unknown key 'tittle' of the card: did you mean 'title'?",
        ),
        ("a.yaml", "name: x\ntemplates: {en: {}}\nsubjects: []\n", "has no template"),
        ("a.yaml", "name: x\ntemplates: {photo: x}\nsubjects: []\n", "sorted by language"),
        (
            "a.yaml",
            "name: x\ntemplates: {en: {a: 'a photo'}}\nsubjects: []\n",
            "must hold {subject} once (got 'a photo')",
        ),
    ],
)
def test_refused_in_one_line_that_names_the_file(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(write(tmp_path, name, text))
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00nurse")
    with pytest.raises(SuiteError, match=r"a\.txt is not UTF-8 text"):
        load_suite(str(tmp_path / "a.txt"))
