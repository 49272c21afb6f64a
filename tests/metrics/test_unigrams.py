import math

import numpy as np
import pytest

from nlpx import metrics
from nlpx.errors import InputError


def test_entropy_and_the_commonest():
    found = metrics.unigrams(np.array([7, 3, 7, 9]))
    assert found == {"loss": pytest.approx(1.5 * math.log(2)), "accuracy": 0.5}
    assert metrics.unigrams(np.array([4]))["loss"] == 0
    with pytest.raises(InputError, match="there is no token to predict"):
        metrics.unigrams(np.array([], np.int32))
