"""
Robust overfitting
==================

Adversarial training (AT) overfits: past some point its accuracy under attack still rises on training images and falls
on test images. Infinitely wide networks do the same if they are trained for ever (t = ∞). This page shows both.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from advntk import AdversarialTrainingClassifier, EarlyStoppedNTKClassifier, NTKClassifier

# %%
# Digits are easy, so a fifth of the training labels is replaced by wrong ones. Test labels are right.

random = np.random.default_rng(0)
images, labels = load_digits(return_X_y=True)
order = random.permutation(len(images))
images, labels = (images[order] / 16).reshape(-1, 8, 8, 1), labels[order]
train, test = (images[:400], labels[:400].copy()), (images[1000:1300], labels[1000:1300])
wrong = random.random(400) < 0.2
train[1][wrong] = (train[1][wrong] + random.integers(1, 10, wrong.sum())) % 10


def robust(classifier):
    """Robust accuracy on training and test images, in percent: PGD-10 on the margin, ε = 16/255."""
    return [100 * classifier.robust_score(*part, eps255=16) for part in (train, test)]


# %%
# Infinitely wide networks
# ------------------------
#
# Trained for ever, the network fits the wrong labels too. Early stopping picks the time at which held-out images are
# most robust.

at_infinity = robust(NTKClassifier().fit(*train))
early_stopped = robust(EarlyStoppedNTKClassifier(eps255=16).fit(*train))

# %%
# The fits print their progress. What they give:

print("robust accuracy, %      train   test")
print("NTK, t = ∞            {:7.1f}{:7.1f}".format(*at_infinity))
print("early-stopped NTK     {:7.1f}{:7.1f}".format(*early_stopped))

# %%
# Adversarial training
# --------------------
#
# A finite network, trained anew for each number of updates and measured after the last one. (``checkpoint="best_val"``,
# the default, would take the weights that are most robust on held-out images.)

updates = [60, 200, 600]
settings = {"eps255": 16, "width": 128, "batch": 64, "learning_rate": 0.2, "checkpoint": "last"}
settings["attack"] = {"steps": 5, "step_ratio": 0.3}
trained = [
    robust(AdversarialTrainingClassifier(steps=steps, report_every=steps, **settings).fit(*train)) for steps in updates
]

# %%

for steps, accuracies in zip(updates, trained, strict=True):
    print("AT, {:4d} updates      {:7.1f}{:7.1f}".format(steps, *accuracies))

# %%
# Both in one figure
# ------------------

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for column, (name, colour) in enumerate([("training images", "C1"), ("test images", "C0")]):
    axes.plot(updates, [row[column] for row in trained], "o-", color=colour, label=f"AT, {name}")
axes.axhline(early_stopped[1], color="C0", linestyle="--", label="early-stopped NTK, test images")
axes.axhline(at_infinity[1], color="C0", linestyle=":", label="NTK at t = ∞, test images")
axes.set(xscale="log", xlabel="updates of AT", ylabel="robust accuracy, %", ylim=(0, 100))
axes.set_xticks(updates, labels=updates)
axes.minorticks_off()
axes.legend()

# %%
# On training images AT keeps improving; on test images it is best in between. The NTK at t = ∞ has fitted nearly every
# training label, the wrong ones too, and is less robust on test images than the NTK that was stopped early. One seed of
# 400 images proves nothing: :doc:`/docs/results` has several seeds with intervals, and :doc:`/docs/theory` measures
# what the theory says about it.
