"""From a scene to images: one scanner per modality.

A scanner takes what to draw, n scenes, the signatures of their sites and the subjects' draws. It
returns images (n, *space) in the modality's natural unit, and the same images without noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tassl.data.phantom.blur import blur, correlate
from tassl.data.phantom.draws import Draws, Floats
from tassl.data.phantom.scene import APEX, Scene, make_grid
from tassl.data.phantom.shapes import spread
from tassl.data.phantom.sites import Signature, stamp_marker
from tassl.data.phantom.spec import PhantomSpec

NEAR, FAR, OPENING = 1.32, 3.25, np.radians(24)  # ultrasound fan: depths in half fields, angle
RANGE_DB, TOP_DB = 55.0, 18.0  # display: 55 dB, up to 18 dB above the organ
ATTENUATION_DB = 5.0  # per half field of depth, beyond what the machine makes up for
RAYLEIGH_DB = -2.507  # mean of 20 log10 of a Rayleigh amplitude of unit power
BIAS = 0.12  # sd of each coefficient of the logarithm of the MRI bias field

Pair = tuple[Floats, Floats]


def scan_ultrasound(spec: PhantomSpec, scene: Scene, signature: Signature, draws: Draws) -> Pair:
    """Log-compressed speckle in a fan, in display units 0 to 255.

    The speckle is multiplicative and so adds in dB: 20 log10 of the amplitude of a correlated
    complex Gaussian field, centred, times the noise level.

    Source: Burckhardt, IEEE Transactions on Sonics and Ultrasonics 25, 1978.
    """
    grid = make_grid(spec)
    down, across = grid[-2] - np.float32(APEX), grid[-1]
    depth = np.sqrt(down**2 + across**2)
    fan = (depth > NEAR) & (depth < FAR) & (np.abs(across) < np.tan(OPENING) * down)
    gain = 1.5 * draws.normal(spec.images_per_subject).ravel() + RANGE_DB * signature.gain
    clean = blur(scene.levels, _widths(spec, spec.physics.blur, signature.blur))
    clean += spread(gain, clean) - np.float32(ATTENUATION_DB) * (depth + np.float32(APEX))
    grain = _widths(spec, spec.physics.grain, signature.grain)
    power = sum(correlate(_white(spec, draws), grain) ** 2 for _ in range(2)) / 2
    speckle = 10 * np.log10(power + np.float32(1e-6)) - np.float32(RAYLEIGH_DB)
    speckle *= spread(spec.noise_level * signature.noise, clean)
    return _display(clean + speckle, fan, signature), _display(clean, fan, signature)


def scan_ct(spec: PhantomSpec, scene: Scene, signature: Signature, draws: Draws) -> Pair:
    """Blurred HU with correlated Gaussian noise."""
    clean = blur(scene.levels, _widths(spec, spec.physics.blur, signature.blur))
    clean += spread(100 * signature.gain, clean)
    noise = correlate(_white(spec, draws), _widths(spec, spec.physics.grain, signature.grain))
    image = clean + spread(spec.noise_level * signature.noise, clean) * noise
    for picture in (image, clean):
        np.clip(picture, -1024, 3071, out=picture)
        stamp_marker(picture, signature, np.full(len(picture), 3000.0))
    return image, clean


def scan_mri(spec: PhantomSpec, scene: Scene, signature: Signature, draws: Draws) -> Pair:
    """Magnitude of a signal with complex noise (Rician), on an arbitrary scale per image.

    Source: Gudbjartsson and Patz, Magnetic Resonance in Medicine 34, 1995.
    """
    views = spec.images_per_subject
    scale = 400 * np.exp(0.5 * draws.normal(views).ravel() + 2 * signature.gain)
    clean = blur(scene.levels, _widths(spec, spec.physics.blur, signature.blur))
    clean *= _bias_field(spec, draws.normal(views, spec.dims, 2).reshape(-1, spec.dims, 2))
    grain = _widths(spec, spec.physics.grain, signature.grain)
    level = spread(spec.noise_level * signature.noise, clean)
    real, imaginary = (level * correlate(_white(spec, draws), grain) for _ in range(2))
    image = np.sqrt((clean + real) ** 2 + imaginary**2)
    for picture in (image, clean):
        picture *= spread(scale, picture)
        stamp_marker(picture, signature, 2 * scale)
    return image, clean


SCANNERS: dict[str, Callable[[PhantomSpec, Scene, Signature, Draws], Pair]] = {
    "ultrasound": scan_ultrasound,
    "ct": scan_ct,
    "mri": scan_mri,
}


def _display(levels: Floats, fan: Floats, signature: Signature) -> Floats:
    """Map dB to 0..255 inside the fan, black outside, with the site's marker."""
    shown = np.clip((levels - (TOP_DB - RANGE_DB)) * np.float32(255 / RANGE_DB), 0, 255)
    shown *= fan
    stamp_marker(shown, signature, np.full(len(shown), 255.0))
    return shown


def _bias_field(spec: PhantomSpec, weights: Floats) -> Floats:
    """Exponential of a slope and a bow along each axis; weights (n, dims, 2): (n, *space)."""
    grid = make_grid(spec)
    log = np.zeros((len(weights), *spec.space), np.float32)
    for axis in range(spec.dims):
        slope, bow = (spread(BIAS * weights[:, axis, k], log) for k in range(2))
        log += slope * grid[axis] + bow * (grid[axis] ** 2 - np.float32(1 / 3))
    return np.exp(log)


def _widths(spec: PhantomSpec, usual: tuple[float, float], factor: Floats) -> Floats:
    """Widths in pixels (n, dims) from the usual ones (along depth, across) and a site's factor."""
    along = (usual[1],) * (spec.dims - 2) + usual
    return factor[:, None] * np.array(along)


def _white(spec: PhantomSpec, draws: Draws) -> Floats:
    return draws.white(spec.images_per_subject, *spec.space).reshape(-1, *spec.space)
