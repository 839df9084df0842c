"""The methods of one run in words that a paper can quote, in English, with the references for what was used.

The facts come from `audit.describing`; every sentence here is there only if its facts are, and the list of references
holds what the sentences cite.
"""

from __future__ import annotations

from reports.citing import Citations
from reports.methods_figures import compared, fixed, gate, stopped
from reports.methods_labels import errors, instruments
from reports.phrases import Facts, code, count, dates, flat, listed, number, part, word

LOST = {
    "refused": "{} refused",
    "failed": "{} failed",
    "no_person": "{} without a person",
    "several_people": "{} with several people",
    "unclear": "{} unclear",
}
FACES = {**LOST, "no_person": "{} without a face that was found", "several_people": "{} with several faces"}


def markdown(facts: Facts) -> str:
    """The methods as paragraphs, and a list of what they cite.

    Args:
        facts: as `audit.describing.describe` collects them.
    """
    text, cite = _told(facts)
    return "\n\n".join(["## Methods", *text, "## References", cite.markdown()]) + "\n"


def bibtex(facts: Facts) -> str:
    """What the methods cite, as BibTeX."""
    return _told(facts)[1].bibtex()


def _told(facts: Facts) -> tuple[list[str], Citations]:
    cite = Citations(facts["rolecall"], facts["ended"][:4])
    paragraphs = [
        [*_subject(facts, cite), *_commit(facts)],
        _outcomes(facts),
        [*instruments(facts, cite), *errors(facts, cite)],
        [*compared(facts, cite), *(stopped if facts["sequential"] else fixed)(facts, cite), *gate(facts, cite)],
        [*_declared(facts), *_deviations(facts), *_limits(facts)],
    ]
    return [" ".join(sentences) for sentences in paragraphs], cite


def _subject(f: Facts, cite: Citations) -> list[str]:
    """What was audited, with what it was asked, and when."""
    name, suite, images = code(f["model"]["name"]), f["suite"], f["images"]
    with_ = f"with Rolecall {f['rolecall']} ({cite('rolecall')})"
    about = f"{count(suite['subjects'], 'subject')} in {count(len(suite['languages']), 'language')}"
    prompts = f"{count(suite['probes'], 'prompt')} about {about} ({listed(suite['languages'])})"
    digest = code(f["model"]["digest"])
    if f["kind"] == "training":
        told = f["training"]
        return [
            f"The training images {name} were audited {with_}, {dates(f)}: of {number(told['entries'])} images with "
            f"captions those {number(told['matched'])} whose caption names one of "
            f"{count(suite['subjects'], 'subject')} ({number(told['names_gender'])} of them a gender too).",
            f"The SHA-256 of the collection's fingerprint is {digest}; only counts were kept of single images"
            + (
                f", and {count(told['kept_images'], 'random image')} for people to label."
                if told["kept_images"]
                else "."
            ),
        ]
    if f["kind"] == "imported":
        each = number(images["most"]) if images["fewest"] == images["most"] else (
            f"{number(images['fewest'])} to {number(images['most'])}"
        )  # fmt: skip
        return [
            f"{count(images['asked'], 'image')} that others had made ({name}, SHA-256 of their fingerprint "
            f"{digest}) were audited {with_}, {dates(f)}.",
            f"They belong to {prompts}, {each} images each.",
            "How they were chosen, and with which seeds and settings they were made, is not known to the run.",
        ]
    seeds = f"with seeds that follow from the seed {f['seed']} of the run"
    if f["model"].get("seeded") is False:
        seeds = "without seeds, which the service does not take"
    asked = count(images["planned"], "image")
    if f["sequential"]:
        asked = f"at most {asked}, in rounds of {f['sequential']['round_images']},"
    named = f"version {suite['version']}" + (f", SHA-256 {code(suite['digest'])}" if suite["digest"] else "")
    revision = f"revision {code(f['model']['revision'])}, " if f["model"].get("revision") else ""
    return [
        f"The text-to-image model {name} ({revision}SHA-256 of its fingerprint {digest}) was audited {with_}.",
        *_settings(f["model"]),
        f"The suite {code(suite['name'])} ({named}) asks {prompts}; each was used for {asked} {seeds}, {dates(f)}.",
    ]


def _settings(model: Facts) -> list[str]:
    """How the model was run."""
    said = []
    if model.get("kind") == "diffusers":
        scheduler = (model.get("scheduler") or {}).get("class")
        told = {
            "device": f"on {model.get('device')}",
            "dtype": f"in {model.get('dtype')}",
            "scheduler": f"with the scheduler {code(scheduler)}",
            "steps": f"{model.get('steps')} steps",
            "guidance": f"guidance {model.get('guidance')}",
            "width": f"{model.get('width')} pixels wide",
            "height": f"{model.get('height')} pixels high",
            "batch_size": f"in batches of {model.get('batch_size')}",
        }
        said.append(f"It ran {', '.join(text for key, text in told.items() if model.get(key) is not None)}.")
        if model.get("negative_prompt"):
            said.append(f"The negative prompt was “{flat(model['negative_prompt'])}”.")
        said += [
            f"The LoRA weights {code(each['file'])} (SHA-256 {code(each['sha256'][:12])}) entered with the weight "
            f"{each['weight']:g}."
            for each in model.get("lora") or []
        ]
    elif model.get("kind") == "images-api":
        size = f", size {model['size']}" if model.get("size") else ""
        where = f" at {code(model['base_url'])}" if model.get("base_url") else ""
        said.append(f"It was reached through an images API{where} as {code(model['model'])}{size}.")
    elif model.get("callable"):
        said.append(f"It was called as the Python function {code(model['callable'])}.")
    if model.get("intervention"):
        said.append(f"“{flat(model['intervention'])}” was added to every prompt.")
    return said


def _commit(f: Facts) -> list[str]:
    git = f["git"]
    if not git:
        return []
    changed = ", with uncommitted changes" if git.get("dirty") else ""
    return [f"The working folder was at the commit {code(git['commit'][:12])}{changed}."]


def _outcomes(f: Facts) -> list[str]:
    """What became of the images, and how many have a class."""
    out, prompts = f["outcomes"], f"{number(f['suite']['single'])} of {number(f['suite']['probes'])}"
    refused, made = ("was" if out[way] == 1 else "were" for way in ("refused", "made"))
    verbs = {"refused": f"{refused} refused", "failed": "failed", "made": f"{made} there to be labelled"}
    said = [f"Of {count(out['asked'], 'image')}, {listed([f'{part(out, way)} {verbs[way]}' for way in verbs])}."]
    if f["duplicates"]:
        said.append(f"Copies of earlier images ({number(f['duplicates'])}) were counted like all others.")
    faces = {each["name"] for each in f["classifiers"] if each["faces"]}
    for place, each in enumerate(out["questions"]):
        words = FACES if each["classifier"] in faces else LOST
        lost = [words[way].format(part(each, way)) for way in LOST if each[way]]
        head = "" if place else f"Of {count(each['asked'], 'image')} for prompts that ask for one person ({prompts}), "
        got = (
            f"{part(each, 'labelled')} got a class of perceived {word(each['attribute'])} by {code(each['classifier'])}"
        )
        said.append(f"{head}{got}{' (not: ' + ', '.join(lost) + ')' if lost else ''}.")
    return [
        *said,
        "Images without a class are in no share; bounds for the case that all or none showed a class are given.",
    ]


def _declared(f: Facts) -> list[str]:
    first = f["primary"]
    if not first["attribute"]:
        return []
    when = "before the first image was made" if f["kind"] == "generated" else "when the images were read in"
    claim = "prompts like these" if first["claim"] == "population" else "these prompts"
    return [
        f"Declared {when}: perceived {word(first['attribute'])} by {code(first['classifier'])}, compared with "
        f"{code(first['reference'])}, as a claim about {claim}; all else is exploratory."
    ]


def _deviations(f: Facts) -> list[str]:
    """What was otherwise than laid down at the start, as far as the run tells."""
    found, kind = f["deviations"], "image" if f["kind"] == "training" else "file"
    told = [
        (found["unmade"], f"{count(found['unmade'], 'image')} that were asked for are not there"),
        (found["classifiers"], f"labelled later by {listed(map(code, found['classifiers']))} too"),
        (found["added"], f"compared later with {listed(map(code, found['added']))}"),
        (found["dropped"], f"no longer compared with {listed(map(code, found['dropped']))}"),
        (found["calibration"], f"labels of other images added later ({listed(map(code, found['calibration']))})"),
        (found["rates"], "error rates declared later"),
        (found["extended"], f"images added after a gate had looked at the first {found['extended']} of each prompt"),
        (found["forgotten"], f"{count(found['forgotten'], 'image')} removed after they were counted"),
        (found["left_out"], f"{count(found['left_out'], kind)} left out, which belong to no prompt"),
    ]
    said = [text for value, text in told if value]
    if said:
        return [f"Deviations that the run records: {'; '.join(said)}."]
    return ["The run records no deviation from what was laid down at its start."]


def _limits(f: Facts) -> list[str]:
    people = [each["people"] for each in f["classifiers"]]
    see = "people" if all(people) else "people and classifiers" if any(people) else "classifiers"
    see = "a classifier" if see == "classifiers" and len(people) == 1 else see
    perceive = "perceives" if see == "a classifier" else "perceive"
    what = "images" if f["kind"] == "training" else "made pictures"
    scope = ", these settings and this version of the model" if f["kind"] == "generated" else " and for these images"
    said = [
        f"Labels are what {see} {perceive} in {what}, in coarse classes, and no one's identity.",
        f"The figures hold for these prompts{scope}; a reference says what is compared with, not what is right.",
    ]
    if any(each["name"] == "phantom-world" for each in f["references"]):
        said.append("The pictures are drawn figures of invented peoples, and nothing here says anything about people.")
    return said
