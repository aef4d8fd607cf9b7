"""The kinds of predictor that every attack must handle, on a small part of digits."""

from __future__ import annotations

import pytest

from advntk.testing.predictors import PREDICTORS, Counting, predictor_of


@pytest.fixture(params=PREDICTORS)
def predictor(request):
    return Counting(predictor_of(request.param))


@pytest.fixture(scope="session")
def predictors():
    return {kind: predictor_of(kind) for kind in PREDICTORS}
