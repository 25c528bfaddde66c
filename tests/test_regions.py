"""Regions of masks, which may overlap: named, read, learnt, scored one by one, audited, shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage

import tassl
from tassl.data.audit.regions import check_regions, measure_shares
from tassl.data.layouts import index
from tassl.data.manifest import Manifest, write_manifest
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.data.regions import find_values, list_codes, parse_regions, split_codes, stack_regions
from tassl.data.store import Store, build_store, open_store
from tassl.errors import InputError, OptionError, TasslError
from tassl.evaluation.per_region import score_regions
from tassl.evaluation.regions import dice_of_regions, measure_regions
from tassl.evaluation.segmentation import FALSE_ALARM, NAMES, dice_of_masks, measure_masks
from tassl.heads.regions import RegionProbe, RegionSegmenter
from tassl.networks import NETWORKS
from tassl.networks.pixels import Pixels
from tassl.report.pictures import Plane, class_colour, show_regions
from tassl.scouting import yardstick
from tassl.study import Study
from tassl.study.narrator import Narrator
from tassl.study.preparation import prepare
from tassl.study.scouting import lay_ground

SINGLE = {"one": (1,), "two": (2,), "three": (5,)}
VALUES = (0, 1, 2, 5)


def draw_classes(seed: int, *space: int) -> np.ndarray:
    """Smooth blobs of the classes 0 to 3."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=space), 2)
    return np.digitize(noise, np.quantile(noise, [0.5, 0.7, 0.85])).astype(np.uint8)


# --- names --------------------------------------------------------------------------------------


def test_regions_are_read_as_they_are_written():
    told = parse_regions("whole tumour = 1+2 + 3, core=oedema")
    assert told == {"whole tumour": ("1", "2", "3"), "core": ("oedema",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "wanted NAME=CLASS"),
        ("whole", "'whole' came"),
        ("whole=1,", "'' came"),
        ("whole=1+", "'whole=1\\+' came"),
        ("=1", "'=1' came"),
        ("a=1,a=2", "names 'a' twice"),
    ],
)
def test_what_is_not_written_so_is_refused(text: str, words: str):
    with pytest.raises(OptionError, match=words):
        parse_regions(text)


def test_classes_go_by_number_or_name():
    names = ("background", "oedema", "core", "enhancing")
    asked = {"whole": ("oedema", "5", "2"), "enhancing": ("enhancing",)}
    assert find_values(asked, VALUES, names) == {"whole": (1, 2, 5), "enhancing": (5,)}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"whole": ("1", "4")}, "'whole' joins class '4'; the masks hold 1 \\(a\\), 2 \\(b\\)"),
        ({"whole": ("0",)}, "joins class '0'"),
        ({"whole": ("rest",)}, "joins class 'rest'"),
        ({str(k): ("1",) for k in range(9)}, "9 regions came; wanted at most 8"),
    ],
)
def test_classes_that_no_mask_holds_are_refused(asked: dict, words: str):
    with pytest.raises(InputError, match=words):
        find_values(asked, VALUES, ("rest", "a", "b", "c"))


def test_codes_are_what_each_region_joins():
    regions = {"whole": (1, 2, 5), "core": (2, 5), "two": (2,)}
    codes = list_codes(regions, VALUES)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [0, 0b001, 0b111, 0b011]
    classes = draw_classes(0, 20, 20)
    for own, joined in zip(split_codes(codes[classes], 3), regions.values(), strict=True):
        assert np.array_equal(own, np.isin(np.array(VALUES)[classes], joined))


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_mask_per_region_makes_codes(count: int):
    masks = np.random.default_rng(0).integers(0, 2, (count, 5, 6)) * 255
    codes = stack_regions(masks)
    assert codes.dtype == np.uint8
    assert np.array_equal(split_codes(codes, count), masks > 0)


# --- reading ------------------------------------------------------------------------------------


def save_picture(pixels: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


def store_of(manifest: Manifest, folder: Path) -> Store:
    return build_store(manifest, lambda pixels: pixels / 255, folder / "store")


@pytest.fixture
def columns(tmp_path: Path) -> Path:
    """A table of three pictures: organ and lesion overlap, organ alone, no mask."""
    grey = np.random.default_rng(0).integers(0, 255, (3, 12, 12))
    organ, lesion = np.zeros((2, 12, 12))
    organ[2:9, 2:9], lesion[6:11, 6:11] = 255, 1
    for k in range(3):
        save_picture(grey[k], tmp_path / f"{k}.png")
    save_picture(organ, tmp_path / "organ.png")
    save_picture(lesion, tmp_path / "lesion.png")
    rows = {
        "file": ["0.png", "1.png", "2.png"],
        "mask_organ": ["organ.png", "organ.png", None],
        "lesion_mask": ["lesion.png", None, None],
        "mask_area": [0.25, 0.5, None],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_overlapping_masks_of_several_columns_are_kept(columns: Path, tmp_path: Path):
    manifest = index(columns)
    assert manifest.marks == "regions"
    assert "regions  organ, lesion" in manifest.account()
    assert manifest.table.masks.tolist() == [("organ.png", "lesion.png"), ("organ.png", ""), ()]
    store = store_of(manifest, tmp_path)
    assert store.mask_values == (0, 1, 2, 3)
    assert store.regions == {"organ": (1, 3), "lesion": (2, 3)}
    assert store.table.masked.tolist() == [True, True, False]
    organ, lesion = split_codes(store.codes[store.masks[0]], 2)
    assert np.argwhere(organ)[[0, -1]].tolist() == [[2, 2], [8, 8]]
    assert np.argwhere(lesion)[[0, -1]].tolist() == [[6, 6], [10, 10]]
    assert not split_codes(store.codes[store.masks[1]], 2)[1].any()


def test_a_manifest_keeps_its_regions(columns: Path, tmp_path: Path):
    for name, manifest in {
        "a": index(columns),
        "b": index(columns, regions=None),
        "c": replace(index(columns), regions={"whole": ("1", "2"), "core": (2,)}),
    }.items():
        write_manifest(manifest, tmp_path / f"{name}.parquet")
        again = index(tmp_path / f"{name}.parquet")
        assert again.regions == manifest.regions
        assert again.marks == manifest.marks


def test_masks_that_mark_regions_are_not_joined_again(columns: Path):
    with pytest.raises(OptionError, match="every mask marks a region already: organ, lesion"):
        index(columns, regions="whole=1+2")


def test_a_single_column_of_masks_is_a_label_map(columns: Path):
    table = pd.read_csv(columns).rename(columns={"lesion_mask": "other"})
    table.assign(mask=table.mask_organ).to_csv(columns, index=False)
    assert index(columns).table.masks.tolist() == [("organ.png",), ("organ.png",), ()]
    assert index(columns).marks == "classes"


def test_classes_that_overlap_in_united_masks_are_told(tmp_path: Path):
    picture, first, second = np.zeros((3, 8, 8))
    picture[0, 0], first[1:5, 1:5], second[4:7, 4:7] = 200, 1, 2
    for name, pixels in {"": picture, "_mask": first, "_mask_1": second}.items():
        save_picture(pixels, tmp_path / "a" / f"x{name}.png")
        save_picture(pixels > 0, tmp_path / "b" / f"x{name}.png")
    notes = {name: store_of(index(tmp_path / name), tmp_path / name).notes for name in "ab"}
    assert any("overlap with different classes" in note for note in notes["a"])
    assert not any("overlap" in note for note in notes["b"])


def save_volumes(folder: Path, labels: dict[str, Any]) -> Path:
    for part, kind in (("imagesTr", np.float32), ("labelsTr", np.uint8)):
        (folder / part).mkdir(parents=True)
        for k in range(2):
            pixels = draw_classes(k, 8, 9, 10).astype(kind)
            nib.Nifti1Image(pixels, np.eye(4)).to_filename(folder / part / f"c{k}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


def test_regions_of_an_nnunet_data_set_are_read(tmp_path: Path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    manifest = index(save_volumes(tmp_path / "d", labels))
    wanted = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    assert manifest.regions == wanted
    assert store_of(manifest, tmp_path).regions == wanted
    assert index(tmp_path / "d", regions="all=1+2+3").regions == {"all": ("1", "2", "3")}


def test_a_data_set_may_name_classes_that_no_mask_holds(tmp_path: Path):
    store = store_of(index(save_volumes(tmp_path / "d", {"a": [1, 7], "b": 8})), tmp_path)
    assert store.codes.tolist() == [0, 1, 0, 0]


def test_regions_may_join_the_names_of_classes(tmp_path: Path):
    labels = {"background": 0, "oedema": 1, "core": 2, "enhancing": 3}
    manifest = index(save_volumes(tmp_path / "d", labels), regions="whole=oedema+core+3")
    assert store_of(manifest, tmp_path).regions == {"whole": (1, 2, 3)}
    with pytest.raises(InputError, match="the masks hold 1 \\(oedema\\), 2 \\(core\\), 3"):
        store_of(replace(manifest, regions={"whole": ("7",)}), tmp_path)
    assert not list(tmp_path.glob("*.part"))


# --- learning -----------------------------------------------------------------------------------


def make_head(kind: type, dims: int = 2, regions: int = 3) -> Any:
    torch.manual_seed(0)
    return kind(NETWORKS["unet"].load()(dims, 1, widths=(8, 16), stem=1), None, regions)


@pytest.mark.parametrize("kind", [RegionSegmenter, RegionProbe])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_loss_is_dice_and_binary_cross_entropy_of_each_region(kind: type, dims: int):
    head = make_head(kind, dims)
    for weight in head.head.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    images, codes = torch.randn(2, 1, *(8,) * dims), torch.randint(0, 8, (2, *(8,) * dims))
    chances, total = head.predict(images).detach().double(), 0.0
    for k in range(3):
        own, truth = chances[:, k].flatten(), torch.tensor([c >> k & 1 for c in codes.flatten()])
        entropy = torch.where(truth == 1, own, 1 - own).log().mean()
        dice = (2 * (own * truth).sum() + 1e-5) / (own.sum() + truth.sum() + 1e-5)
        total += float(1 - dice - entropy) / 3
    assert head.loss(images, codes).item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("kind", [RegionSegmenter, RegionProbe])
def test_it_starts_at_the_prevalence_of_each_region(kind: type):
    head, codes = make_head(kind), torch.zeros(4, 16, 16, dtype=torch.long)
    codes[0, :4], codes[0, :2] = 0b001, 0b011
    head.prime(codes)
    torch.nn.init.zeros_(head.head.weight)
    chances = head.predict(torch.randn(2, 1, 16, 16)).mean((0, 2, 3))
    assert torch.allclose(chances, torch.tensor([65.0, 33.0, 1.0]) / 1026, atol=1e-6)


def test_a_region_inside_another_is_learnt():
    """Grey values alone: whole is what is bright, core what is very bright."""
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    whole, core = images[:, 0] > 0.4, images[:, 0] > 0.8
    head = RegionProbe(Pixels(2, 1), None, 2)
    codes = whole.long() + 2 * core.long()
    head.prime(codes)
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.3)
    for _ in range(80):
        optimiser.zero_grad()
        head.loss(images, codes).backward()
        optimiser.step()
    found = head.predict(images) > 0.5
    for part, wanted in zip(found.unbind(1), (whole, core), strict=True):
        assert (part == wanted).float().mean() > 0.95


# --- scores -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_regions_of_one_class_each_score_as_the_classes_do(dims: int):
    codes = list_codes(SINGLE, VALUES)
    predicted, truth = (draw_classes(seed, *(14,) * dims) for seed in (0, 1))
    truth[truth == 3] = 0
    pair, spacing = (codes[predicted], codes[truth]), (0.8, 1.5, 2.0)[:dims]
    dice = dice_of_masks(predicted, truth, 4)
    assert np.isnan(dice).tolist() == [False, False, True]
    np.testing.assert_array_equal(dice_of_regions(*pair, 3), dice)
    found = measure_regions(*pair, 3, spacing, 1.0)
    wanted = measure_masks(predicted, truth, 4, spacing, 1.0)
    assert found.pop(FALSE_ALARM) == 1  # of the class that is absent; of classes images alone count
    assert np.isnan(wanted.pop(FALSE_ALARM))
    assert found == pytest.approx(wanted, nan_ok=True)


def test_dice_of_overlapping_regions_against_sets():
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(0, 8, (2, 6, 7)).astype(np.uint8)
    for k, found in enumerate(dice_of_regions(predicted, truth, 3)):
        one, other = ({*zip(*np.nonzero(m >> k & 1), strict=True)} for m in (predicted, truth))
        assert found == pytest.approx(2 * len(one & other) / (len(one) + len(other)))


def test_where_nothing_is_shown():
    nothing, first = np.zeros((5, 5), np.uint8), np.full((5, 5), 1, np.uint8)
    assert dice_of_regions(nothing, nothing, 2).tolist() == [1, 1]
    assert dice_of_regions(first, nothing, 2).tolist() == [0, 1]
    np.testing.assert_array_equal(dice_of_regions(first + 2, first, 2), [1, np.nan])
    alarms = [
        measure_regions(*pair, 2, (1.0, 1.0), 1.0)[FALSE_ALARM]
        for pair in ((first, nothing), (first + 2, first), (first, first), (first, first + 2))
    ]
    assert alarms == pytest.approx([0.5, 1, 0, np.nan], nan_ok=True)


def test_each_region_is_scored_on_the_images_that_show_it():
    rng, rows = np.random.default_rng(0), 8
    columns = {f"{name}_{k}": rng.random(rows) for name in ("dice", *NAMES) for k in (1, 2, 3)}
    table = pd.DataFrame(columns).assign(subject=[f"s{k // 2}" for k in range(rows)])
    table.loc[:2, [name for name in table if name.endswith("_2")]] = np.nan
    table.loc[:, [name for name in table if name.endswith("_3")]] = np.nan
    tables = [table, table.assign(dice_2=table.dice_2 / 2)]
    found = {(s.arm, s.region, s.metric): s for s in score_regions({"a": tables}, "xyz", 0.95)}
    assert {region for _, region, _ in found} == {"x", "y"}
    assert found["a", "y", "dice"].shown == 5
    assert found["a", "y", "dice"].score.value == pytest.approx(0.75 * table.dice_2.mean())
    score = found["a", "x", "hd95"].score
    assert score.low < score.value < score.high


# --- a study ------------------------------------------------------------------------------------

KIND = {"modality": "ultrasound", "task": "regions"}
REGIONS = "whole=1+2,core=2"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images; the upper half of every lesion is its core."""
    spec = PhantomSpec(subjects=30, images_per_subject=1, size=20, seed=2)
    file = save_npz(draw_cohort(spec), tmp_path_factory.mktemp("cohort") / "cohort.npz")
    arrays = dict(np.load(file))
    masks = (arrays["masks"] > 0).astype(np.uint8)
    for mask in masks:
        rows = np.flatnonzero(mask.any(1))
        mask[: rows[len(rows) // 2] if len(rows) else 0] *= 2
    np.savez(file, **arrays | {"masks": masks})
    return file


def test_a_head_is_adapted_and_scored(cohort: Path, tmp_path: Path):
    found = tassl.adapt(
        cohort, out=tmp_path / "a", regions=REGIONS, labels=5, steps=3, quiet=True, **KIND
    )
    table = pd.read_parquet(tmp_path / "a" / "predictions.parquet")
    assert {"dice_1", "dice_2", "nsd_2", "lesion_f1_2", FALSE_ALARM} <= set(table)
    assert found.scores["dice"] == pytest.approx(table[["dice_1", "dice_2"]].mean(axis=1).mean())
    assert "regions: whole=1+2,core=2" in (tmp_path / "a" / "study.yaml").read_text()
    assert open_store(tmp_path / "a" / "store").regions == {"whole": (1, 2), "core": (2,)}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({}, "No region is named; the masks hold 0, 1, 2"),
        ({"regions": "whole=1+4"}, "joins class '4'; the masks hold 1, 2"),
        ({"regions": "whole"}, "wanted NAME=CLASS"),
        ({"regions": REGIONS, "task": "segmentation"}, "Give --task regions, or leave it out"),
        ({"regions": REGIONS, "fixmatch": True}, "--fixmatch is for classes"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(cohort: Path, tmp_path: Path, choices, words: str):
    with pytest.raises(TasslError, match=words) as caught:
        tassl.adapt(cohort, out=tmp_path / "run", quiet=True, **KIND | choices)
    assert "\n" not in str(caught.value)


def test_the_audit_tells_the_share_of_each_region(cohort: Path, tmp_path: Path):
    store = store_of(index(cohort, regions=REGIONS), tmp_path)
    rows = np.arange(len(store.table))
    whole, core = measure_shares(store, rows)
    assert store.masks is not None
    assert whole == pytest.approx((store.masks > 0).mean((1, 2)))
    assert core == pytest.approx((store.masks == 2).mean((1, 2)))
    split = np.where(rows % 3 == 0, "test", "train").astype(object)
    split[core > 0] = "train"
    told = {found.severity: found for found in check_regions(store, split)}
    shown = int((core > 0).sum())
    assert (
        told["info"].items[1] == f"core: {core[core > 0].mean():.2%}, train {shown}, val 0, test 0"
    )
    assert told["warning"].items == ("whole in test", "core in test")
    assert check_regions(replace(store, regions={}), split) == []


def test_features_of_regions_are_scored_by_a_scout(cohort: Path, tmp_path: Path):
    study = Study(data=str(cohort), steps=2, regions=REGIONS, **KIND)
    ground = lay_ground(study, prepare(study, tmp_path, Narrator(quiet=True)))
    network = NETWORKS["unet"].load()(2, 1, widths=(8,), stem=1)
    scores = yardstick.probe(ground, network)[yardstick.FROZEN]
    assert len(scores) == len(ground.parts)
    assert np.isfinite(scores).all()


def test_outlines_of_regions_overlap():
    codes = np.zeros((32, 32), np.uint8)
    codes[4:28, 4:28], codes[12:20, 12:20] = 0b01, 0b11
    drawn = show_regions(np.ones((1, 32, 32)), codes, 2, Plane(2), "", None)
    pixels = decode(drawn.source)
    for number, (low, side) in enumerate(((4, 24), (12, 8)), 1):
        colour = [int(class_colour(number)[k : k + 2], 16) for k in (1, 3, 5)]
        edge = (pixels == colour).all(-1)
        assert edge.sum() == (6 * side) ** 2 - (6 * side - 4) ** 2
        assert edge[6 * low, 6 * low]


def decode(source: str) -> np.ndarray:
    import base64
    import io

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


@pytest.mark.slow
def test_a_run_names_its_regions_in_report_and_tables(cohort: Path, tmp_path: Path):
    outcome = tassl.run(
        cohort, out=tmp_path / "run", regions=REGIONS, methods=("mae",), epochs=1, steps=3,
        budgets=(5,), draws=2, quiet=True, **KIND,
    )  # fmt: skip
    single = pd.read_csv(tmp_path / "run/checks/per_region.csv")
    assert set(single.region) == {"whole", "core"}
    assert set(single.arm) == set(outcome.results.arm)
    page = outcome.report.read_text()
    for words in ("How well is each region found?", "whole = 1 + 2, core = 2", "</span>core</li>"):
        assert words in page
    masks = np.load(tmp_path / "run/predictions/scratch_all_0.npz")["masks"]
    assert set(np.unique(masks)) <= {0, 1, 2, 3}
