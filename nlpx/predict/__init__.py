"""Use a finished run: continue a text, translate, summarize, label, show attention.

`load` reads a run, and each class here uses the model of one kind of run:

    trained = predict.load("runs/translate/...")
    predict.Translator(trained)(["lundi 3 mai 2021"])
"""

from nlpx.predict.answers import Answered, Answerer, parse_question, test_answers
from nlpx.predict.batches import in_batches
from nlpx.predict.captions import Describer, test_captions
from nlpx.predict.forecasts import SeriesForecaster, forecast_lines, measure_forecasts, read_given
from nlpx.predict.gaps import MASK, GapFiller
from nlpx.predict.labels import Labeller
from nlpx.predict.language_models import LoadedLanguageModel, load_language_model
from nlpx.predict.lines import answer_lines, is_text, print_as_it_comes
from nlpx.predict.perplexity import Perplexity, text_perplexity
from nlpx.predict.rows import RowPredictor
from nlpx.predict.search import Search, Translated, check_beams
from nlpx.predict.summaries import test_summaries
from nlpx.predict.tags import EntityTagger, test_entities
from nlpx.predict.translation import Translator, test_translations
from nlpx.predict.writing import Writer
from nlpx.train.run import Trained, load

__all__ = [
    "MASK",
    "Answered",
    "Answerer",
    "Describer",
    "EntityTagger",
    "GapFiller",
    "Labeller",
    "LoadedLanguageModel",
    "Perplexity",
    "RowPredictor",
    "Search",
    "SeriesForecaster",
    "Trained",
    "Translated",
    "Translator",
    "Writer",
    "answer_lines",
    "check_beams",
    "forecast_lines",
    "in_batches",
    "is_text",
    "load",
    "load_language_model",
    "measure_forecasts",
    "parse_question",
    "print_as_it_comes",
    "read_given",
    "test_answers",
    "test_captions",
    "test_entities",
    "test_summaries",
    "test_translations",
    "text_perplexity",
]
