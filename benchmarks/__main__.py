"""Run the benchmarks named on the command line, or those that need no data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import (
    advisor,
    augmentation,
    coverage,
    deciding,
    growing,
    learning,
    lesions,
    memory,
    peers,
    planning,
    scout,
    speed,
    startup,
    studies,
)

BENCHMARKS = {
    "startup": startup.measure,
    "speed": speed.measure,
    "augmentation": augmentation.measure,
    "coverage": coverage.measure,
    "deciding": deciding.measure,
    "memory": memory.measure,
    "peers": peers.measure,
    "advisor": advisor.measure,
    "planning": planning.measure,
    "demo": studies.measure_demo,
    "breast": studies.measure_breast,
    "hippocampus": studies.measure_hippocampus,
}
TABLES = {
    "learning": learning.measure,
    "lesions": lesions.measure,
    "growing": growing.measure,
    "scout": scout.measure,
}
KEEPING = ("coverage",)  # tables beside their figures
WITHOUT_DATA = (
    "startup",
    "speed",
    "augmentation",
    "coverage",
    "deciding",
    "memory",
    "planning",
    "advisor",
    "demo",
)


def main(words: list[str]) -> int:
    """Print one line per figure, or a table; return 1 if a target is missed."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    known = (*BENCHMARKS, *TABLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/benchmarks"),
        help="where tables are kept; rows in it are not measured again",
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the usual epochs, for tables")
    asked = parser.parse_args(words)
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no benchmark is named {unknown[0]!r}; choose among: {', '.join(known)}")
    missed = 0
    for name in asked.names or WITHOUT_DATA:
        if name in TABLES:
            print(TABLES[name](asked.out, asked.share).to_string(index=False), flush=True)
            continue
        for figure in BENCHMARKS[name](*([asked.out] if name in KEEPING else [])):
            print(figure, flush=True)
            missed += not figure.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
