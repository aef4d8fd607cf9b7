"""What all tests share: small kernels and data, and one tolerance table."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from advntk.foundation import threads

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")  # the same examples in every run: a red run can be run again


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers for plain ``pytest``; tests that are named, and those of a marker, run in this process."""
    plain = config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.markexpr.startswith("not ")
    return 2 if plain else 0


def pytest_configure(config: pytest.Config) -> None:
    """Workers inherit the limit of one thread; each has a core, lest verbs that take all cores start more threads."""
    if config.option.numprocesses:
        threads.limit(1)
    elif hasattr(config, "workerinput"):
        cores = sorted(os.sched_getaffinity(0))
        number = int(config.workerinput["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dearest files first, lest one worker runs them while the other has nothing left."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


LIMITS = {name: os.environ.get(name) for name in (*threads.VARIABLES, "XLA_FLAGS")}


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    """Verbs limit the threads of their process; numba then refuses to compile once it has started another number."""
    yield
    for name, value in LIMITS.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(autouse=True, scope="module")
def programs_of_their_module() -> Iterator[None]:
    """What JAX compiled for one module no other runs: kept, it would come to gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what is freed between blocks that are not


TOLERANCE = {"float32": 2e-5, "float64": 1e-9}
"""Relative errors that tests accept, by the precision of what they test."""


def relu_kernel(images: np.ndarray, depth: int, sigma_w: float = 1.76, sigma_b: float = 0.18) -> np.ndarray:
    """NTK of a ReLU MLP in float64 from the arc-cosine recursion, written apart from the package's own."""
    x = images.reshape(len(images), -1).astype(np.float64) - 0.5
    w2, b2 = sigma_w**2, sigma_b**2
    sigma = w2 * (x @ x.T) / x.shape[1] + b2
    theta = sigma.copy()
    for _ in range(depth - 1):
        scale = np.sqrt(np.outer(np.diag(sigma), np.diag(sigma)))
        cosine = np.clip(sigma / scale, -1, 1)
        angle = np.arccos(cosine)
        derivative = (np.pi - angle) / (2 * np.pi)
        sigma = w2 * scale * (np.sin(angle) / (2 * np.pi) + cosine * derivative) + b2
        theta = sigma + w2 * theta * derivative
    return theta


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def digits_split():
    """A small split of digits: 120 opt, 60 val, 100 test images."""
    from advntk.testing.predictors import digits_split

    return digits_split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium. A machine without it fails: ``apt-get install chromium``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[[Path], Any]]:
    """Opens a file without a network, 1,400 pixels wide; errors and requests for anything outside it fail the test."""
    context, complaints = browser.new_context(viewport={"width": 1400, "height": 900}, offline=True), []

    def opened(path: Path) -> Any:
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        own = ("file:", "data:", "blob:")
        tab.on("request", lambda one: None if one.url.startswith(own) else complaints.append(one.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector("table.dataTable tbody td")
        return tab

    yield opened
    context.close()
    assert not complaints


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Problems of tests gain nothing from a second thread, and lose much when the cores are shared."""
    import numba
    import torch

    from advntk.foundation.threads import one_blas_thread

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    with one_blas_thread():
        yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])
