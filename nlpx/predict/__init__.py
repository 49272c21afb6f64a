"""A finished run used: continue a text, translate, label, see what attention looked at.

trained = predict.load("runs/translate/...")
predict.Translator(trained)(["lundi 3 mai 2021"])
"""

from nlpx.predict.batches import in_batches
from nlpx.predict.captions import Describer, test_captions
from nlpx.predict.labels import Labeller
from nlpx.predict.lines import answer_lines, is_text, print_as_it_comes
from nlpx.predict.search import Search, Translated, check_beams
from nlpx.predict.translation import Translator, test_translations
from nlpx.predict.writing import Writer
from nlpx.train.run import Trained, load

__all__ = [
    "Describer",
    "Labeller",
    "Search",
    "Trained",
    "Translated",
    "Translator",
    "Writer",
    "answer_lines",
    "check_beams",
    "in_batches",
    "is_text",
    "load",
    "print_as_it_comes",
    "test_captions",
    "test_translations",
]
