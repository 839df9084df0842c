"""Memory does not grow with the number of images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from commands import WORDINGS

SCRIPT = """
import json, resource, sys
import audit

out, classifier, wordings = sys.argv[1:]
peaks = []
for made in (500, 2000):
    run = audit.run(
        model="phantom-drawn", classifier=classifier, wordings=wordings, out=out, languages="en", templates="portrait",
        subjects="nurse,builder,pilot,teacher,person", images=4000, batch_size=20, threads=1, order=range(made // 20),
    )
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(json.dumps({"made": len(run.samples()), "planned": run.record["plan"]["samples"], "peaks": peaks}))
"""


def test_a_run_of_2000_images_needs_no_more_memory_than_one_of_500(small_clip: Path, tmp_path: Path) -> None:
    wordings = tmp_path / "plain.yaml"
    wordings.write_text(WORDINGS)
    call = [sys.executable, "-c", SCRIPT, str(tmp_path / "run"), f"local-dir:{small_clip}", str(wordings)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["made"], found["planned"]) == (2000, 20_000)
    first, last = found["peaks"]
    assert last < 1.1 * first
    assert last - first < 12_000_000  # 1,500 images more have 18 MB of pixels: none of them is kept
