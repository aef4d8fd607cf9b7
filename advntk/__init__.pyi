# Types of what is imported when it is asked for.
from pathlib import Path

from advntk.estimators import AdversarialTrainingClassifier as AdversarialTrainingClassifier
from advntk.estimators import AdvNTKClassifier as AdvNTKClassifier
from advntk.estimators import EarlyStoppedNTKClassifier as EarlyStoppedNTKClassifier
from advntk.estimators import NTKClassifier as NTKClassifier
from advntk.estimators import RidgeNTKClassifier as RidgeNTKClassifier
from advntk.foundation.predictor import Predictor
from advntk.measuring.benchmark import benchmark as benchmark

__version__: str

def load(fit: str | Path, *, checkpoint: str | None = None) -> Predictor: ...
