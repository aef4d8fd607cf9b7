"""The arithmetic floor of an update counted by hand, and the bench's keys."""

import argparse

import pytest
import torch

from advntk.bench import at


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    at.add_arguments(parser)
    args = parser.parse_args(given)
    args.repeats, args.seed, args.threads, args.device = 1, 0, 1, "cpu"
    return args


@pytest.mark.parametrize(
    ("family", "width", "first", "second"),
    [("mlp", 7, 2 * 16 * 7, 2 * 7 * 10), ("cnn", 6, 2 * 16 * 9 * 6, 2 * 16 * 6 * 10)],
)
def test_operations_of_an_update(family, width, first, second):
    depth = {"mlp": 2, "cnn": 1}[family]
    args = arguments(f"--family={family}", f"--depth={depth}", f"--width={width}", "--batch=3", "--size=4")
    training = at._training(args)
    steps = training.options.attack.steps
    # each attack step goes forward and back to the images; the update goes back to the weights, not to the images
    assert at.flops_of_update(training) == 3 * ((2 * steps + 3) * (first + second) - first)


def test_result():
    threads = torch.get_num_threads()
    result = at.run(arguments("--depth=2", "--width=8", "--batch=4", "--steps=2", "--size=4"))
    torch.set_num_threads(threads)
    assert at.WORDS.keys() <= result.keys()
    assert sum(result[f"{phase}_share"] for phase in ("attack", "update", "evaluation")) == pytest.approx(1)
    assert result["fraction_of_floor"] == pytest.approx(result["floor_ms"] / result["step_ms"])
    assert result["images_per_s"] == pytest.approx(4000 / result["step_ms"])
