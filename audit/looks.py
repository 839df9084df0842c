"""How often a gate looks at a run that grows, at which error rates, and what earlier looks have added to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.shared_images import images_of
from audit.statistics.looks import look_sizes, total_rate
from audit.statistics.noninferiority import INCONCLUSIVE

if TYPE_CHECKING:
    from audit.pairs import Answers
    from audit.policy import Policy
    from audit.verdict import Judged


@dataclass(frozen=True)
class Looks:
    """One look at a run, among all that were declared."""

    sizes: tuple[int, ...]
    """Images a probe of every declared look."""
    images: int
    """Images a probe at this look."""
    alpha: float
    """Chance of a false alarm of this look."""
    wrong_pass: float
    """Chance of a wrong pass of a line at this look."""
    total: tuple[float, float]
    """Both rates over all looks: those declared, and those that were taken before."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        total = dict(zip(("alpha", "wrong_pass"), self.total, strict=True))
        return {"sizes": list(self.sizes), "alpha": self.alpha, "wrong_pass": self.wrong_pass, "total": total}


def looks_of(policy: Policy, new: Answers, old: Answers | None, *, paired: bool) -> Looks:
    """The looks that a policy declares for a run.

    They go from the images that the run was begun with to the most that the policy declares; where every line compares
    with a baseline in pairs, to no more than that has.

    Args:
        policy: what is asked.
        new: answers of the run.
        old: answers of the baseline, if any line compares.
        paired: whether its images are pairs with those of the run.
    """
    images = images_of(new)
    sizes: tuple[int, ...] = (images,)
    if policy.more is not None:
        most = policy.more.images
        if old is not None and paired and all(line.against_baseline for line in policy.lines):
            most = min(most, images_of(old))
        extended = new.record.get("extended") or [{"from": images}]
        sizes = look_sizes(extended[0]["from"], most, policy.more.looks)
    levels = [rate / len(sizes) for rate in (policy.alpha, policy.wrong_pass_rate)]
    later = [size for size in sizes if size > images]
    total = []
    for name, level in zip(("alpha", "wrong_pass"), levels, strict=True):
        judged = {images: level}
        for look in new.record.get("looks") or ():
            judged[look["images"]] = max(look[name], judged.get(look["images"], 0.0))
        total.append(total_rate(judged, later, level))
    return Looks(sizes, images, levels[0], levels[1], (total[0], total[1]))


def said(looks: Looks, policy: Policy) -> list[str]:
    """What a reader of the verdict must know of the looks, a sentence each."""
    notes = []
    if len(looks.sizes) > 1:
        numbers = f"{', '.join(map(str, looks.sizes[:-1]))} and {looks.sizes[-1]}"
        notes.append(
            f"Judged with {looks.images} images a probe. Looks are declared at {numbers}; each is judged at "
            f"{percent(looks.alpha)} for a false alarm and {percent(looks.wrong_pass)} for a wrong pass, so that all "
            f"together keep to {percent(policy.alpha)} and {percent(policy.wrong_pass_rate)}."
        )
    if any(
        total > 1.0001 * rate for total, rate in zip(looks.total, (policy.alpha, policy.wrong_pass_rate), strict=True)
    ):
        notes.append(
            "This run was also judged with other numbers of images than those declared now, or at larger error rates: "
            f"over all these looks a false alarm comes in up to {percent(looks.total[0])} of the cases, a wrong pass "
            f"in up to {percent(looks.total[1])}."
        )
    return notes


def further(line: Judged, looks: Looks, old: Answers | None) -> bool:
    """Whether more images of the run could decide a line: not where it is compared in pairs and has them all."""
    return line.verdict == INCONCLUSIVE and not (line.paired and old is not None and looks.images >= images_of(old))


def stuck(lines: Sequence[Judged], looks: Looks, old: Answers | None, policy: Policy) -> list[str]:
    """Which lines stay inconclusive although the policy lets more images be made, and why: a sentence each."""
    if policy.more is None:
        return []
    notes = []
    alone = [line.line.name for line in lines if line.verdict == INCONCLUSIVE and not further(line, looks, old)]
    if alone and old is not None:
        notes.append(
            f"{', '.join(alone)}: no further image of the run can decide it, since images are compared in pairs and "
            f"{old.name} has {images_of(old)} a probe. Make the baseline with more images."
        )
    left = [line.line.name for line in lines if further(line, looks, old)]
    if left and looks.images >= looks.sizes[-1]:
        notes.append(f"{', '.join(left)}: not decided by {looks.images} images a probe, the most that were declared.")
    return notes


def percent(rate: float) -> str:
    """`5 %`, `1.67 %`."""
    return f"{100 * rate:.3g} %"
