"""All benchmarks, one table: `make bench IMAGES=FOLDER`, or `python -m benchmarks --images FOLDER`.

Ratios are measured in turns in one process with one thread; nothing else should run beside it. `benchmarks/validity.py`
and other long simulations are run on their own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import gate, generation, labelling, statistics, tables, writing
from benchmarks.common import Row, table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path, help="folder of photographs; without it, writing is not measured")
    given = parser.parse_args()
    rows: list[Row] = []
    rows += generation.rows(given.repeats, given.seed)
    rows += labelling.rows(given.repeats, given.seed)
    rows += statistics.rows(given.repeats, given.seed)
    rows += tables.rows(given.repeats, given.seed)
    rows += gate.rows(given.repeats, given.seed)
    rows += writing.rows(given.repeats, given.seed, images=given.images)
    print(table(rows))


if __name__ == "__main__":
    main()
