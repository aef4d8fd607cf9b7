"""Adversarial training (AT) of a finite network in torch, with curves; last and best-on-val checkpoints."""

from __future__ import annotations

from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.errors import ConfigError
from advntk.foundation.predictor import Predictor
from advntk.learning.method import Fit, Method, Saved, Setting, Task


class Options(AdversarialTrainingOptions):
    """Options of AT: give the learning rate, or a fraction of the largest stable one; the other key is null."""


def fit(task: Task) -> Fit:
    """Train; val chooses the checkpoint ``best_val``, unless it is trained on itself; test is only logged.

    Returns:
        The fit; the choice of the recipe stands among the numbers about the training.

    Raises:
        ConfigError: the options list candidates, and none was chosen.
    """
    from advntk.learning.adversarial_training import STATE_FILE
    from advntk.learning.recipes import train

    if task.options.search:
        raise ConfigError(
            "the options list candidates, of which none was chosen",
            where="at",
            remedy="run the verb 'search' first and give its result as --choice",
        )
    result = train(task, task.options, task.workdir)
    names = ENTRY.checkpoints if task.images == "opt" else ("last",)
    kept = {name: result.checkpoints[name] for name in names}
    return Fit(
        checkpoints={name: {"step": checkpoint.step} for name, checkpoint in kept.items()},
        arrays={
            f"{name}.{parameter}": array
            for name, checkpoint in kept.items()
            for parameter, array in checkpoint.parameters.items()
        },
        curves=result.rows,
        states=tuple(sorted(task.workdir.glob(f"*{STATE_FILE}"))),
        training={
            "learning_rate": result.learning_rate,
            "hessian_lambda_max": result.hessian_top,
            **({"search": task.choice.facts()} if task.choice else {}),
        },
    )


def check(options: Options, setting: Setting) -> str | None:
    """Whether a batch fits into the training set, and whether there is such a network."""
    count, spec = setting.sizes.training(setting.images), setting.spec
    if options.batch > count:
        return f"batch {options.batch} is more than the {count} training images"
    forms = {options.network, *(one.network for one in options.candidates())}
    if "reference" in forms and spec.family == "resnet" and spec.activation != "relu":
        return f"the authors' ResNet has ReLU only, not {spec.activation}: set network: ntk"
    searched = [one.scaled(options.search_share) for one in options.candidates()]
    for recipe in (options, *searched):
        for make, chosen in recipe.technique_entries():
            problem: str | None = make.problem(chosen, steps=recipe.steps, epoch_steps=count // recipe.batch)
            if problem:
                return problem
    return None


def load(saved: Saved, checkpoint: str) -> Predictor:
    """The network of one checkpoint."""
    from advntk.ingredients.networks.finite_torch import build, load_arrays
    from advntk.learning.network_predictor import NetworkPredictor

    shape, classes, prefix = saved.split.input_shape, saved.split.classes, f"{checkpoint}."
    form = Options.model_validate(saved.options).network
    net = build(saved.spec, shape, classes, seed=saved.seed, form=form)
    load_arrays(net, {key.removeprefix(prefix): a for key, a in saved.arrays.items() if key.startswith(prefix)})
    return NetworkPredictor(net, input_shape=shape, classes=classes, device=saved.compute.device)


ENTRY = Method(
    options=Options,
    kind="network",
    depends_on_radius=True,
    checkpoints=("best_val", "last"),
    trains_in_steps=True,
    fit=fit,
    load=load,
    reference_images="all",
    check=check,
    description="finite network trained on PGD examples (adversarial training)",
)
