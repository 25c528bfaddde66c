"""Profiles forbid what destroys meaning, and prepare images the same way every time."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tassl.errors import BannedOperation, OptionError, UnknownName
from tassl.modality import MODALITIES
from tassl.modality.base import LOCALITIES, Augmentation, ModalityProfile
from tassl.modality.ct import scale_hounsfield

STRENGTHS = {"crop": 0.5, "rotate_degrees": 10.0}
BANS = [(name, ban) for name, card in MODALITIES.items() for ban in card.load().banned]
every_modality = pytest.mark.parametrize("modality", MODALITIES)


def load(modality: str) -> ModalityProfile:
    return MODALITIES[modality].load()


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.gamma(2.0, 200.0, shape) - 300).astype(np.float32)


@pytest.mark.parametrize(("modality", "operation"), BANS)
@pytest.mark.parametrize("locality", LOCALITIES)
def test_banned_operation_is_refused_with_reason_and_source(modality, operation, locality):
    profile = load(modality)
    ban = profile.banned[operation]
    change = {operation: STRENGTHS.get(operation, 0.5)}
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
def test_profile_states_its_grounds(modality):
    profile = load(modality)
    assert profile.name == modality
    assert profile.steps
    assert all(ban.text and ban.source for ban in profile.banned.values())
    assert profile.masking.source
    assert 0 < profile.masking.ratio < 1
    assert 0 < profile.masking.block < 1


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


@pytest.mark.parametrize("space", [(17, 23), (6, 9, 11)])
@pytest.mark.parametrize("channels", [1, 3])
@every_modality
def test_prepare_is_deterministic_and_finite(modality, channels, space):
    prepare, pixels = load(modality).prepare, draw(channels, *space)
    before = pixels.copy()
    prepared = prepare(pixels)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(prepare(pixels), prepared)
    assert prepared.shape == pixels.shape
    assert prepared.dtype == np.float32
    assert np.isfinite(prepared).all()
    assert prepared.std() > 0


@pytest.mark.parametrize("value", [0.0, -1000.0, 255.0])
@every_modality
def test_constant_image_is_prepared_to_a_constant(modality, value):
    prepared = load(modality).prepare(np.full((1, 8, 9), value, np.float32))
    assert np.isfinite(prepared).all()
    assert np.ptp(prepared) == 0


@pytest.mark.parametrize("modality", ["mri", "ultrasound", "xray"])
def test_units_do_not_matter_where_they_are_arbitrary(modality):
    prepare, pixels = load(modality).prepare, draw(1, 20, 20)
    np.testing.assert_allclose(prepare(7 * pixels + 100), prepare(pixels), atol=1e-3)


def test_mri_foreground_has_zero_mean_and_unit_deviation():
    pixels = np.zeros((2, 30, 30), np.float32)
    pixels[:, 5:25, 5:25] = draw(2, 20, 20) + 1000
    for channel, prepared in zip(pixels, load("mri").prepare(pixels), strict=True):
        inside = prepared[channel > 0]
        assert inside.mean() == pytest.approx(0, abs=0.01)
        assert inside.std() == pytest.approx(1, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.floats(-1024, -1), st.floats(1, 3000), st.floats(-1000, 1000))
def test_hounsfield_units_mean_the_same_in_every_image(low, high, tissue):
    image = np.array([[[low, 0.0, tissue, high]]], np.float32)
    water, alone = scale_hounsfield(image)[0, 0, 1:3]
    assert water == 0.5
    assert alone == scale_hounsfield(np.array([[[tissue]]], np.float32))[0, 0, 0]
    assert scale_hounsfield(image).min() >= 0
    assert scale_hounsfield(image).max() <= 1
