"""The phantom cohort: what it states must hold in its pixels."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tassl.data.phantom import Cohort, PhantomSpec, draw_cohort, save_nifti, save_npz
from tassl.data.phantom import cohort as cohort_module
from tassl.errors import OptionError, UnknownName

MODALITIES = ("ultrasound", "ct", "mri")
TINY = PhantomSpec(seed=3, subjects=12, size=32)


def arrays(cohort: Cohort) -> dict[str, np.ndarray]:
    found = {field.name: getattr(cohort, field.name) for field in fields(cohort)}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def roughness(masks: np.ndarray) -> np.ndarray:
    """Border pixels per root of area: low for a disc, high for a star."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1))).astype(bool)
    inner = padded.copy()
    for axis, step in ((1, 1), (1, -1), (2, 1), (2, -1)):
        inner &= np.roll(padded, step, axis)
    return (padded & ~inner).sum((1, 2)) / np.sqrt(padded.sum((1, 2)))


def lesion_mean(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    space = tuple(range(1, images.ndim))
    return (images * masks).sum(space) / masks.sum(space)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_same_seed_same_bits_and_the_first_subjects_stay(modality, dims, monkeypatch):
    spec = replace(TINY, modality=modality, dims=dims, subjects=7, size=24, label_noise=0.2)
    once, again = draw_cohort(spec), draw_cohort(spec)
    longer = draw_cohort(replace(spec, subjects=23))
    monkeypatch.setattr(cohort_module, "CHUNK_PIXELS", 1)
    piecewise = draw_cohort(spec)
    for name, values in arrays(once).items():
        np.testing.assert_array_equal(values, arrays(again)[name])
        np.testing.assert_array_equal(values, arrays(longer)[name][: len(values)], err_msg=name)
        np.testing.assert_array_equal(values, arrays(piecewise)[name], err_msg=name)
    other = draw_cohort(replace(spec, seed=4))
    assert not np.array_equal(once.masks, other.masks)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_shapes_types_and_units(modality, dims):
    spec = replace(TINY, modality=modality, dims=dims, images_per_subject=3, subjects=4)
    cohort = draw_cohort(spec)
    space = (32,) * dims
    assert len(cohort) == 12
    for name, kind in {"images": "f4", "clean": "f4", "masks": "u1", "organs": "u1"}.items():
        assert getattr(cohort, name).shape == (12, *space)
        assert getattr(cohort, name).dtype == np.dtype(kind)
    assert cohort.boxes.shape == (12, 2 * dims)
    assert list(cohort.subjects[::3]) == ["P0000", "P0001", "P0002", "P0003"]
    assert set(cohort.sites) <= {"site-A", "site-B"}
    assert len(cohort.spacing_mm) == dims
    assert np.isfinite(cohort.images).all()
    low, high = {"ultrasound": (0, 255), "ct": (-1024, 3071), "mri": (0, np.inf)}[modality]
    assert cohort.images.min() >= low
    assert cohort.images.max() <= high
    for subject in np.unique(cohort.subjects):
        same = cohort.subjects == subject
        assert len(set(cohort.labels[same])) == len(set(cohort.sites[same])) == 1


@pytest.mark.parametrize("dims", [2, 3])
def test_mask_box_volume_and_diameter_agree(dims):
    spec = replace(TINY, dims=dims, modality="ct", slice_mm=2.0, lesion_diameter=(6.0, 9.0))
    cohort = draw_cohort(spec)
    side = 320 / 32
    pixel = side**2 * 2.0 if dims == 2 else side**3
    for k, mask in enumerate(cohort.masks):
        where = np.argwhere(mask)
        starts, ends = np.split(cohort.boxes[k], 2)
        np.testing.assert_array_equal(starts, where.min(0))
        np.testing.assert_array_equal(ends, where.max(0) + 1)
        assert cohort.volumes_ml[k] == pytest.approx(len(where) * pixel / 1000)
        radius = cohort.diameters_px[k] / 2
        content = np.pi * radius**2 if dims == 2 else 4 / 3 * np.pi * radius**3
        assert content == pytest.approx(len(where))


@pytest.mark.parametrize("dims", [2, 3])
def test_lesions_have_the_diameter_asked_for_whatever_their_class(dims):
    spec = replace(TINY, dims=dims, subjects=40, lesion_diameter=(9.0, 9.0))
    cohort = draw_cohort(spec)
    for grade in (0, 1):
        assert np.median(cohort.diameters_px[cohort.classes == grade]) == pytest.approx(9, rel=0.04)
    assert abs(cohort.diameters_px - 9).max() < 1.5


@pytest.mark.parametrize("dims", [2, 3])
def test_the_smallest_lesions_never_vanish(dims):
    spec = PhantomSpec(subjects=100, dims=dims, size=16, lesion_diameter=(4.0, 4.0))
    assert draw_cohort(spec).volumes_ml.min() > 0


def test_views_share_the_anatomy_and_differ_in_noise():
    cohort = draw_cohort(replace(TINY, subjects=40, modality="ct"))
    organs = cohort.organs.reshape(40, 2, -1).astype(bool)
    own = (organs[:, 0] & organs[:, 1]).sum(1) / (organs[:, 0] | organs[:, 1]).sum(1)
    shifted = np.roll(organs[:, 1], 1, axis=0)
    other = (organs[:, 0] & shifted).sum(1) / (organs[:, 0] | shifted).sum(1)
    assert 0.75 < own.mean() < 0.99
    assert own.mean() > other.mean() + 0.1
    noise = (cohort.images - cohort.clean).reshape(40, 2, -1)
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.02


def test_speckle_is_rayleigh_and_multiplicative():
    spec = PhantomSpec(seed=1, subjects=60, noise=1.0, site_strength=0.0, lesion_contrast=-6.0)
    cohort = draw_cohort(spec)
    inner = (cohort.clean > 110) & (cohort.clean < 190) & (cohort.organs > 0)
    decibels = (cohort.images - cohort.clean)[inner] * 55 / 255
    amplitude = 10 ** (decibels / 20)
    assert decibels.std() == pytest.approx(5.57, abs=0.2)
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.913, abs=0.05)
    dark, bright = inner & (cohort.clean < 140), inner & (cohort.clean > 160)
    spreads = [(cohort.images - cohort.clean)[part].std() for part in (dark, bright)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.05)
    assert (cohort.images[:, -1, :2] == 0).all()


def test_a_malignant_lesion_casts_a_shadow_and_a_benign_one_does_not():
    spec = PhantomSpec(subjects=60, noise=0.0, local_signal=4.0, site_strength=0.0)
    cohort = draw_cohort(spec)
    middle = (cohort.boxes[:, 1] + cohort.boxes[:, 3]) // 2
    below = np.minimum(cohort.boxes[:, 2] + 3, 56)
    everyone = np.arange(len(cohort))
    behind = cohort.clean[everyone, below, middle]
    with_shadow, without = behind[cohort.classes == 1], behind[cohort.classes == 0]
    assert without.mean() - with_shadow.mean() > 20


def test_ct_has_its_levels_and_the_noise_asked_for():
    spec = PhantomSpec(subjects=40, modality="ct", noise=20.0, site_strength=0.0)
    cohort = draw_cohort(spec)
    noise = cohort.images - cohort.clean
    inside = cohort.organs > 0
    assert noise[inside].std() == pytest.approx(20, rel=0.03)
    assert abs(noise[inside].mean()) < 0.5
    neighbours = np.corrcoef(noise[:, 20:40, 20:40].ravel(), noise[:, 20:40, 21:41].ravel())[0, 1]
    assert 0.3 < neighbours < 0.9
    assert np.median(cohort.clean[inside & (cohort.masks == 0)]) == pytest.approx(110, abs=6)
    assert np.median(cohort.clean[:, 0]) == pytest.approx(-1000, abs=1)
    assert cohort.clean.max() > 300
    quiet = draw_cohort(replace(spec, noise=0.0))
    np.testing.assert_array_equal(quiet.images, quiet.clean)


@pytest.mark.parametrize("contrast", [-80.0, 60.0])
def test_ct_lesions_have_the_contrast_asked_for(contrast):
    spec = PhantomSpec(
        subjects=60, modality="ct", lesion_contrast=contrast, local_signal=0.0, noise=0.0
    )
    even = draw_cohort(replace(spec, lesion_contrast=0.0))
    cohort = draw_cohort(spec)
    core = cohort.masks * (abs(cohort.clean - even.clean) > 0.9 * 0.6 * abs(contrast))
    difference = lesion_mean(cohort.clean - even.clean, np.maximum(core, 1e-9))
    assert difference.mean() == pytest.approx(contrast, rel=0.15)


def test_mri_is_rician_on_a_scale_of_its_own():
    spec = PhantomSpec(subjects=40, modality="mri", noise=0.1, site_strength=0.0)
    cohort = draw_cohort(spec)
    assert cohort.images.min() > 0
    air = cohort.images[:, :4, :4].reshape(len(cohort), -1)
    pairs = zip(cohort.clean, cohort.organs, strict=True)
    organ = np.array([np.median(clean[inside > 0]) for clean, inside in pairs])
    ratios = (air / air.mean(1, keepdims=True)).std()
    assert 1 / ratios == pytest.approx(1.913, abs=0.1)  # Rayleigh where there is no signal
    assert np.median(air.mean(1) / organ) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.2)
    assert organ.max() / organ.min() > 3
    inside = cohort.organs.astype(bool) & (cohort.masks == 0)
    residuals = zip(cohort.images - cohort.clean, inside, strict=True)
    noise = np.array([residual[here].std() for residual, here in residuals])
    assert np.median(noise / organ) == pytest.approx(0.1, rel=0.15)


def test_without_strength_sites_leave_no_trace():
    for modality in MODALITIES:
        one = draw_cohort(replace(TINY, modality=modality, sites=1, site_strength=0.0))
        many = draw_cohort(replace(TINY, modality=modality, sites=4, site_strength=0.0))
        assert len(set(many.sites)) > 1
        np.testing.assert_array_equal(one.images, many.images)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_sites_can_be_told_apart_by_corner_and_by_noise(modality, dims):
    spec = replace(TINY, modality=modality, dims=dims, subjects=30, site_strength=1.0)
    cohort = draw_cohort(spec)
    second = cohort.sites == "site-B"
    corner = cohort.clean[..., 1, 1:5].reshape(len(cohort), -1).mean(1)
    other = cohort.clean[..., 1, -5:-1].reshape(len(cohort), -1).mean(1)
    assert roc_auc_score(second, corner - other) == 1.0
    noise = (cohort.images - cohort.clean)[..., 12:20, 12:20]
    steps = np.diff(noise, axis=-1).reshape(len(cohort), -1).std(1)
    spread = noise.reshape(len(cohort), -1).std(1)
    assert abs(roc_auc_score(second, steps / spread) - 0.5) > 0.35


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_planted_confounder_has_the_strength_asked_for(strength):
    found = []
    for seed in range(5):
        spec = PhantomSpec(seed=seed, subjects=400, images_per_subject=1, size=16)
        cohort = draw_cohort(replace(spec, site_label_correlation=strength))
        found.append(np.corrcoef(cohort.classes, cohort.sites == "site-B")[0, 1])
    assert np.mean(found) == pytest.approx(strength, abs=0.05)


def test_sites_are_alike_in_every_class_of_a_small_cohort():
    for seed in range(10):
        cohort = draw_cohort(PhantomSpec(seed=seed, subjects=100, images_per_subject=1, size=16))
        second = cohort.sites == "site-B"
        assert 0.35 < second.mean() < 0.65
        assert abs(np.corrcoef(cohort.classes, second)[0, 1]) < 0.12


def test_a_full_confounder_gives_each_class_its_own_sites():
    spec = replace(TINY, subjects=90, size=16, classes=3, sites=5, site_label_correlation=1.0)
    cohort = draw_cohort(spec)
    number = np.array([ord(site[-1]) - ord("A") for site in cohort.sites])
    np.testing.assert_array_equal(number % 3, cohort.classes)
    assert set(number) == set(range(5))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("modality", MODALITIES)
def test_without_signal_the_class_leaves_no_trace(modality, dims):
    spec = replace(TINY, modality=modality, dims=dims, local_signal=0.0, global_signal=0.0)
    benign = draw_cohort(replace(spec, prevalence=0.0))
    malignant = draw_cohort(replace(spec, prevalence=1.0))
    assert not benign.classes.any()
    assert malignant.classes.all()
    for name in ("images", "masks", "organs", "sites"):
        np.testing.assert_array_equal(getattr(benign, name), getattr(malignant, name))


def test_the_local_signal_is_in_the_lesion_and_not_in_its_size_or_level():
    cohort = draw_cohort(PhantomSpec(subjects=300, images_per_subject=1))
    assert roc_auc_score(cohort.labels, roughness(cohort.masks)) > 0.93
    for weak in (cohort.volumes_ml, cohort.images.mean((1, 2)), cohort.organs.mean((1, 2))):
        assert abs(roc_auc_score(cohort.labels, weak) - 0.5) < 0.1
    level = lesion_mean(cohort.images, cohort.masks)
    assert abs(roc_auc_score(cohort.labels, level) - 0.5) < 0.15


def test_the_global_signal_is_in_the_organ_alone():
    spec = PhantomSpec(subjects=200, images_per_subject=1, local_signal=0.0)
    plain, planted = draw_cohort(spec), draw_cohort(replace(spec, global_signal=1.0))
    height, width = (planted.organs.any(axis).sum(1) for axis in (2, 1))
    assert roc_auc_score(planted.labels, width / height) > 0.85
    height, width = (plain.organs.any(axis).sum(1) for axis in (2, 1))
    assert abs(roc_auc_score(plain.labels, width / height) - 0.5) < 0.1
    assert abs(roc_auc_score(planted.labels, roughness(planted.masks)) - 0.5) < 0.1


def test_more_classes_grade_from_benign_to_malignant():
    cohort = draw_cohort(PhantomSpec(subjects=300, images_per_subject=1, classes=3, sites=3))
    means = [roughness(cohort.masks)[cohort.classes == grade].mean() for grade in range(3)]
    assert means == sorted(means)
    assert set(cohort.labels) == {0, 1, 2}


@pytest.mark.parametrize("prevalence", [0.1, 0.5])
def test_prevalence_holds_in_small_cohorts_too(prevalence):
    for seed in range(5):
        cohort = draw_cohort(replace(TINY, seed=seed, subjects=20, size=16, prevalence=prevalence))
        assert cohort.classes.mean() == pytest.approx(prevalence, abs=0.001)


def test_label_noise_changes_labels_and_nothing_else():
    spec = replace(TINY, subjects=500, size=16, images_per_subject=1, classes=3, sites=3)
    right, noisy = draw_cohort(spec), draw_cohort(replace(spec, label_noise=0.3))
    np.testing.assert_array_equal(right.labels, right.classes)
    np.testing.assert_array_equal(noisy.classes, right.classes)
    np.testing.assert_array_equal(noisy.images, right.images)
    assert (noisy.labels != noisy.classes).mean() == pytest.approx(0.3, abs=0.06)
    assert set(noisy.labels) == {0, 1, 2}


@pytest.mark.parametrize(
    ("modality", "kind"), [("ultrasound", "uint8"), ("ct", "int16"), ("mri", "uint16")]
)
def test_npz_round_trip(modality, kind, tmp_path):
    cohort = draw_cohort(replace(TINY, modality=modality))
    path = save_npz(cohort, tmp_path / "deep" / "phantom.npz")
    with np.load(path, allow_pickle=False) as stored:
        assert set(stored.files) == {
            "images", "labels", "subjects", "sites", "masks", "spacing", "volumes_ml",
        }  # fmt: skip
        assert stored["images"].dtype == kind
        assert abs(stored["images"] - cohort.images).max() <= 0.5
        for name in ("labels", "subjects", "sites", "masks", "volumes_ml"):
            np.testing.assert_array_equal(stored[name], getattr(cohort, name))
        np.testing.assert_allclose(stored["spacing"], cohort.spacing_mm)
    assert [file.name for file in path.parent.iterdir()] == ["phantom.npz"]


def test_nifti_round_trip(tmp_path):
    import nibabel

    cohort = draw_cohort(replace(TINY, dims=3, modality="ct", subjects=2, size=20))
    folder = save_nifti(cohort, tmp_path / "volumes")
    names = ["P0000_1", "P0000_2", "P0001_1", "P0001_2"]
    for part in ("images", "labels"):
        files = sorted(file.name for file in (folder / part).iterdir())
        assert files == [f"{name}.nii.gz" for name in names]
    for k, name in enumerate(names):
        image = nibabel.load(folder / "images" / f"{name}.nii.gz")
        mask = nibabel.load(folder / "labels" / f"{name}.nii.gz")
        assert abs(np.asarray(image.dataobj) - cohort.images[k]).max() <= 0.5
        np.testing.assert_array_equal(np.asarray(mask.dataobj), cohort.masks[k])
        for file in (image, mask):
            np.testing.assert_allclose(file.header.get_zooms(), cohort.spacing_mm)


def test_writers_refuse_what_they_cannot_write(tmp_path):
    cohort = draw_cohort(replace(TINY, subjects=1))
    with pytest.raises(OptionError, match="Use save_npz"):
        save_nifti(cohort, tmp_path)
    with pytest.raises(OptionError, match="does not end in"):
        save_npz(cohort, tmp_path / "phantom.zip")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"dims": 4}, "2D or 3D"),
        ({"subjects": 0}, "Pass 1 or more"),
        ({"size": 8}, "Pass 16 or more"),
        ({"seed": -1}, "Pass 0 or more"),
        ({"images_per_subject": 1.5}, "whole number"),
        ({"prevalence": 1.2}, "from 0 to 1"),
        ({"label_noise": float("nan")}, "from 0 to 1"),
        ({"site_strength": -1}, "0 or more"),
        ({"site_strength": float("inf")}, "finite"),
        ({"local_signal": "strong"}, "finite number"),
        ({"noise": -3.0}, "0 or more"),
        ({"lesion_contrast": float("nan")}, "finite"),
        ({"slice_mm": 0.0}, "thickness"),
        ({"sites": 27}, "A to Z"),
        ({"lesion_diameter": (3.0, 9.0)}, "4 pixels to show"),
        ({"lesion_diameter": (9.0, 30.0)}, "a third of size"),
        ({"lesion_diameter": (9.0, 6.0)}, "Pass \\(low, high\\)"),
        ({"lesion_diameter": (9.0,)}, "two numbers"),
        ({"site_label_correlation": 0.5, "sites": 1}, "at least as many sites as classes"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_in_one_line(option, message):
    with pytest.raises(OptionError, match=message) as caught:
        PhantomSpec(**option)
    assert "\n" not in str(caught.value)


def test_an_unknown_modality_suggests_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'ultrasound'"):
        PhantomSpec(modality="ultrasonic")
