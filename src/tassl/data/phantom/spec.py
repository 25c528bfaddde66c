"""What to draw: the options of a phantom cohort, and the constants of its modalities."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from tassl.errors import OptionError
from tassl.registry import look_up


@dataclass(frozen=True)
class Physics:
    """How one modality shows tissue, in its natural unit: dB, HU or multiples of organ signal.

    Args:
        air, fat, soft, bone, organ, vessel: Level of each tissue.
        texture: Standard deviation of the parenchyma's texture.
        contrast: Usual lesion level minus organ level.
        noise: Usual noise level; see `PhantomSpec.noise`.
        shadow: Change of level behind a lesion that casts a full shadow.
        blur: Standard deviation of the point spread in pixels, (along depth, across it).
        grain: Correlation width of the noise in pixels, (along depth, across it).
        field_mm: Side of the imaged field in mm.
    """

    air: float
    fat: float
    soft: float
    bone: float
    organ: float
    vessel: float
    texture: float
    contrast: float
    noise: float
    shadow: float
    blur: tuple[float, float]
    grain: tuple[float, float]
    field_mm: float


PHYSICS = {
    "ultrasound": Physics(
        air=-60.0, fat=-13.0, soft=-6.0, bone=6.0, organ=0.0, vessel=-20.0, texture=1.5,
        contrast=-12.0, noise=0.6, shadow=-6.0, blur=(0.5, 0.8), grain=(0.75, 1.2), field_mm=50.0,
    ),
    "ct": Physics(
        air=-1000.0, fat=-100.0, soft=45.0, bone=500.0, organ=110.0, vessel=170.0, texture=6.0,
        contrast=-80.0, noise=10.0, shadow=0.0, blur=(0.6, 0.6), grain=(0.7, 0.7), field_mm=320.0,
    ),
    "mri": Physics(
        air=0.0, fat=1.5, soft=0.7, bone=0.12, organ=1.0, vessel=0.3, texture=0.04,
        contrast=0.4, noise=0.08, shadow=0.0, blur=(0.5, 0.5), grain=(0.4, 0.4), field_mm=220.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PhantomSpec:
    """What to draw; the same spec always gives the same cohort, bit for bit.

    Two specs that differ in a signal, a contrast or a strength share every random number, so
    that a planted effect can be compared with its absence on the same subjects. Subject k is
    the same however many subjects follow.

    Args:
        seed: Seed of every draw, 0 or more.
        subjects: Number of subjects.
        images_per_subject: Images of each subject: the same anatomy, another view and noise.
        dims: 2 for images, 3 for volumes.
        size: Pixels per side, at least 16.
        modality: "ultrasound", "ct" or "mri".
        classes: Number of lesion classes, ordered from benign (0: round, sharp, even) to
            malignant (classes - 1: spiculated, blurred, uneven).
        prevalence: Share of subjects whose class is not 0; the other classes share it evenly.
        lesion_diameter: Smallest and largest lesion diameter in pixels, of the circle or sphere
            of equal content; None for 0.16 to 0.3 of `size`.
        lesion_contrast: Mean lesion level minus organ level: dB (ultrasound), HU (CT), fraction
            of the organ's signal (MRI); None for -12 dB, -80 HU, +0.4. Each subject's own
            contrast lies within 40% of it, whatever its class.
        noise: Exponent of the Rayleigh speckle (ultrasound: 1 for one look at fully developed
            speckle, 0.6 as after compounding two), standard deviation in HU (CT) or as a
            fraction of the organ's signal (MRI); None for 0.6, 10 HU, 0.08.
        sites: Number of acquisition sites, up to 26.
        site_strength: Size of the sites' signatures (gain, resolution, noise grain, corner
            marker): 0 for none, 1 for plain to the eye.
        site_label_correlation: Planted confounder from 0 (site and class are independent) to 1
            (the site gives the class away); with as many sites as classes, all equally
            frequent, this is their correlation.
        local_signal: Class information in the lesion (outline, margin, texture, shadow), 0 for
            none; 1 separates the mean outlines of the extreme classes by three standard
            deviations.
        global_signal: Class information in the organ's elongation, 0 for none; 1 separates the
            means of the extreme classes by three standard deviations.
        label_noise: Share of subjects that carry a wrong label.
        slice_mm: Slice thickness in mm that turns a 2D lesion's area into a volume.

    Raises:
        OptionError: A value makes no sense.
    """

    seed: int = 0
    subjects: int = 200
    images_per_subject: int = 2
    dims: int = 2
    size: int = 64
    modality: str = "ultrasound"
    classes: int = 2
    prevalence: float = 0.5
    lesion_diameter: tuple[float, float] | None = None
    lesion_contrast: float | None = None
    noise: float | None = None
    sites: int = 2
    site_strength: float = 0.5
    site_label_correlation: float = 0.0
    local_signal: float = 1.0
    global_signal: float = 0.0
    label_noise: float = 0.0
    slice_mm: float = 5.0

    def __post_init__(self) -> None:
        look_up(PHYSICS, self.modality, "phantom modality")
        if self.dims not in (2, 3):
            raise OptionError(f"dims is {self.dims!r}, but a phantom is 2D or 3D. Pass 2 or 3.")
        for name, low in WHOLE.items():
            _check_whole(name, getattr(self, name), low)
        for name, (low, high) in RANGES.items():
            _check_range(name, getattr(self, name), low, high)
        if self.noise is not None:
            _check_range("noise", self.noise, 0.0, float("inf"))
        if self.lesion_contrast is not None:
            _check_range("lesion_contrast", self.lesion_contrast, -float("inf"), float("inf"))
        if self.slice_mm == 0:
            raise OptionError("slice_mm is 0, but a slice has a thickness. Pass one in mm.")
        self._check_diameter()
        if self.sites > 26:
            raise OptionError(f"sites is {self.sites}, but they are lettered A to Z. Pass 1 to 26.")
        if self.site_label_correlation > 0 and self.sites < self.classes:
            raise OptionError(
                f"site_label_correlation is {self.site_label_correlation} with {self.sites} sites "
                f"for {self.classes} classes. Pass at least as many sites as classes, or 0."
            )

    def _check_diameter(self) -> None:
        pair = self.diameter
        if len(pair) != 2 or not all(isinstance(value, Real) for value in pair):
            raise OptionError(
                f"lesion_diameter is {pair!r}. Pass two numbers of pixels, (low, high)."
            )
        low, high = pair
        if not 4 <= low <= high <= self.size / 3:
            raise OptionError(
                f"lesion_diameter is ({low:g}, {high:g}) pixels, but a lesion needs 4 pixels to "
                f"show and {self.size / 3:.1f} (a third of size) to fit. Pass (low, high) between."
            )

    @property
    def physics(self) -> Physics:
        """Constants of the modality."""
        return PHYSICS[self.modality]

    @property
    def diameter(self) -> tuple[float, float]:
        """Smallest and largest lesion diameter in pixels."""
        return self.lesion_diameter or (max(4.0, 0.16 * self.size), 0.3 * self.size)

    @property
    def contrast(self) -> float:
        """Lesion level minus organ level, in the modality's unit."""
        return self.physics.contrast if self.lesion_contrast is None else self.lesion_contrast

    @property
    def noise_level(self) -> float:
        """Noise level, in the modality's unit."""
        return self.physics.noise if self.noise is None else self.noise

    @property
    def space(self) -> tuple[int, ...]:
        """Shape of one image."""
        return (self.size,) * self.dims

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Pixel size in mm along each axis."""
        return (self.physics.field_mm / self.size,) * self.dims


WHOLE = {"seed": 0, "subjects": 1, "images_per_subject": 1, "size": 16, "classes": 1, "sites": 1}
RANGES = {
    "prevalence": (0.0, 1.0),
    "site_strength": (0.0, float("inf")),
    "site_label_correlation": (0.0, 1.0),
    "local_signal": (0.0, float("inf")),
    "global_signal": (0.0, float("inf")),
    "label_noise": (0.0, 1.0),
    "slice_mm": (0.0, float("inf")),
}


def _check_whole(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
        raise OptionError(f"{name} is {value!r}, but must be a whole number. Pass {low} or more.")


def _check_range(name: str, value: object, low: float, high: float) -> None:
    number = float(value) if isinstance(value, Real) else float("nan")
    if not low <= number <= high or abs(number) == float("inf"):
        wanted = f"from {low:g} to {high:g}" if high < float("inf") else f"of {low:g} or more"
        raise OptionError(f"{name} is {value!r}. Pass a finite number {wanted}.")
