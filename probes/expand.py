"""From files to suites: YAML suites expanded, plain lists of prompts read."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import yaml

from probes.probe import FORMS, PEOPLE, Probe, SuiteError, nearest
from probes.suite import Suite, SuiteCard

_SUITE_KEYS = ("name", "version", "card", "kind", "templates", "subjects")
_CARD_KEYS = ("title", "source", "construct", "caveats")
_SUBJECT_KEYS = ("id", "kind", "article", "templates", "people", "sensitive", "keys", "asked", "notes")
_PHRASE_KEYS = ("text", "notes")
_ARTICLES = ("a", "an", "the", "none")
_FIELDS = tuple(f.name for f in fields(Probe) if f.name not in {"text", "keys", "asked"})
_SPELT = frozenset("AEFHILMNORSX")
"""Capital letters whose English names begin with a vowel sound."""
_SILENT_H = ("heir", "herb", "honest", "hono", "hour")
_YOU = re.compile(r"u(ni(?![dgmn])|s[aeu]|ti|biq|r[aoi][nl])|eu|ew|one\b|once\b")
"""Beginnings that are written with a vowel and spoken with a consonant: a university, a user, a one-armed person."""
_FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def article(noun: str) -> str:
    """The English indefinite article of a noun phrase: `an` accountant, `a` university teacher, `an` MRI technologist.

    A rule with known exceptions; a suite states the article where it fails.
    """
    word = re.split(r"[\s-]", noun.strip(), maxsplit=1)[0]
    if word.isupper() and word.isalpha():
        return "an" if word[0] in _SPELT else "a"
    word = word.lower()
    if word.startswith(_SILENT_H):
        return "an"
    return "an" if word[:1] in set("aeiou") and not _YOU.match(word) else "a"


def slug(text: str) -> str:
    """A stable id for a prompt: its letters and digits in ASCII, joined by `-`.

    Where the prompt cannot be read back from them, eight digits of its SHA-256 follow, so that two prompts do not
    get the same id and no prompt's id depends on the others.
    """
    plain = unicodedata.normalize("NFKD", text.lower().translate(_FOLD)).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")
    if words and text == words.replace("-", " "):
        return words
    return f"{words or 'prompt'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_suite(path: Path) -> Suite:
    """The suite in a YAML, text or CSV file.

    Raises:
        SuiteError: if the file cannot be read as a suite; in one line that names the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path.name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise SuiteError(f"{path.name} cannot be read: {error.strerror}. Check the file.") from None
    if path.suffix in {".yaml", ".yml"}:
        return expand(read_mapping(text, path.name), path)
    if path.suffix == ".csv":
        return _own_list(path, _csv_probes(text, path.name))
    if path.suffix == ".txt":
        return _own_list(path, _txt_probes(text, path.name))
    raise SuiteError(f"{path.name} is no kind of suite that is known. Give a .yaml, .txt or .csv file.")


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that occurs twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(text: str, where: str) -> dict[str, object]:
    """The mapping that a YAML text holds, read with the safe loader; `where` names the file in errors.

    Raises:
        SuiteError: if the text is no YAML, no mapping, or has a key twice.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SuiteError(
            f"{where} is no valid YAML{line}: {' '.join(str(error.problem).split())}. Correct it."
        ) from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{where} is no valid YAML: {' '.join(str(error).split())}. Correct it.") from None
    return _mapping(where, "the file", value)


def expand(raw: Mapping[str, object], path: Path) -> Suite:
    """The suite that a mapping describes: subjects × languages × forms × templates, in the order of the file.

    Raises:
        SuiteError: if a key is missing, unknown or of the wrong kind, or an id occurs twice.
    """
    where = path.name
    _known(where, "suite", raw, _SUITE_KEYS)
    for key in ("name", "templates", "subjects"):
        if key not in raw:
            raise SuiteError(f"{where} has no {key!r}. A suite needs name, templates and subjects.")
    templates = _templates(where, raw["templates"])
    kind = _text(where, "kind", raw.get("kind", "prompt"))
    subjects = raw["subjects"]
    if not isinstance(subjects, list):
        raise SuiteError(f"{where}: subjects must be a list (got {_kind(subjects)}). Begin each with '- id: …'.")
    probes: list[Probe] = []
    ids: set[str] = set()
    for number, entry in enumerate(subjects, 1):
        subject = _mapping(where, f"subject {number}", entry)
        if "id" not in subject:
            raise SuiteError(f"{where}: subject {number} has no 'id'. Give it one.")
        name = _text(where, f"id of subject {number}", subject["id"])
        if name in ids:
            raise SuiteError(f"{where}: subject id {name!r} occurs twice. Give each subject an id of its own.")
        ids.add(name)
        probes += _subject_probes(f"{where}: subject {name!r}", name, subject, templates, kind)
    return Suite(
        name=_text(where, "name", raw["name"]),
        version=str(raw.get("version", "0")),
        card=_card(where, raw.get("card", {})),
        probes=tuple(probes),
        path=path,
    )


def _subject_probes(
    where: str, name: str, subject: Mapping[str, object], templates: Mapping[str, Mapping[str, str]], kind: str
) -> list[Probe]:
    _known(where, "subject", subject, (*_SUBJECT_KEYS, *templates))
    people = _text(where, "people", subject.get("people", "one"))
    sensitive = subject.get("sensitive", False)
    if people not in PEOPLE:
        raise SuiteError(f"{where}: people is {people!r}: {nearest(people, PEOPLE)}")
    if not isinstance(sensitive, bool):
        raise SuiteError(f"{where}: sensitive must be true or false (got {sensitive!r}).")
    wanted = _wanted(where, subject.get("templates"), templates)
    notes = _text(where, "notes", subject.get("notes", ""), empty=True)
    probes: list[Probe] = []
    for language, forms in templates.items():
        if language not in subject:
            continue
        for form, (phrase, remark) in _phrases(where, language, subject).items():
            for template, pattern in forms.items():
                if wanted is not None and template not in wanted:
                    continue
                probes.append(
                    Probe(
                        probe_id=".".join(part for part in (name, language, template, form) if part),
                        text=pattern.replace("{subject}", phrase),
                        subject=name,
                        kind=_text(where, "kind", subject.get("kind", kind)),
                        language=language,
                        form=form,
                        template=template,
                        people=people,
                        sensitive=sensitive,
                        keys=_texts(where, "keys", subject.get("keys", {})),
                        asked=_texts(where, "asked", subject.get("asked", {})),
                        notes="; ".join(part for part in (notes, remark) if part),
                    )
                )
    if not probes:
        raise SuiteError(f"{where} has no phrase in any language of the templates ({', '.join(templates)}). Add one.")
    return probes


def _phrases(where: str, language: str, subject: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Form → (phrase with its article, notes); the form is empty where a language has one phrase only."""
    value = subject[language]
    if not isinstance(value, dict):
        noun = _text(where, language, value)
        return {"": (_with_article(where, noun, subject.get("article")) if language == "en" else noun, "")}
    found: dict[str, tuple[str, str]] = {}
    for form, phrase in value.items():
        if form not in FORMS:
            raise SuiteError(f"{where}: form {form!r} of {language!r} is unknown: {nearest(str(form), FORMS)}")
        if isinstance(phrase, dict):
            _known(where, "phrase", phrase, _PHRASE_KEYS)
            text, remark = phrase.get("text", ""), _text(where, "notes", phrase.get("notes", ""), empty=True)
        else:
            text, remark = phrase, ""
        found[form] = (_text(where, f"{language}, {form}", text), remark)
    return found


def _with_article(where: str, noun: str, stated: object) -> str:
    word = article(noun) if stated is None else stated
    if word not in _ARTICLES:
        raise SuiteError(
            f"{where}: article must be one of {', '.join(_ARTICLES)} (got {word!r}). Leave it out for a or an."
        )
    return noun if word == "none" else f"{word} {noun}"


def _wanted(where: str, value: object, templates: Mapping[str, Mapping[str, str]]) -> frozenset[str] | None:
    if value is None:
        return None
    known = sorted({template for forms in templates.values() for template in forms})
    if not isinstance(value, list) or not value:
        raise SuiteError(f"{where}: templates must be a list of template ids (got {_kind(value)}).")
    for template in value:
        if template not in known:
            raise SuiteError(f"{where}: template {template!r} is unknown: {nearest(str(template), known)}")
    return frozenset(value)


def _templates(where: str, value: object) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for language, raw in _mapping(where, "templates", value).items():
        if language in _SUBJECT_KEYS or not re.fullmatch(r"[a-z]{2,3}", language):
            raise SuiteError(f"{where}: templates are sorted by language, such as en or de (got {language!r}).")
        found[language] = _texts(where, f"templates of {language!r}", raw)
        for name, pattern in found[language].items():
            if pattern.count("{subject}") != 1:
                raise SuiteError(
                    f"{where}: template {name!r} of {language!r} must hold {{subject}} once (got {pattern!r})."
                )
    if not any(found.values()):
        raise SuiteError(f"{where} has no template. Add one, such as en: {{photo: 'a photo of {{subject}}'}}.")
    return found


def _card(where: str, value: object) -> SuiteCard:
    raw = _mapping(where, "card", value)
    _known(where, "card", raw, _CARD_KEYS)
    caveats = raw.get("caveats", [])
    if not isinstance(caveats, list):
        raise SuiteError(f"{where}: caveats must be a list of sentences (got {_kind(caveats)}).")
    return SuiteCard(
        title=_text(where, "title", raw.get("title", ""), empty=True),
        source=_text(where, "source", raw.get("source", ""), empty=True),
        construct=_text(where, "construct", raw.get("construct", ""), empty=True),
        caveats=tuple(_text(where, "a caveat", caveat) for caveat in caveats),
    )


def _own_list(path: Path, probes: list[Probe]) -> Suite:
    card = SuiteCard(
        title=f"Prompts of {path.name}",
        source="Own list of prompts.",
        caveats=("Each prompt is a subject of its own unless the file says otherwise.",),
    )
    return Suite(name=path.stem, version="0", card=card, probes=tuple(probes), path=path)


def _txt_probes(text: str, where: str) -> list[Probe]:
    probes: list[Probe] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        prompt = line.strip()
        if not prompt or prompt.startswith("#"):
            continue
        if prompt in lines:
            raise SuiteError(
                f"{where}: line {number} repeats the prompt of line {lines[prompt]}, {prompt!r}. Remove one."
            )
        lines[prompt] = number
        name = slug(prompt)
        probes.append(Probe(probe_id=name, text=prompt, subject=name, kind="prompt"))
    return probes


def _csv_probes(text: str, where: str) -> list[Probe]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = list(rows.fieldnames or ())
        if "prompt" not in columns:
            hint = " Save the file with commas." if len(columns) == 1 and ";" in columns[0] else ""
            raise SuiteError(
                f"{where} has no column 'prompt' (columns: {', '.join(columns) or 'none'}).{hint or ' Add it.'}"
            )
        for column in columns:
            if column not in (*_FIELDS, "prompt") and not column.startswith(("keys:", "asked:")):
                raise SuiteError(f"{where}: column {column!r} is unknown: {nearest(column, ('prompt', *_FIELDS))}")
        if len(set(columns)) < len(columns):
            raise SuiteError(f"{where} has a column twice ({', '.join(columns)}). Remove one.")
        return [_csv_probe(row, f"{where}: line {rows.line_num}") for row in rows]
    except csv.Error as error:
        raise SuiteError(f"{where}: line {rows.line_num} is no CSV: {error}. Correct it.") from None


def _csv_probe(row: Mapping[str | None, str | None], where: str) -> Probe:
    if None in row or None in row.values():
        raise SuiteError(f"{where} has more or fewer cells than the header. Put prompts with commas in quotes.")
    cells = {str(name): str(value).strip() for name, value in row.items()}
    sensitive = cells.get("sensitive", "").lower()
    if sensitive not in {"", "true", "false"}:
        raise SuiteError(f"{where}: sensitive must be true or false (got {sensitive!r}).")
    prompt = cells["prompt"]
    name = cells.get("probe_id") or slug(" ".join(x for x in (prompt, cells.get("form", "")) if x))
    return Probe(
        probe_id=name,
        text=prompt,
        subject=cells.get("subject") or name,
        kind=cells.get("kind") or "prompt",
        language=cells.get("language") or "en",
        form=cells.get("form", ""),
        template=cells.get("template", ""),
        people=cells.get("people") or "one",
        sensitive=sensitive == "true",
        keys={c.removeprefix("keys:"): v for c, v in cells.items() if c.startswith("keys:") and v},
        asked={c.removeprefix("asked:"): v for c, v in cells.items() if c.startswith("asked:") and v},
        notes=cells.get("notes", ""),
    )


def _known(where: str, what: str, raw: Iterable[str], known: tuple[str, ...]) -> None:
    for key in raw:
        if key not in known:
            raise SuiteError(f"{where}: unknown key {key!r} of the {what}: {nearest(str(key), known)}")


def _mapping(where: str, what: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SuiteError(
            f"{where}: {what} must be a mapping of names to values (got {_kind(value)}). Write 'name: value'."
        )
    for key in value:
        if not isinstance(key, str):
            raise SuiteError(f"{where}: {what} has a name that is no text (got {key!r}). Put it in quotes.")
    return value


def _texts(where: str, what: str, value: object) -> dict[str, str]:
    return {key: _text(where, f"{key!r} of {what}", text) for key, text in _mapping(where, what, value).items()}


def _text(where: str, what: str, value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise SuiteError(f"{where}: {what} must be text (got {value!r}). Put it in quotes.")
    if not value.strip() and not empty:
        raise SuiteError(f"{where}: {what} has no text. Write one.")
    return value.strip()


def _kind(value: object) -> str:
    names = {"NoneType": "nothing", "str": "text", "list": "a list", "dict": "a mapping"}
    return names.get(type(value).__name__, repr(value))
