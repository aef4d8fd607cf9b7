"""What each figure shows and how it is read: for the page of results, and for Snakemake's report."""

CAPTIONS = {
    "curves": (
        "Robust and clean accuracy along the training of each method that trains in steps; the panel names the attack. "
        "Lines are means over seeds on training images (light), validation images (dashed; Adv-NTK learns ϖ from them) "
        "and test images (dark; they choose nothing), bands the range over seeds, triangles each seed's checkpoint "
        "best on val. Robust overfitting: past the triangle, robust accuracy still rises on training images and "
        "falls on test images."
    ),
    "depth": (
        "Clean and robust accuracy over the number of layers: means over seeds with 95% intervals over seeds and test "
        "images, points of one depth side by side. Of Adv-NTK the last step is shown, as in the paper. Overlapping "
        "bars do not rule out a difference, as methods share their test images: see the paired comparisons."
    ),
    "overfitting": (
        "Robust accuracy of networks along adversarial training, on some of the training images and on test images, "
        "means and ranges over seeds; a triangle marks each seed's checkpoint best on val. Above each panel: robust "
        "accuracy on all test images at that checkpoint minus that at the last update, with its 95% interval."
    ),
    "radius": (
        "Robust accuracy over the radius ε of the threat model, and clean accuracy of the same predictors (dotted): "
        "means over seeds with 95% intervals over seeds and test images. A method that trains for a radius is trained "
        "anew at each. Robust accuracy that rises with ε without retraining points to a weak attack."
    ),
    "strength": (
        "Robust accuracy of every fit over the strength of the attack: means over seeds with 95% intervals, clean "
        "accuracy dotted, the radius trained for dashed. Over the radius it should fall to zero, where a sweep ends; "
        "over steps and restarts it should level off, and where it does not the attack has not converged."
    ),
    "transfer": (
        "Percentage of images that each predictor (column) classifies correctly both clean and perturbed against each "
        "predictor (row); outlined: against itself (white-box); last row: clean images. Of each network, kernels "
        "(infinitely wide) stand before finite networks. A column with its lowest number off the outline belongs to a "
        "predictor that its own attack was too weak for."
    ),
}
THEORY = "What one experiment on the theory found; the page of the theory and the table of claims say what it means."


def caption(figure: str) -> str:
    """Of a figure of the workflow."""
    return CAPTIONS.get(figure, THEORY)
