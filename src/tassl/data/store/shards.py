"""Work on many rows: shard by shard, over all cores where it pays, never done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tassl.data.files import write_json

Task = Callable[[Sequence[Any]], list[Any]]
MOST_ROWS, FEWEST_SHARDS = 64, 64
TRIED = 1.0  # seconds of work that say how much is left
WORTH = 6.0  # seconds that must be left for others to be asked: to start them takes two to three


def map_shards(
    task: Task,
    items: Sequence[Any],
    folder: Path,
    *,
    workers: int | None = None,
    on_item: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Give every shard of the items to a task, and keep its answer in a file.

    The file of a shard appears whole and last, so that it says that the shard is done: shards that
    have one are not worked on again. Neither answers nor their order hang on the workers.

    Args:
        task: Gets some of the items; gives for each what JSON can hold.
        items: All of them; the same ones in a second try.
        folder: Where answers are kept between tries.
        workers: Processes; all cores, where that pays, unless given.
        on_item: Called for each item that is done.

    Returns:
        The answers, in the order of the items, as JSON gives them back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = max(1, min(MOST_ROWS, len(items) // FEWEST_SHARDS))
    shards = {folder / f"{k:08d}.json": items[k : k + size] for k in range(0, len(items), size)}
    waiting = [file for file in shards if not file.exists()]

    def tick(file: Path) -> None:
        for _ in shards[file]:
            on_item()

    for file in shards.keys() - set(waiting):
        tick(file)
    began, total = time.monotonic(), len(waiting)
    while waiting and workers in (None, 1):
        file = waiting.pop(0)
        tick(_work(task, shards[file], file))
        spent = time.monotonic() - began
        left = spent / (total - len(waiting)) * len(waiting)
        if workers is None and spent > TRIED and left > WORTH:
            break
    if waiting:
        _share(task, [(shards[file], file) for file in waiting], workers or -1, tick)
    return [answer for file in shards for answer in json.loads(file.read_text())]


def _share(
    task: Task,
    work: list[tuple[Sequence[Any], Path]],
    workers: int,
    tick: Callable[[Path], None],
) -> None:
    from joblib import Parallel, delayed

    parallel = Parallel(workers, return_as="generator_unordered", max_nbytes=None)
    done: Any = parallel(delayed(_work)(task, *piece) for piece in work)
    for file in done:
        tick(file)


def _work(task: Task, items: Sequence[Any], file: Path) -> Path:
    answers = task(items)
    if file.parent.is_dir():  # else the process that asked is gone, and another has finished
        write_json(file, answers)
    return file
