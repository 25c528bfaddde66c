"""Damaged files by the thousand, each read in a process that may die of it.

`make_seeds` writes one small sound file of every kind, `mutate` damages one, `make_bombs` writes
those that ask for far more than they hold, and `Patient` reads them one by one and tells what
became of it.
"""

from __future__ import annotations

import gzip
import json
import re
import resource
import select
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

MOST_SECONDS = 10.0
MOST_MEGABYTES = 2000.0
NASTY = (0, 1, -1, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -(2**31), 12_345)
FLOATS = (np.nan, np.inf, -1.0, 0.0, 1e38)
TEXT_HEADERS = (".nrrd", ".nhdr", ".mha", ".mhd", ".pgm", ".ppm", ".npy")


@dataclass(frozen=True)
class Outcome:
    """What became of one file: "read", "refused", "escaped" (an error of another kind) or "died".

    Args:
        file: Its name, which holds the kind of damage.
        end: One of those words.
        said: The reason, or the error.
        seconds: Time it took.
        megabytes: Most memory that the process has held so far.
    """

    file: str
    end: str
    said: str
    seconds: float
    megabytes: float

    @property
    def sound(self) -> bool:
        """Whether it ended as every file must."""
        held = self.seconds < MOST_SECONDS and self.megabytes < MOST_MEGABYTES
        return held and self.end in ("read", "refused")


class Patient:
    """A process that reads files and is replaced when it dies, hangs or has grown."""

    def __enter__(self) -> Patient:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, file: Path) -> Outcome:
        """Let the process read one file in every way."""
        start = time.monotonic()
        self._child.stdin.write(f"{file}\n")  # type: ignore[union-attr]
        self._child.stdin.flush()  # type: ignore[union-attr]
        answered = select.select([self._child.stdout], [], [], MOST_SECONDS + 1)[0]
        line = self._child.stdout.readline() if answered else ""  # type: ignore[union-attr]
        seconds = time.monotonic() - start
        if not line:
            self._stop()
            said = f"exit {self._child.returncode}" if answered else "hangs"
            self._start()
            return Outcome(file.name, "died", said, seconds, 0.0)
        outcome = Outcome(file.name, *json.loads(line)[:2], seconds, json.loads(line)[2])
        if outcome.megabytes > MOST_MEGABYTES:
            self._stop()
            self._start()
        return outcome

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._child.stdout.readline()  # type: ignore[union-attr]  # ready

    def _stop(self) -> None:
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()  # type: ignore[union-attr]
        self._child.stdout.close()  # type: ignore[union-attr]


def serve() -> None:
    """Read every file named on standard input; print what became of it."""
    import nibabel
    import SimpleITK
    import tifffile

    assert nibabel, SimpleITK
    assert tifffile  # loaded beforehand, so that their start counts against no file
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", flush=True)
    for line in sys.stdin:
        end, said = _read_every_way(Path(line.rstrip("\n")))
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([end, said, megabytes]), flush=True)


def _read_every_way(file: Path) -> tuple[str, str]:
    from tassl.data.readers import count_items, read_mask, read_picture, read_shape
    from tassl.errors import UnreadableFile

    array, item = ("images", 0) if file.suffix == ".npz" else ("", -1)
    ways: tuple[Callable[[], Any], ...] = (
        lambda: read_shape(file),
        lambda: read_picture(file, array, max(item, count_items(file) - 1)),
        lambda: read_mask(file, array, item),
        lambda: read_picture(file, array, item),
    )
    end = ("read", "")
    for way in ways:
        try:
            way()
        except UnreadableFile as error:
            end = ("refused", str(error))
        except BaseException as error:
            return "escaped", f"{type(error).__name__}: {error}"[:500]
        else:
            end = ("read", "")
    return end


def mutate(seed: Path, target: Path, rng: np.random.Generator) -> None:
    """Write a damaged copy of a sound file; what is packed is damaged inside in half of them."""
    held, inside = seed.read_bytes(), rng.random() < 0.5
    if inside and seed.suffix in (".gz", ".mgz"):
        damaged = gzip.compress(_damage(gzip.decompress(held), seed.suffix, rng), 1)
    elif inside and seed.suffix == ".npz":
        with zipfile.ZipFile(BytesIO(held)) as archive:
            member = _damage(archive.read("images.npy"), ".npy", rng)
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", member)
        damaged = buffer.getvalue()
    else:
        damaged = _damage(held, seed.suffix, rng)
        if inside and seed.suffix == ".png":
            damaged = _mend_check_sums(damaged)
    target.write_bytes(damaged)


def _damage(held: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    ways = [_flip, _cut, _append, _overwrite, _overwrite, _swap, _repeat]
    if suffix in TEXT_HEADERS:
        ways += [_change_number] * 5
    return ways[rng.integers(len(ways))](held, rng)


def _flip(held: bytes, rng: np.random.Generator) -> bytes:
    bits = np.frombuffer(held, np.uint8).copy()
    within = len(bits) if rng.random() < 0.5 else min(512, len(bits))
    for at in rng.integers(within, size=rng.integers(1, 30)):
        bits[at] ^= 1 << rng.integers(8)
    return bits.tobytes()


def _cut(held: bytes, rng: np.random.Generator) -> bytes:
    return held[: rng.integers(len(held))]


def _append(held: bytes, rng: np.random.Generator) -> bytes:
    return held + rng.bytes(rng.integers(1, 5000))


def _overwrite(held: bytes, rng: np.random.Generator) -> bytes:
    """Put a number that hurts into the header, in any width and byte order."""
    at = int(rng.integers(min(len(held), 512)))
    order = "<>"[rng.integers(2)]
    if rng.random() < 0.2:
        new = np.array(rng.choice(FLOATS), f"{order}f4").tobytes()
    else:
        width = 2 ** int(rng.integers(1, 4))
        number = int(rng.choice(np.array(NASTY, object))) % 2 ** (8 * width)
        new = number.to_bytes(width, "little" if order == "<" else "big")
    return held[:at] + new + held[at + len(new) :]


def _swap(held: bytes, rng: np.random.Generator) -> bytes:
    """Swap two fields that stand side by side, as the sides of an image do."""
    width = 2 ** int(rng.integers(1, 3))
    at = width * int(rng.integers(max(1, min(len(held), 512) // width - 1)))
    one, other = held[at : at + width], held[at + width : at + 2 * width]
    return held[:at] + other + one + held[at + 2 * width :]


def _repeat(held: bytes, rng: np.random.Generator) -> bytes:
    start, stop = sorted(rng.integers(len(held), size=2))
    return held[:stop] + held[start:stop] + held[stop:]


def _change_number(held: bytes, rng: np.random.Generator) -> bytes:
    numbers = list(re.finditer(rb"-?\d+", held[:512]))
    if not numbers:
        return _flip(held, rng)
    found = numbers[rng.integers(len(numbers))]
    new = str(rng.choice(np.array(NASTY, object))).encode()
    return held[: found.start()] + new + held[found.end() :]


def _mend_check_sums(held: bytes) -> bytes:
    """Make every chunk of a PNG file valid, so that its values are believed."""
    at, mended = 8, bytearray(held)
    while at + 12 <= len(mended):
        end = at + 8 + int.from_bytes(mended[at : at + 4])
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = zlib.crc32(mended[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(mended)


def make_seeds(folder: Path) -> list[Path]:
    """Write one small sound file of every kind; files of pixels beside headers are no seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    _make_pictures(folder, rng)
    _make_stacks(folder, rng)
    _make_volumes(folder, rng)
    volume = rng.integers(0, 255, (3, 9, 8), dtype=np.uint8)
    np.savez(folder / "stored.npz", images=volume)
    np.savez_compressed(folder / "packed.npz", images=volume)
    np.save(folder / "one.npy", volume[0])
    np.save(folder / "float.npy", volume.astype(">f4"))
    _copy_dicom(folder)
    return sorted(file for file in folder.iterdir() if not file.name.startswith("beside"))


def _make_pictures(folder: Path, rng: np.random.Generator) -> None:
    from PIL import Image

    grey = rng.integers(0, 255, (24, 20), dtype=np.uint8)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        photo = Image.fromarray(grey.astype(np.uint16) * 200) if mode == "I;16" else (
            Image.fromarray(grey).convert(mode)
        )  # fmt: skip
        photo.save(folder / f"{mode.replace(';', '')}.png")
        photo.save(folder / f"{mode.replace(';', '')}.tif")
    colours, exif = Image.fromarray(grey).convert("RGB"), Image.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "bmp", "gif", "ppm", "webp"):
        colours.save(folder / f"colours.{ending}")
    colours.save(folder / "turned.jpg", exif=exif)
    Image.fromarray(grey).save(folder / "grey.pgm")
    for packing in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"):
        colours.save(folder / f"{packing}.tif", compression=packing)


def _make_stacks(folder: Path, rng: np.random.Generator) -> None:
    import tifffile

    stack = rng.integers(0, 255, (5, 9, 8), dtype=np.uint8)
    tifffile.imwrite(folder / "pages.tif", stack, metadata=None, byteorder=">")
    tifffile.imwrite(folder / "tiles.tif", stack.astype("f4"), tile=(16, 16), compression="zlib")
    sizes: dict[str, Any] = {"unit": "um", "spacing": 2.0, "axes": "ZYX"}
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, resolution=(2, 2), metadata=sizes)
    tifffile.imwrite(folder / "cut.tif", stack, imagej=True, truncate=True)
    ome: dict[str, Any] = {"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(folder / "ome.tif", stack, ome=True, metadata=ome)


def _make_volumes(folder: Path, rng: np.random.Generator) -> None:
    import nibabel
    import SimpleITK

    volume = rng.integers(0, 255, (6, 5, 4)).astype(np.int16)
    colours = np.zeros((6, 5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    affine = np.array([[0, -2.0, 0, 5], [0, 0, 3, 6], [-1, 0, 0, 7], [0, 0, 0, 1]])
    api: Any = nibabel
    for name, image in {
        "plain.nii": api.Nifti1Image(volume, affine),
        "packed.nii.gz": api.Nifti1Image(volume, affine),
        "scaled.nii": api.Nifti1Image(volume * 0.37, affine, dtype="int16"),
        "series.nii.gz": api.Nifti1Image(np.stack([volume] * 3, -1), affine),
        "colours.nii": api.Nifti1Image(colours, affine),
        "second.nii": api.Nifti2Image(volume, affine),
        "slice.nii": api.Nifti1Image(volume[:, :, 0], affine),
        "surfer.mgz": api.MGHImage(volume, affine),
        "surfer.mgh": api.MGHImage(volume.astype("f4"), affine),
    }.items():
        api.save(image, folder / name)
    image = SimpleITK.GetImageFromArray(volume)
    vectors = SimpleITK.GetImageFromArray(np.stack([volume] * 3, -1), isVector=True)
    for ending in ("nrrd", "mha"):
        SimpleITK.WriteImage(image, str(folder / f"raw.{ending}"))
        SimpleITK.WriteImage(image, str(folder / f"packed.{ending}"), useCompression=True)
        SimpleITK.WriteImage(vectors, str(folder / f"vectors.{ending}"))
    for ending, pixels in (("nhdr", "beside.raw.gz"), ("mhd", "beside.raw")):
        header = folder / f"beside.{ending}"
        SimpleITK.WriteImage(image, str(header), useCompression=ending == "nhdr")
        assert (folder / pixels).exists(), pixels
        header.rename(folder / f"header.{ending}")


def _copy_dicom(folder: Path) -> None:
    """Small files that come with pydicom, where a reader for them is registered."""
    from tassl.data.readers import READERS

    if "dicom" in READERS:
        import pydicom

        held = Path(pydicom.__file__).parent / "data" / "test_files"
        small = sorted(file for file in held.glob("*.dcm") if file.stat().st_size < 60_000)
        for file in small[::3]:
            shutil.copy(file, folder / file.name)


def make_mutants(
    folder: Path, number: int, seed: int, *, endings: tuple[str, ...] = ("",)
) -> list[Path]:
    """Damage seeds in turn until there are `number` files, the same for the same seed."""
    rng = np.random.default_rng(seed)
    seeds = [file for file in make_seeds(folder / "seeds") if file.name.endswith(endings)]
    target = folder / "mutants"
    target.mkdir()
    for file in (folder / "seeds").glob("beside*"):
        shutil.copy(file, target)
    mutants = []
    for k in range(number):
        chosen = seeds[k % len(seeds)]
        mutants.append(target / f"{k:04d}-{chosen.name}")
        mutate(chosen, mutants[-1], rng)
    return mutants


def make_bombs(folder: Path) -> list[Path]:
    """Write files that ask for far more than they hold, or that one image may take."""
    seeds = folder / "seeds"
    make_seeds(seeds)
    target = folder / "bombs"
    target.mkdir()

    def put(name: str, seed: str, at: int, new: bytes) -> bytes:
        held = (seeds / seed).read_bytes()
        held = held[:at] + new + held[at + len(new) :]
        (target / name).write_bytes(held)
        return held

    for side in (11_500, 60_000, 2**31 - 1):
        held = put(f"side-{side}.png", "RGBA.png", 16, side.to_bytes(4) * 2)
        (target / f"side-{side}.png").write_bytes(_mend_check_sums(held))
    for sides in ((30_000, 30_000, 30_000), (1300, 1300, 1300), (-5, 5, 4)):
        name, new = f"sides{sides[0]}.nii", np.array(sides, "<i2").tobytes()
        zeros = gzip.compress(bytes(2**22), 1)
        whole = gzip.compress(put(name, "plain.nii", 42, new), 1) + zeros * 600
        (target / f"{name}.gz").write_bytes(whole)
    put("offset.nii", "plain.nii", 108, np.array(1e9, "<f4").tobytes())
    for name, seed, old, new in (
        ("sizes.nrrd", "raw.nrrd", b"sizes: 4 5 6", b"sizes: 40000 50000 60000"),
        ("packed.nrrd", "packed.nrrd", b"sizes: 4 5 6", b"sizes: 1000 1000 1000"),
        ("sizes.mha", "raw.mha", b"DimSize = 4 5 6", b"DimSize = 1000 1000 1000"),
        ("packed.mha", "packed.mha", b"DimSize = 4 5 6", b"DimSize = 400 500 600"),
        ("sizes.mhd", "header.mhd", b"DimSize = 4 5 6", b"DimSize = 800 800 800"),
        ("sizes.nhdr", "header.nhdr", b"sizes: 4 5 6", b"sizes: 800 800 800"),
        ("sizes.npy", "one.npy", b"(9, 8)", b"(9999999999, 8)"),
        ("sizes.pgm", "grey.pgm", b"20 24", b"2000000 2400000"),
    ):
        held = (seeds / seed).read_bytes()
        assert old in held, seed
        (target / name).write_bytes(held.replace(old, new))
    for file in seeds.glob("beside*"):
        shutil.copy(file, target)
    _make_tiff_bombs(seeds, target)
    _make_dicom_bombs(seeds, target)
    return sorted(file for file in target.iterdir() if not file.name.startswith("beside"))


def _make_tiff_bombs(seeds: Path, target: Path) -> None:
    import tifffile

    for seed in ("L.tif", "tiff_lzw.tif", "tiles.tif", "jpeg.tif"):
        with tifffile.TiffFile(seeds / seed) as tiff:
            tags: Any = tiff.pages[0].tags  # type: ignore[union-attr]
            places = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
            order = "little" if tiff.byteorder == "<" else "big"
        held = bytearray((seeds / seed).read_bytes())
        for at in places:
            held[at : at + 2] = (30_000).to_bytes(2, order)  # type: ignore[arg-type]
        (target / f"sides-{seed}").write_bytes(held)


def _make_dicom_bombs(seeds: Path, target: Path) -> None:
    """Rows, columns and frames that lie."""
    for file in (seeds / name for name in ("MR_small.dcm", "693_J2KI.dcm", "JPEG-lossy.dcm")):
        if file.exists():
            import pydicom

            held = pydicom.dcmread(file)
            held.Rows = held.Columns = 65_535
            held.NumberOfFrames = 100
            held.save_as(target / f"sides-{file.name}")
    _make_stream_bombs(target)


def _make_stream_bombs(target: Path) -> None:
    """Sound headers over packed streams that claim, or hold, far more."""
    import pydicom
    from pydicom.encaps import encapsulate, get_frame

    bundled = Path(pydicom.__file__).parent / "data" / "test_files"
    for name, marker, at, width in (
        ("MR_small_jp2klossless.dcm", b"\xff\x51", 6, 4),
        ("MR_small_jpeg_ls_lossless.dcm", b"\xff\xf7", 5, 2),
        ("SC_rgb_jpeg_gdcm.dcm", b"\xff\xc3", 5, 2),
        ("SC_rgb_jpeg_dcmtk.dcm", b"\xff\xc0", 5, 2),
    ):
        held = pydicom.dcmread(bundled / name)
        packed = get_frame(held.PixelData, 0, number_of_frames=1)
        start = packed.index(marker) + at
        sides = (20_000).to_bytes(width) * 2
        held.PixelData = encapsulate([packed[:start] + sides + packed[start + len(sides) :]])
        held.save_as(target / f"stream-{name}")

    deflated = bundled / "image_dfl.dcm"
    start = 144 + pydicom.dcmread(deflated).file_meta.FileMetaInformationGroupLength
    held, packer = deflated.read_bytes(), zlib.compressobj(9, zlib.DEFLATED, -15)
    padding = b"\xfc\xff\xfc\xffOB\0\0" + (30 * 2**24).to_bytes(4, "little")
    begun = packer.compress(zlib.decompress(held[start:], -15) + padding)
    begun += packer.flush(zlib.Z_FULL_FLUSH)  # after which a block may be repeated
    zeros = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    (target / "deflated.dcm").write_bytes(held[:start] + begun + zeros * 30 + packer.flush())


def make_true_npz_bomb(file: Path) -> Path:
    """Write zeros for more than one image may take; its directory tells the truth."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2200, 1024, 1024)}
    )
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(2200):
            member.write(bytes(2**20))
    return file


if __name__ == "__main__":
    serve()
