"""A user's npz: right numbers, or one line that says what is wrong with it; whatever the file holds."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advntk.cli import main
from advntk.foundation import files
from advntk.foundation.errors import AdvntkError, InputError
from advntk.ingredients.datasets import npz
from advntk.ingredients.images import KEYS, LabelledImages, prepare, read_prepared
from advntk.ingredients.splits import OVERLAP, Split, make_split
from tests import moves

Arrays = dict[str, np.ndarray]


def own(n_train=40, n_test=12, classes=3, shape=(2, 3, 1), seed=0) -> Arrays:
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", n_train), ("test", n_test)):
        arrays[f"x_{part}"] = rng.integers(17, 256, (count, *shape), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % classes
    return arrays


def prepared(path: Path, out: Path, **options) -> LabelledImages:
    sizes = npz.Options(**{"path": str(path), "n_opt": 10, "n_val": 5} | options)
    prepare(npz.ENTRY, sizes, downloads=path.parent, out=out)
    return read_prepared(out)


def test_a_file_of_other_arrays_than_the_suite_asks_for_is_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", **own())
    np.savez_compressed(tmp_path / "again.npz", **own())
    np.savez(tmp_path / "other.npz", **own(seed=1))
    wanted = npz.load(npz.Options(path=str(tmp_path / "mine.npz"), n_opt=10, n_val=5), tmp_path).sha256
    images = prepared(tmp_path / "again.npz", tmp_path / "out.npz", sha256=wanted)  # however they are stored
    assert images.sha256 == wanted
    with pytest.raises(InputError, match=rf"other\.npz: its arrays have SHA-256 [0-9a-f]{{64}}, not {wanted}; give"):
        prepared(tmp_path / "other.npz", tmp_path / "out.npz", sha256=wanted)


LABELS = own()["y_train"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.full((40, 2, 3, 1), np.nan)}, "x_train holds 240 NaN or infinite values"),
        (
            {"x_train": np.linspace(0, 1, 240).reshape(40, 2, 3, 1)},
            r"values 0 … 1; give.*np\.rint\(255\.0 \* x\)",
        ),
        ({"x_test": np.full((12, 2, 3, 1), 200)}, r"x_test has dtype int64, values 200 … 200; .*np\.rint\(x\)\.astype"),
        ({"x_train": np.full((40, 2, 3, 1), -3, np.int16)}, "dtype int16, values -3 … -3; give uint8 pixels, 0 to 255"),
        ({"x_train": np.full((40, 2, 3, 1), 1j)}, "x_train has dtype complex128; give uint8"),
        (
            {"x_train": np.zeros((40, 2, 3), np.uint8)},
            r"x_train has shape \(40, 2, 3\).*grey images have C = 1: x\[\.\.\., N",
        ),
        ({"x_test": np.full((12, 6, 3, 1), 99, np.uint8)}, "give both the same size"),
        ({"x_test": None}, "lacks x_test; save the arrays x_train, y_train, x_test, y_test with numpy.savez"),
        ({"x_train": np.zeros((0, 2, 3, 1), np.uint8), "y_train": np.zeros(0, int)}, "x_train has no images"),
        ({"x_train": own()["x_train"] // 128}, "x_train has no pixel above 1, but white is 255; multiply by 255 / 1"),
        ({"x_train": own()["x_train"] // 16}, "x_train has no pixel above 15, but white is 255; multiply by 255 / 15"),
        ({"x_test": np.zeros((12, 2, 3, 1), np.uint8)}, "x_test has no pixel above 0, .*or set dark: true"),
        ({"y_train": np.zeros(39, int)}, r"y_train has dtype int64 and shape \(39,\) for 40 images"),
        (
            {"y_train": LABELS.astype(float)},
            "y_train has dtype float64.*give one integer label for each image; map labels",
        ),
        (
            {"y_train": np.array(["a", "b", "c"])[LABELS]},
            r"dtype <U1 .*classes, y_train = np\.unique\(y_train, return_i",
        ),
        ({"y_test": np.array([True, False] * 6)}, "y_test has dtype bool"),
        ({"y_train": np.eye(3, dtype=int)[LABELS]}, r"y_train has dtype int64 and shape \(40, 3\)"),
        ({"y_train": LABELS - 1}, "y_train has labels -1 … 1 .*number the classes from 0"),
        (
            {"y_train": 0 * LABELS, "y_test": np.zeros(12, int)},
            "all labels of y_train are 0; give images of two classes",
        ),
        ({"y_train": 0 * LABELS + 7}, "all labels of y_train are 7"),
        (
            {"y_train": np.array([17, 20418, 305221])[LABELS]},
            "305219 of the classes 0 … 305221 have no image in x_train",
        ),
        (
            {"y_train": np.uint64(2**64 - 1) * LABELS.astype(np.uint64)},
            "of the classes 0 … 18446744073709551615 have no",
        ),
        ({"y_train": np.array([0, 1, 3])[LABELS]}, "1 of the classes 0 … 3 have no image in x_train, such as class 2"),
        ({"y_test": np.arange(12) % 4}, "1 of the classes 0 … 3 have no image in x_train, such as class 3; map labels"),
    ],
)
def test_a_fault_gives_one_line_with_the_file_and_leaves_nothing(tmp_path, capsys, changes, message):
    arrays = {name: array for name, array in (own() | changes).items() if array is not None}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=rf"mine\.npz: .*{message}"):
        prepared(tmp_path / "mine.npz", tmp_path / "out/prepared.npz")
    assert not (tmp_path / "out").exists()
    options = f'{{"path": "{tmp_path}/mine.npz", "n_opt": 10, "n_val": 5}}'
    out = ["--options", options, "--out", str(tmp_path / "out/prepared.npz")]
    assert main(["prepare", "--dataset", "npz", *out]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_dark_images_are_taken_where_the_user_says_so(tmp_path):
    arrays = own()
    arrays["x_train"] //= 128
    np.savez(tmp_path / "mine.npz", **arrays)
    np.testing.assert_array_equal(
        prepared(tmp_path / "mine.npz", tmp_path / "out.npz", dark=True).x_train, arrays["x_train"]
    )


def test_binary_images_of_full_range_and_one_pool(tmp_path):
    arrays = own(n_test=0)
    arrays["x_train"] = arrays["x_train"] // 128 * np.uint8(255)
    np.savez(tmp_path / "mine.npz", **arrays)
    found = prepared(tmp_path / "mine.npz", tmp_path / "out.npz")
    np.testing.assert_array_equal(found.x_train, arrays["x_train"])
    assert len(found.x_test) == 0


def test_the_images_of_the_suite_moves_are_what_their_program_writes():
    stored, wanted = files.read_npz(moves.PATH), moves.arrays()
    assert stored.keys() == wanted.keys() == set(KEYS)
    for name, array in wanted.items():
        np.testing.assert_array_equal(stored[name], array)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"mine\.npz: file not found"):
        prepared(tmp_path / "mine.npz", tmp_path / "out.npz")


def relabelled(labels: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {key: labels(arrays[key]) for key in ("y_train", "y_test")}


def converted(dtype: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {"x_train": arrays["x_train"].astype(dtype)}


HARMLESS: dict[str, Callable[[Arrays], Arrays]] = {
    "other byte order": relabelled(lambda y: y.astype(">i4")),
    "unsigned labels": relabelled(lambda y: y.astype(">u8")),
    "small labels": relabelled(lambda y: y.astype(np.int8)),
    "Fortran order": lambda arrays: {name: np.asfortranarray(array) for name, array in arrays.items()},
    "another array": lambda arrays: arrays | {"notes": np.array("mine")},
    "an array of objects": lambda arrays: arrays | {"notes": np.array([{}, None], dtype=object)},
    "one pool": lambda arrays: arrays | {key: arrays[key][:0] for key in ("x_test", "y_test")},
    "no change": lambda arrays: arrays,
}
FAULTS: dict[str, Callable[[Arrays], Arrays]] = {
    **{
        str(dtype): converted(dtype) for dtype in ("f2", ">f4", "f8", "g", "i1", ">i2", "u4", "c8", "U3", "S3", "M8[s]")
    },
    "objects": lambda arrays: arrays | {"x_train": arrays["x_train"].astype(object)},
    "records": lambda arrays: arrays | {"y_test": np.zeros(len(arrays["y_test"]), [("a", "i4"), ("b", "U2")])},
    "unit scale": lambda arrays: arrays | {"x_test": arrays["x_test"] / 255},
    "one bit": lambda arrays: arrays | {"x_train": arrays["x_train"] > 127},
    "0 and 1": lambda arrays: arrays | {"x_train": arrays["x_train"] // 128},
    "grey": lambda arrays: arrays | {"x_train": arrays["x_train"][..., 0]},
    "five axes": lambda arrays: arrays | {"x_train": arrays["x_train"][None]},
    "a number": lambda arrays: arrays | {"x_train": np.uint8(7)},
    "no pixels": lambda arrays: arrays | {"x_train": arrays["x_train"][:, :0]},
    "no training images": lambda arrays: arrays | {key: arrays[key][:0] for key in ("x_train", "y_train")},
    "other size": lambda arrays: arrays | {"x_test": np.full((1, 4, 4, 1), 99, np.uint8), "y_test": np.zeros(1, int)},
    "label missing": lambda arrays: arrays | {"y_train": arrays["y_train"][1:]},
    "a column of labels": relabelled(lambda y: y[:, None]),
    "labels are text": relabelled(lambda y: y.astype("U1")),
    "labels are fractions": relabelled(lambda y: y + 0.5),
    "one class": relabelled(lambda y: 0 * y),
    "labels from 1": relabelled(lambda y: y + 1),
    "negative": relabelled(lambda y: y - 1),
    "huge": relabelled(lambda y: y.astype(np.int64) * 2**40),
    "key missing": lambda arrays: {name: array for name, array in arrays.items() if name != "y_test"},
    "keys in capitals": lambda arrays: {name.upper(): array for name, array in arrays.items()},
}


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Bytes of a file that is truncated, changed, or no npz."""
    kind = data.draw(st.sampled_from(["truncated", "changed", "no npz", "one array"]))
    if kind == "truncated":
        return content[: data.draw(st.integers(0, len(content) - 1))]
    if kind == "no npz":
        return data.draw(st.binary(max_size=64))
    if kind == "one array":
        single = io.BytesIO()
        np.save(single, np.arange(3))
        return single.getvalue()
    place = data.draw(st.integers(0, len(content) - 1))
    return content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]


def refusal(call: Callable[[], object]) -> str:
    """The line that a call is refused with; empty where it is not. Other errors pass."""
    try:
        call()
    except AdvntkError as error:
        line = str(error)
    else:
        line = ""
    assert "\n" not in line
    return line


def check_split(split: Split, arrays: Arrays, noise: float) -> None:
    """Check a split against the arrays of the file: pixels, labels, and which images are identical."""
    pooled = len(arrays["x_test"]) == 0
    taken = []
    for name, part in (("opt", split.opt), ("val", split.val), ("test", split.test)):
        pool = "test" if name == "test" and not pooled else "train"
        np.testing.assert_array_equal(part.pixels, arrays[f"x_{pool}"][part.indices])
        np.testing.assert_allclose(part.images, arrays[f"x_{pool}"][part.indices] / 255, rtol=1e-6)
        wrong = part.labels != arrays[f"y_{pool}"][part.indices].astype(np.int64)
        assert wrong.sum() == (round(noise * len(part)) if name == "opt" else 0)
        taken += [(pool, index) for index in part.indices]
    assert len(set(taken)) == len(taken)
    assert set(split.opt.labels) <= set(range(split.classes))


def identical(some: np.ndarray, others: np.ndarray) -> int:
    """How many of some images equal one of others, all pairs compared."""
    return int((some[:, None] == others[None]).all(axis=(2, 3, 4)).any(axis=1).sum())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds one user's file after the other, and the folder of what is prepared."""
    made = tmp_path_factory.mktemp("npz")
    (made / "out").mkdir()
    return made


@given(data=st.data())
@settings(max_examples=500)
def test_every_file_gives_right_numbers_or_one_line(folder, data):
    path, out = folder / "mine.npz", folder / "out" / "prepared.npz"
    fault = data.draw(st.lists(st.sampled_from(sorted(FAULTS)), max_size=1))
    arrays = own(
        n_train=data.draw(st.integers(6, 40)),
        n_test=data.draw(st.integers(1, 12)),
        classes=data.draw(st.integers(2, 4)),
        shape=data.draw(st.sampled_from([(2, 3, 1), (1, 1, 1), (3, 1, 3)])),
        seed=data.draw(st.integers(0, 99)),
    )
    for name in [*data.draw(st.lists(st.sampled_from(sorted(HARMLESS)), max_size=2)), *fault]:
        arrays = (HARMLESS | FAULTS)[name](arrays)
    content = io.BytesIO()
    data.draw(st.sampled_from([np.savez, np.savez_compressed]))(content, **arrays)
    broken = data.draw(st.sampled_from([False] * 4 + [True]))
    options = {
        "n_opt": data.draw(st.integers(2, 20)),
        "n_val": data.draw(st.integers(1, 10)),
        "n_test": data.draw(st.integers(0, 6)),
        "label_noise": data.draw(st.sampled_from([0.0, 0.3])),
        "allow_overlap": data.draw(st.booleans()),
    }
    path.write_bytes(damaged(content.getvalue(), data) if broken else content.getvalue())
    sizes = npz.Options(path=str(path), **options)
    if line := refusal(lambda: prepare(npz.ENTRY, sizes, downloads=path.parent, out=out)):
        assert fault or broken
        assert line.startswith(f"{path}: ")
        assert not list(out.parent.iterdir())
        return
    assert not fault
    assert [one.name for one in out.parent.iterdir()] == [out.name]
    with np.load(path) as file:
        arrays = {key: file[key] for key in KEYS}
    images = read_prepared(out)
    out.unlink()
    for key in KEYS:
        np.testing.assert_array_equal(getattr(images, key), arrays[key].astype(np.int64))
    assert set(images.y_train) == set(range(images.classes)) >= set(images.y_test)
    if line := refusal(lambda: make_split(images, sizes, dataset="npz", seed=0)):
        assert line.startswith(f"dataset_options.npz ({path}): ")
        return
    split = make_split(images, sizes, dataset="npz", seed=0)
    check_split(split, arrays, options["label_noise"])
    training = np.concatenate([split.opt.pixels, split.val.pixels])
    for part, known in ((split.val, split.opt.pixels), (split.test, training)):
        assert sizes.allow_overlap or identical(part.pixels, known) <= max(1, OVERLAP * len(part))
    assert split.overlap.test == identical(split.test.pixels, training)
    assert split.overlap.val == identical(split.val.pixels, split.opt.pixels)
