"""What a methods section says of the labels: who or what gave them, and what is known of their errors."""

from __future__ import annotations

from reports.citing import Citations
from reports.phrases import Facts, code, count, flat, listed, percent, span, word


def instruments(f: Facts, cite: Citations) -> list[str]:
    """Who or what labelled the images, and with which answers."""
    said = []
    for each in f["classifiers"]:
        name, weights = code(each["name"]), f", weights SHA-256 {code(each['weights'])}" if each["weights"] else ""
        if each["people"]:
            said.append(f"The labels {name} are people's own, imported with the images ({flat(each['title'])}).")
        elif each["kind"] == "open_clip zero-shot":
            words, how = each["wordings"], f" on {each['device']} in {each['dtype']}" if each["device"] else ""
            asked = f" with the wordings {code(words['name'])} {words['version']} (SHA-256 {code(words['digest'])})"
            said.append(
                f"The classifier {name} is zero-shot ({cite('radford2021')}): the checkpoint {code(each['model'])}"
                f"{weights}, run by OpenCLIP{how} ({cite('ilharco2021')}){asked if words else ''}."
            )
        else:
            said.append(f"The classifier {name} is {flat(each['source'] or each['kind']).rstrip('.')}{weights}.")
        said.append(f"Answers: {'; '.join(map(_question, each['questions']))}.")
    return said


def _question(question: Facts) -> str:
    classes = ", ".join(word(each) for each in question["classes"])
    order = ", in this order" if question.get("ordered") else ""
    lead = question.get("margin")
    unclear = f", unclear with a lead below {lead:g}" if lead else ""
    return f"perceived {word(question['attribute'])} ({classes}{order}{unclear})"


def errors(f: Facts, cite: Citations) -> list[str]:
    """What is known of the errors of the labels; attributes of which the same is known share a sentence."""
    known: dict[tuple[str, str], list[str]] = {}
    for each in f["evidence"]:
        known.setdefault((each["classifier"], _known(each, cite)), []).append(word(each["attribute"]))
    several = len(f["classifiers"]) > 1
    said = [
        f"For perceived {listed(names)}{f' by {code(classifier)}' if several else ''}, {text}."
        for (classifier, text), names in known.items()
    ]
    if f["analysis"]["pooled"]:
        said.append(
            f"Shares over all prompts were post-stratified on the classifier's answers ({cite('tenenbein1970')})."
        )
    return said


def _known(each: Facts, cite: Citations) -> str:
    """What is known of the errors of one instrument in one attribute."""
    if each["kind"] == "people":
        return "the labels are people's own and nothing was corrected"
    if each.get("labels"):
        return _labelled(each, cite)
    if each["kind"] != "declared":
        return "the classifier's errors are in no figure"
    whence = f"declared in {flat(each['source'])}" if each["source"] else "published for the classifier"
    rates = listed([f"{word(name)} {span(ends)}" for name, ends in each["rates"].items()])
    matrices = count(each["matrices"], "confusion matrix", "confusion matrices")
    return (
        f"error rates {whence} ({f'rates of right answers: {rates}' if rates else matrices}) give a band of possible "
        f"shares ({cite('rogan1978')}); nobody labelled images of the run"
    )


def _labelled(each: Facts, cite: Citations) -> str:
    """Who labelled how many images, how far they agree with each other and with the classifier, and what follows."""
    images = ("all " if each["whole"] else "") + count(each["labels"], "image")
    if each["kind"] == "elsewhere":
        who = f"people had labelled {images} from elsewhere ({listed(map(code, each['others']))})"
    elif each["truth"]:
        who = f"the known truth of {images} stands for people's labels"
    elif each["imported"]:
        who = f"the labels of people that were imported with {images} stand beside its own"
    else:
        who = f"{count(each['raters'], 'person', 'people')} labelled {images} of the run"
        if each["weighted"]:
            who += f", drawn with unequal probabilities and weighted by their inverse ({cite('begg1983')})"
        elif not each["whole"]:
            who += ", drawn at random"
    if each["alpha"]:
        alpha, low, high = (f"{each['alpha'][key]:.2f}" for key in ("alpha", "alpha_low", "alpha_high"))
        who += f" (Krippendorff's α {alpha}, {low} to {high}; {cite('krippendorff2004')})"
    rates = listed([f"{percent(rate)} ({word(name)})" for name, rate in each["rates"].items()])
    agreed = f"; where they name a class, the classifier gave the same for {rates} of these images" if rates else ""
    ways = {
        "post_stratified": "by post-stratification where 20 of their images or more have such a label ({})",
        "lang_reiczigel": "by inverting the confusion of two classes ({})",
        "score": "by inverting the confusion with a score interval",
    }
    sources = {"post_stratified": "tenenbein1970", "lang_reiczigel": "lang2014"}
    how = [ways[way].format(cite(sources[way]) if way in sources else "") for way in each["methods"]]
    corrected = (
        f"; shares of prompts were corrected {listed(how, 'else')}, the uncertainty of the labels in every interval"
    )
    same = ", as if it errs here as it did there" if each["kind"] == "elsewhere" else ""
    return who + agreed + (corrected + same if how else "")
