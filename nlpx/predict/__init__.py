"""A finished run used: continue a text, translate, sum up, label, see what attention looked at.

trained = predict.load("runs/translate/...")
predict.Translator(trained)(["lundi 3 mai 2021"])
"""

from nlpx.predict.batches import in_batches
from nlpx.predict.labels import Labeller
from nlpx.predict.lines import answer_lines, is_text, print_as_it_comes
from nlpx.predict.summaries import test_summaries
from nlpx.predict.translation import Translated, Translator, check_beams, test_translations
from nlpx.predict.writing import Writer
from nlpx.train.run import Trained, load

__all__ = [
    "Labeller",
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
    "test_summaries",
    "test_translations",
]
