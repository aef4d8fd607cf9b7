"""Options of each benchmark, declared once; the command line is built from them.

A model's docstring is the benchmark's help, its first line the summary. Only pydantic is imported here: the command
line is read before the number of threads is set, and libraries must be imported after that.
"""

from __future__ import annotations

import argparse
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from advntk.foundation import threads
from advntk.foundation.options import Closed, Engine

Device = Literal["cpu", "gpu"]
Family = Literal["mlp", "cnn", "resnet"]
Images = Annotated[int, Field(ge=20)]
Sizes = Annotated[
    tuple[Images, ...],
    BeforeValidator(lambda given: [part for part in given.split(",") if part] if isinstance(given, str) else given),
]
_SIDE = "side of the images, pixels"


class Measured(Closed):
    """Options that every measurement has."""

    repeats: int = Field(default=3, ge=1, description="timed runs of each form")
    seed: int = Field(default=0, ge=0, description="of images, labels and matrices")
    threads: int = Field(default_factory=threads.available, ge=1, description="threads (default: all cores)")

    def problem(self) -> dict[str, Any]:
        """Options that say what is measured, as the result names them."""
        return self.model_dump(exclude={*Measured.model_fields, "device", "no_reference"})


class OnAnyDevice(Measured):
    """Options of a measurement that can run on a GPU."""

    device: Device = Field(default="cpu", description="where to compute")


class Solver(OnAnyDevice):
    """P(D) and its gradient, block Krylov against the dense float32 form.

    P(D) = Θ⁻¹(I − e^{−ΘD})Y and its gradient by D, once each, by block Krylov (ours) and by dense float32 expm and
    inverse in JAX with autodiff through both (the reference form). Up to n = 3,000 both are compared with one
    eigendecomposition in float64 of the same float32 Θ. Θ is the MLP kernel of seeded smooth images; D is |N(0,1)| with
    5% zeros, scaled so that λmax(D^½ΘD^½) is as given; Y is one-hot with ten classes; G is normal.

      python -m benchmarks solver --n 1000                  # half a minute
      python -m benchmarks solver --n 10000 --no-reference  # the reference form would take hours
    """

    n: Images = Field(default=3000, description="images")
    lambda_max: float = Field(default=600.0, gt=0, description="λmax(D^½ΘD^½)")
    depth: int = Field(default=5, ge=1, description="of the MLP")
    size: int = Field(default=28, ge=1, description=_SIDE)
    no_reference: bool = Field(default=False, description="leave the reference form out; its results are null")


class OfNetwork(OnAnyDevice):
    """Options of a measurement on networks of any family."""

    family: Family = Field(default="mlp", description="of the network")
    depth: int = Field(default=5, ge=1, description="of the network")
    size: int | None = Field(default=None, ge=1, description=f"{_SIDE} (default: mlp 28, grey; others 32, colour)")


class Pgd(OfNetwork):
    """One PGD-10 attack on 128 images, our kernel engine against jitted neural-tangents.

    The attack (ℓ∞, ε = 8/255, steps of 1.6/255, squared error) is on f(x) = Θ(x, X)P. Ours is the attack and the
    kernel engine that training uses. The reference form is neural-tangents in float32, jitted: at each step a
    prediction, then a gradient. Both start at the same random points. Compilations are counted in the timed runs and
    over further batches of 128, 128 and 37 images.

      python -m benchmarks pgd --family cnn --depth 3 --n 400 --json
      python -m benchmarks pgd --family resnet --depth 18 --size 8 --n 64
    """

    n: Images = Field(default=4000, description="training images")
    engine: Engine = Field(default="auto", description="our kernel engine; auto: as in training")
    memory_mb: float = Field(default=2000.0, gt=0, description="bound of our temporaries, MiB")


class Gram(OfNetwork):
    """The finished Gram matrix, our kernel engine against jitted neural-tangents.

    Microseconds for each of the n·n entries. Ours computes the upper triangle and mirrors it. The reference form is
    neural-tangents in float32, jitted, on the full square in tiles that fit memory. Both are compared on a few images
    with neural-tangents in float64.

      python -m benchmarks gram --family cnn --depth 3 --n 256 --json
      python -m benchmarks gram --family cnn --depth 5 --n 4000 --device gpu
    """

    n: Images | None = Field(default=None, description="images (default: mlp 2000, cnn 256, resnet 64)")


class At(OfNetwork):
    """An update of adversarial training against the arithmetic that it cannot do without.

    The floor of an update of a finite network is its floating-point operations (each step of PGD-10: forward and
    gradient by the images; then forward and gradient by the weights) at the speed of a large float32 product.

      python -m benchmarks at                               # MLP of depth 5, width 512: seconds
      python -m benchmarks at --family cnn --depth 5 --width 256 --size 32 --device gpu
    """

    width: int = Field(default=512, ge=1, description="units or channels")
    batch: int = Field(default=128, ge=1, description="images an update")
    steps: int = Field(default=20, ge=1, description="timed updates")
    size: int = Field(default=28, ge=1, description=_SIDE)


class Scaling(Measured):
    """Time and memory of one Adv-NTK training step over n, in both forms.

    A step solves for P(D), attacks 128 images with PGD-10 and takes the gradient by D, by our form and by the
    reference form (dense float32 expm, inverse and autodiff, jitted neural-tangents), on seeded smooth images and an
    MLP. D is |N(0,1)| with 5% zeros, scaled to the λmax(D^½ΘD^½) of half a training: 1,100 at n = 10,000, and growing
    as √n. Each n runs in processes of its own; memory is the peak of anonymous memory beyond what a process holds after
    imports and warm-up. (Ours maps Θ from its file; the reference form holds it.)

      python -m benchmarks scaling --sizes 500,1000 --reference-sizes 500
      python -m benchmarks scaling --out docs/figures/scaling    # writes .json, .svg and .png; minutes
      python -m benchmarks scaling --from docs/figures/scaling.json --out docs/figures/scaling    # draws it again
    """

    sizes: Sizes = Field(default=(1000, 2000, 5000, 10000, 20000), description="n of our form")
    reference_sizes: Sizes = Field(default=(1000, 2000, 3000), description="n of the reference form; '' for none")
    depth: int = Field(default=5, ge=1, description="of the MLP")
    size: int = Field(default=28, ge=1, description=_SIDE)
    out: Path | None = Field(default=None, description="write .json, .svg and .png of this name")
    source: Path | None = Field(default=None, alias="from", description="draw from this json; measure nothing")


class Page(Closed):
    """Write goals and results into a page, from the results of the other benchmarks and of real fits.

    A FILE is the JSON result of a benchmark: its measures and goals go between '<!-- bench:begin -->' and
    '<!-- bench:end -->' (bench-gpu if it was measured on a GPU). Or it is a folder with gram.json and fit.json of an
    Adv-NTK fit, and perhaps record.json of its evaluation: its times go between '<!-- runs:begin -->' and
    '<!-- runs:end -->', extrapolated to 50 steps if fewer were timed. The rest of the page stays as it is.

      python -m benchmarks page results/reference/bench/*.json docs/figures/scaling.json --into docs/performance.md
      python -m benchmarks page results/reference/bench/gpu/*.json --into docs/performance.md
    """

    files: list[Path] = Field(description="results of benchmarks (JSON) or folders of fits")
    into: Path = Field(description="page with the markers")


BENCHMARKS: dict[str, type[Measured] | type[Page]] = {
    model.__name__.lower(): model for model in (Solver, Pgd, Gram, Scaling, At, Page)
}


def parser() -> argparse.ArgumentParser:
    """The command line: one flag a field. Values stay text and options that are not given are left to the models."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure speed, accuracy and memory against the reference form of the same computation.",
        epilog="Each name has a help of its own: python -m benchmarks NAME --help. Results: docs/performance.md",
    )
    names = top.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, model in BENCHMARKS.items():
        about = getdoc(model) or ""
        form = argparse.RawDescriptionHelpFormatter
        sub = names.add_parser(name, help=about.partition(".\n")[0], description=about, formatter_class=form)
        for key, field in sorted(model.model_fields.items(), key=lambda item: item[0] in OnAnyDevice.model_fields):
            _add_option(sub, field.alias or key, field)
        sub.add_argument("--json", action="store_true", help="print one JSON object, alone on standard output")
    return top


def _add_option(sub: argparse.ArgumentParser, key: str, field: FieldInfo) -> None:
    flag, about, default = f"--{key.replace('_', '-')}", field.description or "", field.default
    if get_origin(field.annotation) is list:
        sub.add_argument(key, nargs="+", metavar="FILE", help=about)
    elif field.annotation is bool:
        sub.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=about)
    else:
        if default not in (None, PydanticUndefined):
            about += f" (default: {','.join(map(str, default)) if isinstance(default, tuple) else default})"
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        metavar = f"{{{','.join(choices)}}}" if choices else key.upper()
        required = field.is_required()
        sub.add_argument(flag, metavar=metavar, required=required, default=argparse.SUPPRESS, help=about)
