"""A user's own file before any job: read by the one reader, refused early, and known by its content."""

from __future__ import annotations

import os

import numpy as np
import pytest

from advntk.foundation.errors import AdvntkError
from advntk.planning.resources import Cell
from advntk.workflow import Jobs
from tests.planning.test_plan import ROOT, suite_of


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def own_images(place, count=50, labels=None, **options):
    """A suite of a user's npz."""
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (count, 6, 5, 3)), "x_test": rng.integers(0, 256, (7, 6, 5, 3))}
    arrays = {name: images.astype(np.uint8) for name, images in arrays.items()}
    arrays |= {"y_train": np.arange(count) % 4 if labels is None else labels, "y_test": np.arange(7) % 4}
    np.savez(place, **arrays)
    return suite_of(
        datasets=["npz"],
        dataset_options={"npz": {"path": str(place), "n_opt": 30, "n_val": 10} | options},
        method_options={"advntk": {"batch": 8}, "at": {"batch": 8}},
        overrides=[],
    )


def test_a_users_own_images_are_measured_from_their_file(tmp_path):
    facts = Cell(own_images(tmp_path / "own.npz"), "npz").facts
    assert (facts.shape, facts.classes, facts.n_test) == ((6, 5, 3), 4, 7)
    # another file in the same place is read again
    assert Cell(own_images(tmp_path / "own.npz", labels=np.arange(50) % 5), "npz").facts.classes == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array(["a", "b"] * 25)}, r"^[^ ]*own\.npz: y_train has dtype <U1"),
        ({"labels": np.zeros(50, int) + 3}, r"^[^ ]*own\.npz: all labels of y_train are 3"),
        ({"count": 39}, r"^dataset_options\.npz \([^ ]*own\.npz\): n_opt \+ n_val = 40 is more than the 39 images"),
        ({"n_test": 8}, r"n_test = 8 is more than the 7 test images"),
        ({"path": "none.npz"}, r"^none\.npz: No such file"),
    ],
)
def test_faults_of_a_users_file_stop_before_any_job(tmp_path, changes, message):
    suite = own_images(tmp_path / "own.npz", **changes)
    with pytest.raises(AdvntkError, match=message):
        Jobs(suite).check_data()


def test_a_prepared_file_is_named_by_the_content_of_the_users(tmp_path):
    def name(place="own.npz", **changes):
        (found,) = Jobs(own_images(tmp_path / place, **changes)).prepared
        return found

    first, before = name(), (tmp_path / "own.npz").stat()
    assert first.startswith("npz-")
    assert name(n_opt=20) == first  # not by the sizes of its splits
    other = name(labels=np.arange(50) % 2)
    assert other != first
    os.utime(tmp_path / "own.npz", ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))
    assert name("own.npz", labels=np.arange(50) % 2) == other
    assert name("second.npz") != first
    assert list(Jobs(suite_of()).prepared) == ["digits"]
