"""Run the benchmarks named on the command line, or those that need no data."""

from __future__ import annotations

import sys

from benchmarks import advisor, augmentation, coverage, memory, peers, speed, startup, studies

BENCHMARKS = {
    "startup": startup.measure,
    "speed": speed.measure,
    "augmentation": augmentation.measure,
    "coverage": coverage.measure,
    "memory": memory.measure,
    "peers": peers.measure,
    "advisor": advisor.measure,
    "demo": studies.measure_demo,
    "breast": studies.measure_breast,
    "hippocampus": studies.measure_hippocampus,
}
WITHOUT_DATA = ("startup", "speed", "augmentation", "coverage", "memory", "advisor", "demo")


def main(names: list[str]) -> int:
    """Print one line per figure; return 1 if a target is missed."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"No benchmark is named {unknown[0]!r}. Choose among: {', '.join(BENCHMARKS)}.")
        return 2
    missed = 0
    for name in names or WITHOUT_DATA:
        for figure in BENCHMARKS[name]():
            print(figure, flush=True)
            missed += not figure.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
