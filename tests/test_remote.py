"""Remote data are mirrored, and then all is as with local data."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from local_server import serve
from tassl.data import remote
from tassl.data.layouts import index
from tassl.data.remote import is_remote, localise
from tassl.data.store import build_store
from tassl.errors import InputError, OptionError
from tassl.study import Study
from tassl.study.narrator import Narrator
from tassl.study.preparation import prepare

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket() -> Iterator[Any]:
    """The memory file system of fsspec, empty before and after."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in a folder per class."""
    for k in range(12):
        file = tmp_path / "local" / "ab"[k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (9, 9), dtype=np.uint8)).save(file)
    return tmp_path / "local"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    images = rng.integers(0, 255, (40, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(40) % 2)
    return tmp_path / "set.npz"


def check_same(local: Path, remote: str, place: Path) -> None:
    """Index and store of both are equal, but for where the files lie."""
    here, there = index(local), index(remote)
    pd.testing.assert_frame_equal(here.table, there.table)
    assert (here.classes, here.notes, here.layout) == (there.classes, there.notes, there.layout)
    stores = [
        build_store(manifest, lambda pixels: pixels, place / name)
        for name, manifest in (("here", here), ("there", there))
    ]
    assert stores[0].digest == stores[1].digest
    assert np.array_equal(stores[0].images, stores[1].images)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


class TestEndToEnd:
    def test_folder(self, bucket: Any, folder: Path, tmp_path: Path):
        bucket.put(str(folder), "/bucket/set", recursive=True)
        check_same(folder, "memory://bucket/set", tmp_path)

    def test_file(self, bucket: Any, archive: Path, tmp_path: Path):
        bucket.put(str(archive), "/bucket/set.npz")
        check_same(archive, "memory://bucket/set.npz", tmp_path)

    def test_web(self, archive: Path, tmp_path: Path):
        with serve({"/set.npz": archive.read_bytes()}) as server:
            check_same(archive, f"{server.url}/set.npz", tmp_path)

    def test_file_address_is_local(self, archive: Path, cache: Path):
        assert localise(f"file://{archive}") == archive
        assert not cache.exists()


class TestMirror:
    def test_only_what_changed_travels(self, bucket: Any, folder: Path):
        bucket.put(str(folder), "/bucket/set", recursive=True)
        mirror = localise("memory://bucket/set")
        assert contents(mirror) == contents(folder)
        before = {file: file.stat().st_mtime_ns for file in mirror.rglob("*.png")}
        bucket.pipe("/bucket/set/a/0.png", b"new")
        bucket.pipe("/bucket/set/c/new.png", b"newer")
        bucket.rm("/bucket/set/b/1.png")
        assert localise("memory://bucket/set/") == mirror
        after = {file: file.stat().st_mtime_ns for file in mirror.rglob("*.png")}
        assert {str(file.relative_to(mirror)) for file, _ in after.items() - before.items()} == {
            "a/0.png",
            "c/new.png",
        }
        assert (mirror / "a/0.png").read_bytes() == b"new"
        assert not (mirror / "b/1.png").exists()

    def test_changed_file_of_the_same_size(self, bucket: Any):
        bucket.pipe("/bucket/a.npz", b"old")
        assert localise("memory://bucket/a.npz").read_bytes() == b"old"
        bucket.pipe("/bucket/a.npz", b"new")
        assert localise("memory://bucket/a.npz").read_bytes() == b"new"

    def test_damaged_mirror_is_mended(self, bucket: Any):
        bucket.pipe({"/bucket/a": b"aaa", "/bucket/b": b"bbb"})
        mirror = localise("memory://bucket")
        (mirror / "a").write_bytes(b"a")
        (mirror / "b").unlink()
        assert contents(localise("memory://bucket")) == {"a": b"aaa", "b": b"bbb"}

    def test_cut_journal(self, bucket: Any, cache: Path):
        """A line that was being written when the machine went down says nothing."""
        bucket.pipe({"/bucket/a": b"aaa", "/bucket/b": b"bbb"})
        localise("memory://bucket")
        (journal,) = cache.rglob("marks.jsonl")
        journal.write_text(journal.read_text()[:-5])
        assert contents(localise("memory://bucket")) == {"a": b"aaa", "b": b"bbb"}

    def test_empty_file(self, bucket: Any):
        bucket.pipe({"/bucket/a": b"", "/bucket/b": b"b"})
        assert contents(localise("memory://bucket")) == {"a": b"", "b": b"b"}

    def test_unchanged_web_file_is_not_fetched_again(self):
        with serve({"/a.npz": b"old"}) as server:
            for content in (b"old", b"new", b"new"):
                server.files["/a.npz"] = content
                assert localise(f"{server.url}/a.npz?key=1").read_bytes() == content
            assert len(server.asked) == 5  # three looks, two transfers

    def test_progress_ends_at_the_whole(self, bucket: Any):
        bucket.pipe({f"/bucket/{k}": b"x" * k for k in range(1, 30)})
        seen, titles = [], []

        def watch(title: str) -> Any:
            titles.append(title)
            return fsspec.utils.nullcontext(lambda *now: seen.append(now))

        localise("memory://bucket", watch=watch)
        assert titles == ["Fetching bucket"]
        assert seen[-1] == (435, 435)
        assert sorted(seen) == seen
        localise("memory://bucket", watch=watch)
        assert len(titles) == 1


class TestCuts:
    def test_web_file_goes_on_in_a_later_attempt(self, archive: Path):
        content = archive.read_bytes()
        with serve({"/set.npz": content}, cut=3000) as server:
            url = f"{server.url}/set.npz"
            server.ranges = False
            with pytest.raises(InputError, match=r"set.npz broke at 3,000 of .*go on"):
                localise(url)
            server.ranges, server.cut = True, None
            assert localise(url).read_bytes() == content
            assert server.asked[-1][1] == "bytes=3000-"

    def test_changed_file_does_not_go_on(self, archive: Path):
        content = archive.read_bytes()
        with serve({"/set.npz": content[::-1]}, cut=3000, ranges=False) as server:
            with pytest.raises(InputError, match="broke"):
                localise(f"{server.url}/set.npz")
            server.files["/set.npz"], server.ranges, server.cut = content, True, None
            assert localise(f"{server.url}/set.npz").read_bytes() == content

    def test_folder_goes_on(self, bucket: Any, folder: Path, monkeypatch: pytest.MonkeyPatch):
        bucket.put(str(folder), "/bucket/set", recursive=True)
        opened, most, open_any = [], 5, MemoryFileSystem.open

        def open_some(self: Any, path: str, *rest: Any, **options: Any) -> Any:
            opened.append(path)
            if len(opened) > most:
                raise PermissionError("key=secret")
            return open_any(self, path, *rest, **options)

        monkeypatch.setattr(MemoryFileSystem, "open", open_some)
        monkeypatch.setattr(remote, "WORKERS", 1)
        with pytest.raises(InputError, match=r"cannot be opened \(PermissionError\)") as caught:
            localise("memory://bucket/set")
        assert "secret" not in str(caught.value)
        first, most = opened[:5], 100
        opened.clear()
        assert contents(localise("memory://bucket/set")) == contents(folder)
        assert len(opened) == 12 - 5
        assert not {*opened} & {*first}


class TestRefusals:
    @pytest.mark.parametrize(
        ("uri", "extra"), [("s3://bucket/set", "s3"), ("gs://bucket/set", "gs")]
    )
    def test_missing_package(self, uri: str, extra: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "s3fs", None)
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with pytest.raises(OptionError, match=re.escape(f"pip install 'tassl[{extra}]'")):
            localise(uri)

    def test_unknown_protocol(self):
        with pytest.raises(OptionError, match="nothing:// is not known"):
            localise("nothing://bucket/set")

    def test_missing(self, bucket: Any):
        with pytest.raises(InputError, match="memory://bucket/set does not exist or is empty"):
            localise("memory://bucket/set")

    def test_file_outside_its_folder(self, bucket: Any, cache: Path):
        bucket.store["/bucket/../../../x"] = bucket.open("/bucket/y", "wb")
        with pytest.raises(InputError, match="outside its folder"):
            localise("memory://bucket")
        assert not cache.exists()

    def test_disk_too_small(self, bucket: Any, monkeypatch: pytest.MonkeyPatch):
        bucket.pipe({"/bucket/a": b"a" * 300_000, "/bucket/b": b"b" * 300_000})
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500_000))
        with pytest.raises(OptionError, match=r"0\.6 MB are needed, 0\.5 MB are free"):
            localise("memory://bucket")

    def test_cache_that_cannot_be_written(
        self, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        bucket.pipe("/bucket/a", b"a")
        (tmp_path / "taken").write_bytes(b"")
        monkeypatch.setenv("TASSL_CACHE", str(tmp_path / "taken"))
        with pytest.raises(OptionError, match=r"cannot be written .* Set TASSL_CACHE"):
            localise("memory://bucket")


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("s3://bucket/set", True),
        ("https://host.org/set.npz", True),
        ("data/set.npz", False),
        (Path("data"), False),
        (r"C:\data", False),
        ("a://", True),
        ("no protocol://x", False),
    ],
)
def test_is_remote(data: str | Path, answer: bool):
    assert is_remote(data) is answer


def test_secrets_reach_no_file(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Study, folder and what is said name the address alone."""
    with serve({"/set.npz": archive.read_bytes()}) as server:
        address = server.url.replace("://", "://q7user:q7word@") + "/set.npz?sig=q7token"
        study = Study(address, modality="ultrasound", task="classification")
        prepare(study, tmp_path / "run", Narrator())
        assert server.asked[0][0] == "/set.npz?sig=q7token"
    assert study.facts()["data"] == f"{server.url}/set.npz"
    assert replace(study, data=f"{server.url}/set.npz?sig=renewed").facts() == study.facts()
    said = capsys.readouterr()
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for secret in ("q7user", "q7word", "q7token"):
        assert secret not in said.out + said.err
        assert not any(secret.encode() in content for content in written)
