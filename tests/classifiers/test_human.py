"""People as an instrument: what is read of an untidy table, and every cell, row and code that is refused."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import CODES, ROWS, labelled_folder
from PIL import Image

from audit.classifiers.base import Classifier, ClassifierError, KeyedClassifier, KeyedPeopleClassifier, Question
from audit.classifiers.codes import Coded, Codes, CodesError, codes_for, fold, read_codes
from audit.classifiers.human import HumanClassifier, read_human_labels
from audit.classifiers.registry import load_classifier
from probes.plan import digest_of


def read(folder: Path, rows: dict[str, tuple[str, str]] | None = None, codes: str = CODES) -> HumanClassifier:
    """The labels of a folder; the key of an image is its path."""
    images, table, meaning = labelled_folder(folder, rows)
    meaning.write_text(codes, encoding="utf-8")
    paths = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.jpg"))
    return read_human_labels(table, read_codes(meaning), {path: path for path in paths})


def refusal(folder: Path, rows: dict[str, tuple[str, str]] | None = None, codes: str = CODES) -> str:
    with pytest.raises(CodesError) as caught:
        read(folder, rows, codes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_is_a_classifier_that_answers_by_keys(tmp_path: Path) -> None:
    human = read(tmp_path)
    assert isinstance(human, Classifier)
    assert isinstance(human, KeyedClassifier)
    assert [(q.attribute, q.classes, q.ordered) for q in human.questions] == [
        ("gender", ("woman", "man"), False),
        ("ethnicity", ("white", "black", "asian", "hispanic"), False),
    ]
    gender, ethnicity = human.label_keys(["nurse/baseline/a1.jpg", "swe/baseline/b0.jpg", "nurse/baseline/a2.jpg"])
    assert gender.answer == ("woman", "man", "woman")
    assert ethnicity.answer == ("asian", "black", "asian")
    assert gender.scores.shape == (3, 2)
    assert np.isnan(gender.scores).all()
    assert human.label_keys([])[0].scores.shape == (0, 2)


def test_several_people_and_nobody_hold_for_the_whole_image(tmp_path: Path) -> None:
    """`none` in the column of gender is said of the image: its `white` is nobody's."""
    gender, ethnicity = read(tmp_path).label_keys(
        ["nurse/baseline/a3.jpg", "swe/baseline/b3.jpg", "swe/baseline/b2.jpg"]
    )
    assert gender.answer == ("several_people", "no_person", "unclear")
    assert ethnicity.answer == ("several_people", "no_person", "white")


def test_the_card_says_whose_labels_these_are(tmp_path: Path) -> None:
    card = read(tmp_path).card()
    assert card["people"] is True
    assert set(card["known_error"]) == {"gender", "ethnicity"}  # type: ignore[call-overload]
    assert card["title"] == "Labels of nobody in particular"
    caveats = " ".join(card["caveats"])  # type: ignore[arg-type]
    assert "one made-up rater" in caveats
    assert "1 of 8 images show several people" in caveats
    assert "The images are noise." in caveats
    assert card["codes"]["gender"]["woman"] == ["f", "female"]  # type: ignore[index]


def test_the_fingerprint_follows_the_table_and_the_codes(tmp_path: Path) -> None:
    first = read(tmp_path).fingerprint()
    assert read(tmp_path).fingerprint() == first
    assert read(tmp_path, codes=CODES.replace("one made-up rater", "two")).fingerprint() == first
    assert read(tmp_path, codes=CODES.replace("[M, male]", "[M, male, he]")).fingerprint() != first
    turned = CODES.replace("{woman: [F, female], man: [M, male],", "{man: [M, male], woman: [F, female],")
    assert read(tmp_path, codes=turned).fingerprint() != first
    assert read(tmp_path, {**ROWS, "/swe/baseline/b0.jpg": ("F", "Black")}).fingerprint() != first


def test_rows_without_an_image_are_listed(tmp_path: Path) -> None:
    human = read(tmp_path, {**ROWS, "/ceo/baseline/c0.png": ("F", "white")})
    assert human.unmatched == ("/ceo/baseline/c0.png (labels.csv, line 10)",)


def test_an_unknown_code_is_refused_with_its_row_and_the_way_to_add_it(tmp_path: Path) -> None:
    message = refusal(tmp_path, {**ROWS, "/swe/baseline/b0.jpg": ("Femle", "Black")})
    assert message == (
        "labels.csv, line 6: 'Femle' in column 'Gender' is no code of gender: did you mean 'female'? Correct the cell, "
        "or add the code to codes.yaml under one of woman, man, unclear, no_person, several_people."
    )
    far = refusal(tmp_path, {**ROWS, "/swe/baseline/b0.jpg": ("M", "?")})
    assert "known: 'white', 'black', 'asian', 'east asian', 'mixed'." in far
    assert "'' in column 'race' is no code" in refusal(tmp_path, {**ROWS, "/swe/baseline/b0.jpg": ("M", "")})


def test_images_without_a_row_or_with_two(tmp_path: Path) -> None:
    less = {file: cells for file, cells in ROWS.items() if "a3" not in file and "b1" not in file}
    assert "labels.csv has no row for 2 of 8 images, the first: nurse/baseline/a3.jpg" in refusal(tmp_path, less)
    message = refusal(tmp_path, {**ROWS, "swe/baseline/b3.png": ("M", "white")})
    assert "line 10 labels swe/baseline/b3.jpg a second time, after line 9. Keep one row an image" in message


def test_a_row_that_may_mean_several_images(tmp_path: Path) -> None:
    (tmp_path / "images" / "swe" / "other").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "swe" / "other" / "b1.jpg")
    assert "'b1.jpg' may be swe/baseline/b1.jpg or swe/other/b1.jpg. Write the path of one." in refusal(tmp_path)


def test_nobody_and_several_people_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, {**ROWS, "/swe/baseline/b3.jpg": ("none", "mixed")})
    assert "line 9 says both that nobody and that several people can be seen" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("column: race", "column: rase", "labels.csv has no column 'rase' for ethnicity: did you mean 'race'?"),
        ("file: image_file", "file: picture", "labels.csv has no column 'picture' with the names of the images"),
        ("attributes:", "atributes:", "unknown key 'atributes': did you mean 'attributes'?"),
        ("raters: one", "rater: one", "card: unknown key 'rater': did you mean 'raters'?"),
        ("column: race", "colum: race", "attributes.ethnicity: unknown key 'colum': did you mean 'column'?"),
        ("man: [M, male]", "man: [M, Female]", "'Female' stands for woman and for man. Keep one."),
        ("man: [M, male]", "man: [yes]", "attributes.gender.codes.man: True is no text. Put it in quotes."),
        ("man: [M, male]", "Man: [M, male]", "'Man' cannot be a class"),
        ("man: [M, male], several", "several", "codes must have at least 2 classes (got woman)"),
        ("swe: software_developer", "swe: Software developer", "'Software developer' is no subject"),
        ("caveats: [The images are noise.]", "caveats: noise", "card.caveats must be a list of sentences"),
        ("column: Gender", "column: Gender\n    ordered: 1", "ordered must be true or false (got 1)"),
        ("codes: {woman: [F, female]", "codes: {woman: [F, female], woman: [W]", "the key 'woman' occurs twice"),
        ("{swe: software_developer}", "[swe]", "subjects must be a mapping of names to values (got list)"),
    ],
)
def test_tables_of_codes_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert CODES.count(old) == 1
    said = refusal(tmp_path, codes=CODES.replace(old, new))
    assert message in said
    assert said.startswith(("codes.yaml", "labels.csv"))


def test_files_refused(tmp_path: Path) -> None:
    with pytest.raises(CodesError, match=r"nowhere\.yaml cannot be read: No such file"):
        read_codes(tmp_path / "nowhere.yaml")
    (tmp_path / "empty.yaml").write_text("file: x\n")
    with pytest.raises(CodesError, match=r"empty\.yaml: attributes is empty"):
        read_codes(tmp_path / "empty.yaml")
    _, _, codes = labelled_folder(tmp_path)
    with pytest.raises(CodesError, match=r"nowhere\.csv cannot be read"):
        read_human_labels(tmp_path / "nowhere.csv", read_codes(codes), {})
    with pytest.raises(CodesError, match=r"labels\.csv needs --codes"):
        codes_for("labels.csv", None)
    with pytest.raises(CodesError, match="Give their table with --human-labels"):
        codes_for(None, codes)
    assert codes_for(None, None) is None


def test_pixels_do_not_say_which_image_it_is(tmp_path: Path) -> None:
    human = read(tmp_path)
    with pytest.raises(ClassifierError, match="belong to the images they were given to"):
        human.label([Image.new("RGB", (4, 4))])
    with pytest.raises(ClassifierError, match=r"labels\.csv has no label for the image other\.jpg"):
        human.label_keys(["other.jpg"])
    with pytest.raises(ClassifierError, match=re.escape("rolecall import FOLDER --human-labels CSV --codes YAML")):
        load_classifier("human")


@given(st.lists(st.tuples(st.sampled_from(["F", "female", "M", "Both", ""]), st.sampled_from(["", " ", "\u00a0 "]))))
def test_spaces_and_capitals_do_not_matter(cells: list[tuple[str, str]]) -> None:
    """However a cell is padded and written, it is folded to the same text."""
    counted = Counter(fold(f"{space}{cell.swapcase()}{space}") for cell, space in cells)
    assert counted == Counter(cell.lower() for cell, _ in cells)


AMONG = CODES.replace("several_people: [both]", "several_people: {both: [woman, man], females: [woman], crowd: }")
"""The same codes, with what classes are among several people."""


def test_several_people_are_told_apart_as_far_as_the_code_says(tmp_path: Path) -> None:
    rows = {**ROWS, "/swe/baseline/b0.jpg": ("Females", "Black"), "b1.jpg": ("crowd", "mixed")}
    human = read(tmp_path, rows, AMONG)
    assert isinstance(human, KeyedPeopleClassifier)
    keys = [f"{place}{i}.jpg" for place in ("nurse/baseline/a", "swe/baseline/b") for i in range(4)]
    people = dict(zip(keys, human.people_keys(keys), strict=True))
    answers = {key: [(each.answers["gender"], each.counted) for each in found] for key, found in people.items()}
    assert answers["nurse/baseline/a0.jpg"] == [("woman", True)]
    assert answers["nurse/baseline/a3.jpg"] == [("woman", False), ("man", False)]  # Both
    assert answers["swe/baseline/b0.jpg"] == [("woman", False), ("woman", False)]  # several women, no man
    assert answers["swe/baseline/b1.jpg"] == [("unclear", False), ("unclear", False)]
    assert answers["swe/baseline/b2.jpg"] == [("unclear", True)]
    assert answers["swe/baseline/b3.jpg"] == []
    # `Black` is said of several people: whose it is, and whether of all, is not
    assert {each.answers["ethnicity"] for each in people["swe/baseline/b0.jpg"]} == {"unclear"}
    assert human.label_keys(["swe/baseline/b0.jpg"])[0].answer == ("several_people",)  # labels are as they were
    with pytest.raises(ClassifierError, match=r"no label for the image other\.jpg"):
        human.people_keys(["other.jpg"])


def test_codes_that_say_nothing_of_several_people_mean_what_they_meant(tmp_path: Path) -> None:
    """Older tables of codes keep their digest, so that their runs go on; what is said of several people changes it."""
    old, new = read(tmp_path, codes=CODES), read(tmp_path, codes=AMONG)
    assert [each.answers["gender"] for each in old.people_keys(["nurse/baseline/a3.jpg"])[0]] == ["unclear"] * 2
    assert old.fingerprint() != new.fingerprint()
    _, _, path = labelled_folder(tmp_path)
    codes = read_codes(path)
    listed = [[vars(each.question), each.column, sorted(each.codes.items())] for each in codes.attributes]
    assert codes.digest() == digest_of([*listed, codes.file])
    assert new.card()["among"] == {"gender": {"both": ["woman", "man"], "females": ["woman"], "crowd": ["unclear"]}}
    assert old.card()["among"] == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{both: [woman, men]}", "several_people.both: 'men' is no class: did you mean 'man'?"),
        ("{both: [woman, woman]}", "several_people.both names woman twice"),
        ("{both: [woman], Both: [man]}", "'Both' stands for two things"),
        ("{both: [no_person]}", "'no_person' is no class"),
        ("{yes: [woman]}", "True is no text. Put it in quotes"),
        ("{female: [woman]}", "'female' stands for woman and for several_people"),
        ("{both: {woman: 1}}", "is no text"),
    ],
)
def test_what_is_said_of_several_people_is_checked(tmp_path: Path, given: str, message: str) -> None:
    said = refusal(tmp_path, codes=AMONG.replace("{both: [woman, man], females: [woman], crowd: }", given))
    assert message in said
    assert said.startswith("codes.yaml: attributes.gender.codes")


@given(
    st.lists(st.sampled_from(["woman", "man", "unclear"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["white", "black", "asian", "hispanic"]), max_size=4, unique=True),
)
def test_exactly_the_classes_that_were_named_are_among_the_people(gender: list[str], ethnicity: list[str]) -> None:
    questions = (
        ("gender", ("woman", "man"), gender),
        ("ethnicity", ("white", "black", "asian", "hispanic"), ethnicity),
    )
    coded = tuple(
        Coded(Question(name, classes), name, {"x": "several_people"}, {"x": tuple(among) or ("unclear",)})
        for name, classes, among in questions
    )
    human = HumanClassifier(
        Codes("codes.yaml", coded), {"image": ("several_people",) * 2}, source="x", digest="x",
        among={"image": [each.among["x"] for each in coded]},
    )  # fmt: skip
    (people,) = human.people_keys(["image"])
    assert len(people) == max(2, len(gender), len(ethnicity))
    assert {each.answers["gender"] for each in people} == set(gender)
    assert {each.answers["ethnicity"] for each in people} == set(ethnicity or ["unclear"])
    assert not any(each.counted for each in people)
