"""
A first Adv-NTK
===============

An infinitely wide network is a kernel machine. Trained for ever, it solves a linear system with the neural tangent
kernel (NTK) of the training images. Adv-NTK puts a diagonal matrix into the training dynamics, one number for each
training image, and learns it by attacking held-out images. This page trains both on 400 digits and attacks them.
"""

from sklearn.datasets import load_digits

from advntk import AdvNTKClassifier, NTKClassifier

# %%
# Images are arrays (n, H, W, C) with values in [0, 1].

images, labels = load_digits(return_X_y=True)
images = (images / 16).reshape(-1, 8, 8, 1)
train, test = (images[:400], labels[:400]), (images[1000:1300], labels[1000:1300])

# %%
# Both are scikit-learn classifiers of an infinitely wide MLP with three layers. Radii are in 1/255 of the range of
# values. Adv-NTK holds a fifth of the images out, and learns its diagonal by attacking them.

ntk = NTKClassifier(depth=3).fit(*train)
adv_ntk = AdvNTKClassifier(depth=3, eps255=16, steps=20).fit(*train)

# %%
# Robust accuracy is the share of test images that are classified correctly both unperturbed and under an attack, here
# PGD-10 on the margin. It is an upper bound, because a stronger attack may find more: ``attack="autoattack"`` is the
# strongest of the suite.

for classifier in (ntk, adv_ntk):
    clean, robust = classifier.score(*test), classifier.robust_score(*test, eps255=16)
    print(f"{type(classifier).__name__}: clean {clean:.1%}, robust {robust:.1%}")

# %%
# On clean labels and this little data the two are close. Where they differ, and by how much with which confidence, is
# measured on several seeds and larger datasets: :doc:`/docs/results`. The other classifiers, and attacks on models of
# your own: :doc:`/docs/library`.
