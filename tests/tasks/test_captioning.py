import numpy as np

from nlpx.config import CaptionerConfig
from nlpx.tasks import Captioning


def test_columns_are_pictures_and_captions_with_their_ends():
    model = CaptionerConfig("gru", layers=1, width=8).build(5, shape=(4, 4, 1))
    pictures = np.arange(32).reshape(2, 4, 4, 1).astype(np.uint8)
    columns = Captioning(model).columns(source=pictures, target=[np.array([3, 1]), np.array([4])])
    assert columns["source"] is pictures
    assert [ids.tolist() for ids in columns["target"]] == [[5, 3, 1, 6], [5, 4, 6]]
