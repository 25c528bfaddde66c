"""Profiles forbid what destroys meaning, and prepare images the same way every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tassl.data.readers import read_mask, read_picture
from tassl.errors import BannedOperation, OptionError, UnknownName
from tassl.modality import MODALITIES
from tassl.modality.base import (
    LOCALITIES,
    PAIRS,
    PRETEXTS,
    STRENGTHS,
    Augmentation,
    ModalityProfile,
    Rule,
)
from tassl.modality.ct import scale_hounsfield

OTHER = {"crop": 0.35, "rotate_degrees": 12.0}
BANS = [(name, ban) for name, card in MODALITIES.items() for ban in card.load().banned]
DECIDED = {"rotate_degrees", "quarter_turns", "flip_lr", "flip_ud", "crop", "stain", "illuminant"}
UNITLESS = ["mri", "ultrasound", "xray", "oct", "mammography", "microscopy"]
COLOURED = ["histopathology", "fundus", "dermoscopy", "endoscopy"]
every_modality = pytest.mark.parametrize("modality", MODALITIES)
modality_by_dims = pytest.mark.parametrize(
    ("modality", "dims"), [(name, dims) for name, card in MODALITIES.items() for dims in card.dims]
)


def load(modality: str) -> ModalityProfile:
    return MODALITIES[modality].load()


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.gamma(2.0, 200.0, shape) - 300).astype(np.float32)


def disc(size: int = 120, radius: float = 0.4) -> np.ndarray:
    rows, columns = np.ogrid[:size, :size]
    return np.hypot(rows - size / 2, columns - size / 2) < radius * size


def rules(profile: ModalityProfile) -> Iterator[Rule]:
    for group in (profile.banned, profile.degenerate, profile.positives):
        yield from group.values()
    yield from profile.advice


# The contract of a profile.


@every_modality
def test_profile_states_its_grounds(modality):
    profile, card = load(modality), MODALITIES[modality]
    assert profile.name == modality
    assert card.title
    assert card.source
    assert card.dims in ((2,), (3,), (2, 3))
    assert any(f"({strength}; " in profile.steps for strength in STRENGTHS)
    assert profile.advice
    for rule in rules(profile):
        assert rule.text
        assert rule.source
        assert rule.strength in STRENGTHS
        assert not rule.text.endswith(".")
        assert "|" not in rule.text + rule.source
    assert set(profile.degenerate) <= set(PRETEXTS)
    assert set(profile.positives) <= set(PAIRS)


@every_modality
def test_derived_rules_do_not_claim_strong_support(modality):
    for rule in rules(load(modality)):
        assert rule.strength != "strong" or not rule.source.startswith(("derived", "physics"))


@every_modality
def test_masking_hides_a_part_in_small_blocks(modality):
    masking = load(modality).masking
    assert 0.4 <= masking.ratio <= 0.9
    assert 0 < masking.block <= 0.2
    assert masking.source
    assert masking.strength in STRENGTHS


@pytest.mark.parametrize("locality", LOCALITIES)
@every_modality
def test_defaults_hold_nothing_banned(modality, locality):
    profile = load(modality)
    assert set(profile.augmentations) == set(LOCALITIES)
    for ranges in (profile.augmentation(locality), profile.augmentation(locality).mild()):
        assert not set(ranges.active()) & set(profile.banned)
        assert ranges.active()
    assert set(profile.banned) <= set(asdict(Augmentation()))


@every_modality
def test_geometry_and_colour_are_decided(modality):
    profile = load(modality)
    used = {name for ranges in profile.augmentations.values() for name in ranges.active()}
    assert used | set(profile.banned) >= DECIDED


@every_modality
def test_local_signs_are_handled_with_more_care(modality):
    wide, near = (load(modality).augmentation(locality) for locality in LOCALITIES)
    for name, value in asdict(near).items():
        assert name == "crop" or value <= getattr(wide, name), name


@pytest.mark.parametrize(("modality", "operation"), BANS)
@pytest.mark.parametrize("locality", LOCALITIES)
def test_banned_operation_is_refused_with_reason_and_source(modality, operation, locality):
    profile = load(modality)
    ban = profile.banned[operation]
    change = {operation: OTHER.get(operation, 0.5)}
    with pytest.raises(BannedOperation) as caught:
        profile.augmentation(locality, **change)
    message = str(caught.value)
    for words in (operation, modality, ban.text, ban.source, f"--allow {operation}"):
        assert words in message
    assert "\n" not in message
    chosen = profile.augmentation(locality, allow=[operation], **change)
    assert getattr(chosen, operation) == change[operation]


@pytest.mark.parametrize(("modality", "operation"), BANS)
def test_permission_covers_the_named_operation_only(modality, operation):
    others = [ban for name, ban in BANS if name == modality and ban != operation]
    with pytest.raises(BannedOperation):
        load(modality).augmentation("global", allow=others, **{operation: 0.5})


@pytest.mark.parametrize(("modality", "operation"), BANS)
def test_switching_a_banned_operation_off_is_no_offence(modality, operation):
    off = getattr(Augmentation(), operation)
    assert load(modality).augmentation("local", **{operation: off})


@pytest.mark.parametrize(("wrong", "near"), [("globl", "global"), ("Local", "local")])
@every_modality
def test_unknown_locality_suggests_the_nearest(modality, wrong, near):
    with pytest.raises(
        UnknownName, match=rf"No locality is named '{wrong}'\. Did you mean '{near}'"
    ):
        load(modality).augmentation(wrong)


@every_modality
def test_unknown_operation_suggests_the_nearest(modality):
    with pytest.raises(UnknownName, match=r"No operation is named 'rotate'.*'rotate_degrees'"):
        load(modality).augmentation("global", rotate=5)


@pytest.mark.parametrize("crop", [0.0, -0.5, 1.5])
def test_crop_outside_its_range_is_refused(crop):
    with pytest.raises(OptionError, match="crop is"):
        load("mri").augmentation("global", crop=crop)


def test_active_names_what_is_on():
    assert Augmentation().active() == []
    assert Augmentation(crop=0.9, blur=0.1).active() == ["crop", "blur"]


@every_modality
def test_mild_is_never_stronger(modality):
    strong = load(modality).augmentation("global")
    mild = strong.mild()
    assert mild.crop >= strong.crop
    for name, value in asdict(mild).items():
        assert name == "crop" or value <= getattr(strong, name), name
    assert replace(Augmentation(), crop=0.9).mild().crop == 0.9


# What preparing does to every image.


@pytest.mark.parametrize("channels", [1, 3])
@modality_by_dims
def test_prepare_is_deterministic_and_finite(modality, dims, channels):
    profile, pixels = load(modality), draw(channels, *(17, 23, 11)[:dims])
    before = pixels.copy()
    prepared = profile.prepare(pixels)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(profile.prepare(pixels), prepared)
    assert prepared.shape == pixels.shape
    assert prepared.dtype == np.float32
    assert np.isfinite(prepared).all()
    assert prepared.std() > 0
    foreground = profile.foreground(prepared)
    assert foreground.shape == pixels.shape[1:]
    assert foreground.dtype == bool
    assert foreground.any()


@pytest.mark.parametrize("value", [0.0, -1000.0, 0.5, 255.0])
@pytest.mark.parametrize("side", [1, 2, 8])
@modality_by_dims
def test_constant_and_tiny_images_stay_constant(modality, dims, side, value):
    profile = load(modality)
    for channels in (1, 3):
        prepared = profile.prepare(np.full((channels, *[side] * dims), value, np.float32))
        assert np.isfinite(prepared).all()
        assert np.ptp(prepared) == 0
        assert profile.foreground(prepared).any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@modality_by_dims
def test_missing_values_become_finite_and_leave_the_rest_alone(modality, dims, wrong):
    pixels = np.abs(draw(1, *[24] * dims))
    pixels[(0, *[0] * dims)] = pixels.max() if wrong == np.inf else pixels.min()
    torn = pixels.copy()
    torn[(0, *[0] * dims)] = wrong
    prepare = load(modality).prepare
    if modality == "ct":
        pixels[(0, *[0] * dims)] = 2000 if wrong == np.inf else -2000
    np.testing.assert_array_equal(prepare(torn), prepare(pixels))
    assert np.isfinite(prepare(np.full_like(pixels, wrong))).all()


@pytest.mark.parametrize("modality", UNITLESS)
def test_units_do_not_matter_where_they_are_arbitrary(modality):
    prepare, pixels = load(modality).prepare, draw(1, 20, 20)
    np.testing.assert_allclose(prepare(7 * pixels + 100), prepare(pixels), atol=1e-3)


# What each modality must leave as it is.


def test_mri_foreground_has_zero_mean_and_unit_deviation():
    pixels = np.zeros((2, 30, 30), np.float32)
    pixels[:, 5:25, 5:25] = draw(2, 20, 20) + 1000
    profile = load("mri")
    prepared = profile.prepare(pixels)
    np.testing.assert_array_equal(profile.foreground(prepared), pixels[0] > 0)
    for channel, values in zip(pixels, prepared, strict=True):
        inside = values[channel > 0]
        assert inside.mean() == pytest.approx(0, abs=0.01)
        assert inside.std() == pytest.approx(1, abs=0.01)


def test_mri_without_air_is_all_foreground():
    pixels = draw(1, 16, 16, 16) + 2000
    assert load("mri").foreground(pixels).all()


def test_mri_foreground_holds_dark_ventricles_and_no_noise():
    rng = np.random.default_rng(0)
    pixels = np.abs(rng.normal(0, 10, (1, 120, 120))).astype(np.float32)
    pixels[0][disc()] = rng.normal(500, 40, disc().sum())
    pixels[0][disc(radius=0.1)] = 20
    np.testing.assert_array_equal(load("mri").foreground(pixels), disc())


@settings(max_examples=25, deadline=None)
@given(st.floats(-1024, -1), st.floats(1, 3000), st.floats(-1000, 1000))
def test_hounsfield_units_mean_the_same_in_every_image(low, high, tissue):
    image = np.array([[[low, 0.0, tissue, high]]], np.float32)
    water, alone = scale_hounsfield(image)[0, 0, 1:3]
    assert water == 0.5
    assert alone == scale_hounsfield(np.array([[[tissue]]], np.float32))[0, 0, 0]
    assert scale_hounsfield(image).min() >= 0
    assert scale_hounsfield(image).max() <= 1


@pytest.mark.parametrize("dims", [2, 3])
def test_ct_foreground_is_the_patient_with_lungs_and_without_the_table(dims):
    hu, body = np.full((120, 120), -1000.0, np.float32), disc(radius=0.35)
    hu[body] = 40
    hu[disc(radius=0.15)] = -850
    hu[110:113] = 100
    if dims == 3:
        hu, body = (np.repeat(part[..., None], 5, axis=2) for part in (hu, body))
    profile = load("ct")
    np.testing.assert_array_equal(profile.foreground(profile.prepare(hu[None])), body)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 20, width=32), st.floats(0.125, 60, width=32))
def test_uptake_means_the_same_in_every_image(uptake, other):
    image = np.array([[[0.0, 0.25, uptake, other]]], np.float32)
    assert load("pet").prepare(image)[0, 0, 2] == pytest.approx(uptake / 20, abs=1e-6)


def test_uptake_in_other_units_is_scaled_by_percentiles():
    prepare, counts = load("pet").prepare, draw(1, 30, 30) ** 2
    np.testing.assert_allclose(prepare(1000 * counts), prepare(counts), atol=1e-4)
    assert np.ptp(prepare(counts)) == 1


@pytest.mark.parametrize("modality", COLOURED)
@pytest.mark.parametrize("highest", [1, 255, 65535])
def test_colours_keep_their_ratios_whatever_the_type(modality, highest):
    colours = np.random.default_rng(0).uniform(0.25, 0.75, (3, 40, 40)).astype(np.float32)
    stored = colours if highest == 1 else np.round(colours * highest)
    prepared = load(modality).prepare(stored.astype(np.float32))
    np.testing.assert_allclose(prepared, colours, atol=1 / 255)


def test_dark_and_bright_photographs_stay_dark_and_bright():
    photo = np.round(np.random.default_rng(0).uniform(2, 100, (3, 30, 30))).astype(np.float32)
    prepare = load("dermoscopy").prepare
    np.testing.assert_allclose(prepare(2 * photo), 2 * prepare(photo), rtol=1e-6)


@pytest.mark.parametrize("modality", ["ultrasound", "fundus", "endoscopy"])
def test_text_beside_the_field_vanishes_and_the_field_stays(modality):
    rng, field = np.random.default_rng(0), disc()
    pixels = np.zeros((3, 120, 120), np.float32)
    pixels[:, field] = rng.integers(60, 255, (3, field.sum()))
    pixels[:, disc(radius=0.1)] = 0
    pixels[:, 3:8, 4:20] = 255
    profile = load(modality)
    prepared = profile.prepare(pixels)
    foreground = profile.foreground(prepared)
    assert not prepared[:, 3:8, 4:20].any()
    assert foreground[field].all()
    assert (foreground & ~field).mean() < 0.01
    assert (prepared[:, field] > 0).all(0).mean() > 0.9


def test_dermoscope_rim_is_outside_but_left_as_it_is():
    photo = np.full((3, 120, 120), 3, np.float32)
    photo[:, disc(radius=0.48)] = 180
    profile = load("dermoscopy")
    prepared = profile.prepare(photo)
    np.testing.assert_allclose(prepared, photo / 255, rtol=1e-6)
    assert abs(profile.foreground(prepared).mean() - disc(radius=0.48).mean()) < 0.02


@pytest.mark.parametrize("modality", ["ultrasound", "fundus", "endoscopy", "dermoscopy"])
def test_image_without_surround_is_all_field(modality):
    pixels = np.random.default_rng(0).integers(90, 255, (3, 60, 70)).astype(np.float32)
    assert load(modality).foreground(load(modality).prepare(pixels)).all()


def test_mammogram_loses_its_marker_and_is_stretched_within_the_breast():
    rng, breast = np.random.default_rng(0), disc(radius=0.35)
    pixels = rng.integers(0, 8, (1, 120, 120)).astype(np.float32)
    pixels[0][breast] = rng.integers(300, 900, breast.sum())
    pixels[0, 2:10, 2:10] = 4095
    profile = load("mammography")
    prepared = profile.prepare(pixels)
    np.testing.assert_array_equal(profile.foreground(pixels / 900), breast)
    assert not prepared[0][~breast].any()
    assert prepared[0][breast].max() == 1
    assert prepared[0][breast].mean() == pytest.approx(0.5, abs=0.02)


def test_tissue_is_neither_glass_nor_unscanned_black():
    slide = np.full((3, 90, 90), 240, np.float32)
    slide[:, :, 30:60] = np.array([210, 140, 190])[:, None, None]
    slide[:, :, 60:] = 0
    profile = load("histopathology")
    tissue = profile.foreground(profile.prepare(slide))
    assert tissue[:, 33:57].all()
    assert not tissue[:, :27].any()
    assert not tissue[:, 63:].any()


def test_fluorescence_channels_are_scaled_apart_and_stains_together():
    rng = np.random.default_rng(0)
    cells = rng.gamma(1, 1, (3, 60, 60)).astype(np.float32)
    prepare = load("microscopy").prepare
    weak = cells * np.array([1, 5, 20], np.float32)[:, None, None]
    np.testing.assert_allclose(prepare(weak), prepare(cells), atol=1e-4)
    smear = np.full((3, 60, 60), 220, np.float32)
    smear[:, 20:40, 20:40] = np.array([120, 60, 160])[:, None, None]
    np.testing.assert_allclose(prepare(smear), smear / 255, rtol=1e-6)
    np.testing.assert_array_equal(
        load("microscopy").foreground(smear / 255)[22:38, 22:38], np.ones((16, 16), bool)
    )
    assert load("microscopy").foreground(smear / 255).mean() < 0.15


# Real images.


def test_no_lesion_or_head_is_cut_off_with_the_surround(real: Callable[[str], Path]):
    profile, cut = load("ultrasound"), 0
    lesions = sorted(real("busi_seg").glob("*/*_mask.png"))[::4]
    heads = sorted(real("hc18").glob("training_set/*_Annotation.png"))[::20]
    for file, ending in [*product(lesions, ["_mask"]), *product(heads, ["_Annotation"])]:
        picture = read_picture(file.with_name(file.name.replace(ending, "")))
        prepared = profile.prepare(picture.pixels.astype(np.float32))
        sector = profile.foreground(prepared)
        assert sector[read_mask(file).pixels[0] > 127].all(), file.name
        cut += sector.mean() < 0.97
    assert cut > 0.8 * len(heads)


def test_fundus_circles_are_found(real: Callable[[str], Path]):
    profile = load("fundus")
    for file in sorted(real("chase_db1").glob("*.jpg"))[::5]:
        pixels = read_picture(file).pixels.astype(np.float32)
        circle = profile.foreground(profile.prepare(pixels))
        vessels = read_mask(file.with_name(f"{file.stem}_1stHO.png")).pixels[0] > 0
        assert circle[vessels].mean() > 0.999  # some are drawn over the rim
        assert 0.6 < circle.mean() < 0.75


def test_stained_and_fluorescent_nuclei_are_foreground(real: Callable[[str], Path]):
    profile, shares = load("microscopy"), []
    for file in sorted((real("dsb2018_nuclei") / "images").glob("*.png"))[::6]:
        prepared = profile.prepare(read_picture(file).pixels.astype(np.float32))
        nuclei = read_mask(file.parents[1] / "labels" / file.name).pixels[0] > 0
        shares.append(profile.foreground(prepared)[nuclei].mean())
    assert np.median(shares) > 0.85
