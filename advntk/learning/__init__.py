"""Floor 3: kernel predictors, Adv-NTK, adversarial training."""
