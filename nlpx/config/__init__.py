"""All settings, as frozen dataclasses: plain data that imports nothing heavy.

Each setting is declared once, with its default, its range and its help text (the docstring under it), and travels
inside its dataclass: `config.build(...)` makes the module. On the command line each setting is a flag.
"""

from nlpx.config.accelerator import AcceleratorConfig
from nlpx.config.backbone import (
    MODELS,
    RECURRENT,
    STATE_READING,
    TRANSFORMER,
    BackboneConfig,
    EmbeddingConfig,
    ModelConfig,
)
from nlpx.config.data import (
    CorpusConfig,
    DataConfig,
    DocumentsConfig,
    ExamplesConfig,
    SentencesConfig,
    SeriesConfig,
    TableConfig,
    TextConfig,
    TokenConfig,
)
from nlpx.config.models import (
    CaptionerConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    FeedForwardConfig,
    ForecasterConfig,
    LanguageModelConfig,
    MaskedLanguageModelConfig,
    PretrainConfig,
    ReaderConfig,
    TaggerConfig,
)
from nlpx.config.settings import OWN, Settings, from_dict, read_config, setting, settings_of, training_settings
from nlpx.config.train import TrainConfig
from nlpx.config.use import AnswerConfig, GenerateConfig, PredictConfig, SearchConfig, SummaryConfig, WritingConfig

__all__ = [
    "MODELS",
    "OWN",
    "RECURRENT",
    "STATE_READING",
    "TRANSFORMER",
    "AcceleratorConfig",
    "AnswerConfig",
    "BackboneConfig",
    "CaptionerConfig",
    "ClassifierConfig",
    "CorpusConfig",
    "DataConfig",
    "DocumentsConfig",
    "EmbeddingConfig",
    "EncoderDecoderConfig",
    "ExamplesConfig",
    "FeedForwardConfig",
    "ForecasterConfig",
    "GenerateConfig",
    "LanguageModelConfig",
    "MaskedLanguageModelConfig",
    "ModelConfig",
    "PredictConfig",
    "PretrainConfig",
    "ReaderConfig",
    "SearchConfig",
    "SentencesConfig",
    "SeriesConfig",
    "Settings",
    "SummaryConfig",
    "TableConfig",
    "TaggerConfig",
    "TextConfig",
    "TokenConfig",
    "TrainConfig",
    "WritingConfig",
    "from_dict",
    "read_config",
    "setting",
    "settings_of",
    "training_settings",
]
