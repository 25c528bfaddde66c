"""Bad input ends in one line that a person can act on, and costs nothing that was there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from PIL import Image

from tassl import cli
from tassl.errors import OptionError
from tassl.study import running

COMMANDS = ("run", "demo", "index", "pretrain", "adapt", "evaluate", "report", "modality")
Command = Callable[..., "Ending"]

rng = np.random.default_rng(0)


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refusal(self) -> str:
        """The one line on stderr, after a check that there is no more to it."""
        assert self.code == 2, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("tassl: ")
        assert "Traceback" not in self.out
        return lines[0]


@pytest.fixture
def tassl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, in this process."""

    def command(*words: object) -> Ending:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["tassl", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Ending(int(ended.value.code or 0), printed.out, printed.err)

    return command


def noise(*shape: int) -> np.ndarray:
    return rng.integers(0, 255, shape, dtype=np.uint8)


def save(file: Path, **arrays: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty labelled images without masks."""
    return save(tmp_path / "data" / "a.npz", images=noise(40, 16, 16), labels=np.arange(40) % 2)


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Forty images with masks and no labels."""
    masks = noise(40, 16, 16) // 128
    return save(tmp_path / "data" / "m.npz", images=noise(40, 16, 16), masks=masks)


def study(data: Path, out: Path, *more: object, modality="ultrasound", task="classification"):
    return ("run", data, "--modality", modality, "--task", task, "--out", out, *more)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def test_help_lists_every_command(tassl: Command):
    ending = tassl("--help")
    assert ending.code == 0
    for name in COMMANDS:
        assert name in ending.out


@pytest.mark.parametrize("words", [("run",), ("fly",), ("run", "x", "--modality"), ("report",)])
def test_usage_errors(tassl: Command, words: tuple[str, ...]):
    ending = tassl(*words)
    assert ending.code == 2
    assert "Error" in ending.err
    assert "Traceback" not in ending.err


OPTIONS = {
    "modality": (("--modality", "ultrasond"), "Did you mean 'ultrasound'?"),
    "task": (("--task", "clasification"), "Did you mean 'classification'?"),
    "method": (("--method", "simclir"), "Did you mean 'simclr'?"),
    "network": (("--network", "unett"), "Did you mean 'unet'?"),
    "locality": (("--locality", "globall"), "Did you mean 'global'?"),
    "far from any": (("--method", "zzz"), "Choose one of: barlow, byol"),
    "budgets in words": (("--budgets", "five"), "wanted whole numbers, as in 5,10,25"),
    "budgets in parts": (("--budgets", "5,1.5"), "wanted whole numbers"),
    "budget of none": (("--budgets", "0,5"), "--budgets is 0; wanted 1 or more."),
    "size": (("--size", "0"), "--size is 0; wanted 8 or more."),
    "draws": (("--draws", "0"), "--draws is 0; wanted 1 or more."),
    "epochs": (("--epochs", "-1"), "--epochs is -1; wanted 1 or more."),
    "batch": (("--batch", "0"), "--batch is 0; wanted 1 or more."),
    "steps": (("--steps", "0"), "--steps is 0; wanted 1 or more."),
    "seed": (("--seed", "-1"), "--seed is -1; wanted zero or more."),
    "banned": (("--augment", "flip_ud=0.5"), "flip_ud is banned for ultrasound: depth"),
    "permission": (("--allow", "flip_uq"), "Did you mean 'flip_ud'?"),
    "degenerate": (
        ("--modality", "histopathology", "--method", "rotation"),
        "Rotation prediction carries no signal for histopathology:",
    ),
    "operation": (("--augment", "flip_uq=0.5"), "Did you mean 'flip_ud'?"),
    "strength in words": (("--augment", "crop=small"), "wanted numbers, as in crop=0.6"),
    "strength left out": (("--augment", "crop"), "'crop' came; wanted --augment NAME=NUMBER"),
    "strength": (("--augment", "crop=2"), "wanted a share of the area"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_option_is_refused_before_anything_is_written(
    tassl: Command, data: Path, tmp_path: Path, name: str
):
    options, words = OPTIONS[name]
    before = snapshot(tmp_path)
    assert words in tassl(*study(data, tmp_path / "out", *options)).refusal()
    assert snapshot(tmp_path) == before


def save_nifti(file: Path, *shape: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(noise(*shape), np.eye(4)), file)  # type: ignore[attr-defined]


def make_missing(place: Path) -> Path:
    return place / "nowhere.npz"


def make_empty(place: Path) -> Path:
    place.mkdir()
    return place


def make_truncated(place: Path) -> Path:
    file = save(place / "a.npz", images=noise(40, 16, 16), labels=np.arange(40) % 2)
    file.write_bytes(file.read_bytes()[:5000])
    return file


def make_one_class(place: Path) -> Path:
    return save(place / "a.npz", images=noise(40, 16, 16), labels=np.ones(40, int))


def make_masks_only(place: Path) -> Path:
    return save(place / "a.npz", images=noise(40, 16, 16), masks=noise(40, 16, 16) // 128)


def make_bare(place: Path) -> Path:
    return save(place / "a.npz", images=noise(40, 16, 16))


def make_few(place: Path) -> Path:
    return save(place / "a.npz", images=noise(2, 16, 16), labels=np.arange(2))


def make_classless_test(place: Path) -> Path:
    arrays = {f"{side}_images": noise(10, 16, 16) for side in ("train", "val", "test")}
    labels = {"train_labels": np.arange(10) % 2, "val_labels": np.arange(10) % 2}
    return save(place / "a.npz", **arrays, **labels, test_labels=np.zeros(10, int))


def make_unlabelled_test(place: Path) -> Path:
    arrays = {f"{side}_images": noise(10, 16, 16) for side in ("train", "val", "test")}
    return save(place / "a.npz", **arrays, train_labels=np.arange(10) % 2)


def make_mismatched(place: Path) -> Path:
    save_nifti(place / "images" / "a.nii", 8, 8, 8)
    save_nifti(place / "labels" / "a.nii", 8, 8, 9)
    return place


def make_alike(place: Path) -> Path:
    return save(place / "a.npz", images=np.zeros((40, 16, 16)), labels=np.arange(40) % 2)


def make_corrupt(place: Path) -> Path:
    for name in "ab":
        (place / name).mkdir(parents=True)
        (place / name / "1.png").write_bytes(b"\x89PNG\r\n")
    return place


def make_mixed(place: Path) -> Path:
    save_nifti(place / "images" / "a.nii", 8, 8, 8)
    save_nifti(place / "images" / "b.nii", 8, 8)
    return place


def make_crossing(place: Path) -> Path:
    sides = {"train_subjects": "p1", "val_subjects": "p2", "test_subjects": "p1"}
    arrays = {f"{side}_images": noise(4, 16, 16) for side in ("train", "val", "test")}
    return save(place / "a.npz", **arrays, **{k: np.full(4, v) for k, v in sides.items()})


DATA: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (make_missing, "does not exist. Give a file or folder"),
    "empty": (make_empty, "is empty. Give"),
    "truncated": (make_truncated, "may be truncated"),
    "one class": (make_one_class, "All labels are of one class (1)"),
    "masks only": (make_masks_only, "hold masks and boxes. Use --task segmentation"),
    "neither": (make_bare, "hold none. Add class labels."),
    "few": (make_few, "2 subjects leave none for"),
    "class not in test": (make_classless_test, "No test image is of class 1."),
    "test unlabelled": (make_unlabelled_test, "No val image has class labels."),
    "mask of another shape": (make_mismatched, "a.nii (8, 8, 8) with a mask of (8, 8, 9)"),
    "all alike": (make_alike, "No image is left to learn from outside the test: 30 have"),
    "all corrupt": (make_corrupt, "can be read. a/1.png: cannot be read"),
    "2d and 3d": (make_mixed, "mixes images of [2, 3] dimensions"),
    "subject on both sides": (
        make_crossing,
        "given split: p1 (train-00003 in train",
    ),
}


@pytest.fixture
def halted(monkeypatch: pytest.MonkeyPatch) -> str:
    """Stop every study where its data are understood and training would begin."""

    def halt(*_: object) -> None:
        raise OptionError("The data are understood.")

    monkeypatch.setattr(running, "choose_methods", halt)
    return "tassl: The data are understood."


@pytest.mark.parametrize("name", DATA)
def test_bad_data_leave_the_way_free(
    tassl: Command, data: Path, tmp_path: Path, name: str, halted: str
):
    """The data stay as they are, and the mended command may use the same --out."""
    make, words = DATA[name]
    bad, out = make(tmp_path / "bad"), tmp_path / "runs" / "out"
    before = snapshot(tmp_path)
    assert words in tassl(*study(bad, out)).refusal()
    after = snapshot(tmp_path)
    assert {path: after[path] for path in before} == before
    assert all(path.startswith("runs") for path in set(after) - set(before))
    assert tassl(*study(data, out)).refusal() == halted


def test_wrong_task_is_mended_in_place(tassl: Command, masked: Path, data: Path, tmp_path, halted):
    out = tmp_path / "out"
    assert "Use --task segmentation" in tassl(*study(masked, out)).refusal()
    assert tassl(*study(masked, out, task="segmentation")).refusal() == halted
    out = tmp_path / "other"
    ending = tassl(*study(data, out, task="segmentation"))
    assert "hold class labels. Use --task classification" in ending.refusal()
    assert tassl(*study(data, out)).refusal() == halted


class TestRunFolders:
    def refuse(self, tassl: Command, data: Path, out: Path, *more: object) -> str:
        """Refuse to run, and leave what is in the folder as it is."""
        before = snapshot(out.parent)
        line = tassl(*study(data, out, *more)).refusal()
        assert snapshot(out.parent) == before
        return line

    def test_folder_of_something_else(self, tassl: Command, data: Path, tmp_path: Path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "thesis.tex").write_text("years of work")
        assert "holds no run of tassl" in self.refuse(tassl, data, out)

    def test_folder_in_use(self, tassl: Command, data: Path, tmp_path: Path, halted: str):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        with FileLock(out / ".lock"):
            assert "is in use by another tassl. Wait" in self.refuse(tassl, data, out)
            assert "is in use by another tassl" in self.refuse(tassl, data, out, "--size", 12)
        assert tassl(*study(data, out)).refusal() == halted

    @pytest.mark.parametrize("text", ["title: my own study", "- a list", "{", ""])
    def test_foreign_study_file(self, tassl: Command, data: Path, tmp_path: Path, text: str):
        out = tmp_path / "out"
        out.mkdir()
        (out / "study.yaml").write_text(text)
        assert "is no study of tassl" in self.refuse(tassl, data, out)

    def test_file_as_folder(self, tassl: Command, data: Path, tmp_path: Path):
        (tmp_path / "out").write_text("x")
        assert "holds no run of tassl" in self.refuse(tassl, data, tmp_path / "out")

    def test_folder_that_cannot_be_written(self, tassl: Command, data: Path, tmp_path: Path):
        (tmp_path / "file").write_text("x")
        line = tassl(*study(data, tmp_path / "file" / "out")).refusal()
        assert "cannot be written (Not a directory). Choose an --out that can." in line

    def test_finished_run(self, tassl: Command, data: Path, tmp_path: Path, halted: str):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        (out / "verdict.json").write_text("{}")
        assert "holds this very run, finished. Read" in self.refuse(tassl, data, out)
        line = self.refuse(tassl, data, out, "--seed", 1)
        assert "holds a run with another seed. Choose another --out." in line

    @pytest.mark.parametrize("trained", ["pretrain/mae", "tuning", "predictions", "store.part"])
    def test_run_of_another_study(self, tassl: Command, data: Path, tmp_path, halted, trained: str):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        (out / trained).mkdir(parents=True)
        line = self.refuse(tassl, data, out, "--epochs", 3, "--size", 12)
        assert "holds a run with another epochs, size" in line

    def test_same_study_is_taken_up(self, tassl: Command, data: Path, tmp_path: Path, halted: str):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        built = (out / "store" / "images.npy").stat().st_mtime_ns
        ending = tassl(*study(data, out))
        assert ending.refusal() == halted
        assert "Going on with the unfinished run" in ending.out
        assert (out / "store" / "images.npy").stat().st_mtime_ns == built

    def test_another_study_takes_the_store_that_is_there(
        self, tassl: Command, data: Path, tmp_path: Path, halted: str, monkeypatch
    ):
        monkeypatch.setenv("TASSL_CACHE", str(tmp_path / "cache"))
        files = []
        for name, size in (("first", 16), ("second", 16), ("third", 12)):
            ending = tassl(*study(data, tmp_path / name, "--size", size, "--seed", len(files)))
            assert ending.refusal() == halted
            files.append(tmp_path / name / "store/images.npy")
        assert files[0].samefile(files[1])
        assert not files[0].samefile(files[2])

    def test_store_cut_short_leaves_the_way_free(
        self, tassl: Command, data: Path, tmp_path: Path, halted: str
    ):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        (out / "store.0123456789abcdef.part").mkdir()
        assert tassl(*study(data, out, "--size", 12)).refusal() == halted
        assert not (out / "store.0123456789abcdef.part").exists()

    @pytest.mark.parametrize("name", ["images.npy", "table.parquet", "store.json"])
    def test_damaged_store_is_told(self, tassl: Command, data, tmp_path, halted, name: str):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        file = out / "store" / name
        file.write_bytes(file.read_bytes()[:150])
        assert f"{out / 'store'} are damaged (" in self.refuse(tassl, data, out)
        shutil.rmtree(out / "store")
        assert tassl(*study(data, out)).refusal() == halted

    def test_touched_data_are_read_anew_and_kept(self, tassl: Command, data, tmp_path, halted):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        (out / "pretrain").mkdir()
        os.utime(data, (1, 1))
        assert tassl(*study(data, out)).refusal() == halted
        assert not (out / "store.new").exists()

    def test_changed_table_is_seen(self, tassl: Command, tmp_path: Path, halted: str):
        for k in range(40):
            place = tmp_path / "data" / "x" / f"{k}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(16, 16)).save(place)
        table, out = tmp_path / "t.csv", tmp_path / "out"
        options = ("--csv", table, "--layout", "class-folders")
        for turn in (0, 1):
            labels = [(k + turn) % 2 for k in range(40)]
            rows = "".join(f"{k}.png,{label}\n" for k, label in enumerate(labels))
            table.write_text(f"file,label\n{rows}")
            ending = tassl(*study(tmp_path / "data", out, *options))
            assert ending.refusal() == halted
            stored = pd.read_parquet(out / "store/table.parquet").set_index("id").label
            assert [stored[f"x/{k}"] for k in range(40)] == labels

    def test_mask_that_a_table_invents(self, tassl: Command, tmp_path: Path, halted: str):
        pictures = tmp_path / "data" / "x"
        pictures.mkdir(parents=True)
        for k in range(40):
            Image.fromarray(noise(16, 16)).save(pictures / f"{k}.png")
        rows = "".join(f"x/{k}.png,{k % 2},{'gone.png' if k == 7 else ''}\n" for k in range(40))
        (tmp_path / "data" / "t.csv").write_text(f"file,label,mask\n{rows}")
        ending = tassl(*study(tmp_path / "data" / "t.csv", tmp_path / "out"))
        assert ending.refusal() == halted
        assert "set aside x/7.png: cannot be read" in ending.out

    def test_changed_data_are_refused_once_trained(self, tassl: Command, data, tmp_path, halted):
        out = tmp_path / "out"
        assert tassl(*study(data, out)).refusal() == halted
        other = dict(np.load(data))
        other["labels"] = other["labels"][::-1]
        save(data, **other)
        assert tassl(*study(data, out)).refusal() == halted
        labels = pd.read_parquet(out / "store/table.parquet").label
        assert np.array_equal(labels, other["labels"])
        (out / "pretrain").mkdir()
        other["images"][0] = 0
        save(data, **other)
        line = self.refuse(tassl, data, out)
        assert "changed since this run was started. Put them back, or" in line


class TestOtherCommands:
    def test_index_tells_how_data_are_understood(self, tassl: Command, data: Path, tmp_path: Path):
        ending = tassl("index", data, "--out", tmp_path / "new" / "table.parquet")
        assert ending.code == 0
        assert "images   40 of 40 subjects" in ending.out
        assert (tmp_path / "new" / "table.parquet").exists()

    def test_index_overwrites_nothing(self, tassl: Command, data: Path, tmp_path: Path):
        out = tmp_path / "table.parquet"
        out.write_text("mine")
        assert "exists. Choose another" in tassl("index", data, "--out", out).refusal()
        assert out.read_text() == "mine"

    def test_index_writes_parquet_alone(self, tassl: Command, data: Path, tmp_path: Path):
        line = tassl("index", data, "--out", tmp_path / "t.csv").refusal()
        assert "wanted a name that ends in .parquet" in line

    def test_protocol_without_draws(self, tassl: Command):
        assert "--draws is 0; wanted 1 or more." in tassl("protocol", "--draws", 0).refusal()

    def test_index_cannot_write(self, tassl: Command, data: Path, tmp_path: Path):
        (tmp_path / "file").write_text("x")
        line = tassl("index", data, "--out", tmp_path / "file" / "t.parquet").refusal()
        assert "cannot be written" in line

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--layout", "array"), "Did you mean 'arrays'?"),
            (("--layout", "class-folders"), "does not lie as layout 'class-folders' wants"),
            (("--csv", "gone.csv"), "gone.csv is no file. Give a CSV"),
            (("--subject", "("), "is not a regular expression"),
            (("--subject", "abc"), "has 0 groups"),
            (("--subject", "(q)"), "finds nothing in 'a.npz'"),
        ],
    )
    def test_index_options(self, tassl: Command, data: Path, options: tuple, words: str):
        assert words in tassl("index", data, *options).refusal()

    @pytest.mark.parametrize(
        ("pair", "words"),
        [("nothing", "wanted --checkpoint NAME=FOLDER"), ("a=nowhere", "holds no checkpoint")],
    )
    def test_evaluate_without_a_checkpoint(self, tassl: Command, data, tmp_path, pair, words):
        _, *rest = study(data, tmp_path / "out")
        before = snapshot(tmp_path)
        assert words in tassl("evaluate", *rest, "--checkpoint", pair).refusal()
        assert snapshot(tmp_path) == before

    def test_adapt_from_a_damaged_checkpoint(self, tassl: Command, data: Path, tmp_path: Path):
        place = tmp_path / "checkpoint"
        place.mkdir()
        (place / "checkpoint.json").write_text("{")
        (place / "checkpoint.safetensors").write_bytes(b"")
        _, *rest = study(data, tmp_path / "out")
        assert "is damaged" in tassl("adapt", *rest, "--checkpoint", place).refusal()

    def test_pretrain_with_too_few_images(self, tassl: Command, tmp_path: Path):
        few = save(tmp_path / "f.npz", images=noise(9, 16, 16), labels=np.arange(9) % 3)
        options = ("--modality", "ct", "--out", tmp_path / "out", "--epochs", 1)
        ending = tassl("pretrain", few, *options, "--method", "simclr")
        assert ending.code == 0
        assert "MoCo is trained instead" in ending.out
        assert (tmp_path / "out/pretrain/moco/checkpoint.json").exists()

    @pytest.mark.parametrize("name", ["nowhere", "data"])
    def test_report_of_no_run(self, tassl: Command, data: Path, tmp_path: Path, name: str):
        before = snapshot(tmp_path)
        tassl("report", tmp_path / name).refusal()
        assert snapshot(tmp_path) == before

    def test_demo_with_a_negative_seed(self, tassl: Command, tmp_path: Path):
        assert "seed" in tassl("demo", "--out", tmp_path / "demo", "--seed", -1).refusal()


def test_damaged_picture_does_not_stop_the_rest(tassl: Command, tmp_path: Path, halted: str):
    for k in range(40):
        file = tmp_path / "data" / "ab"[k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16)).save(file)
    (tmp_path / "data/a/0.png").write_bytes(b"")
    ending = tassl(*study(tmp_path / "data", tmp_path / "out"))
    assert ending.refusal() == halted
    assert "! set aside a/0.png: cannot be read" in ending.out
    assert "39 images of 39 subjects" in ending.out


def test_volumes_are_refused_where_the_modality_has_none(tassl: Command, tmp_path: Path):
    labels = np.arange(40) % 2
    volumes = save(tmp_path / "data" / "v.npz", images=noise(40, 9, 10, 11), labels=labels)
    refusal = tassl(*study(volumes, tmp_path / "out", modality="xray")).refusal()
    assert "images are 3D; xray (Radiography) is 2D only" in refusal
    assert "one of: ct, mammography," in refusal
