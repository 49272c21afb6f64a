"""`tfds:NAME[/CONFIG]`: text sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import difflib
import importlib
import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nlpx.data.corrupt import corrupt_records
from nlpx.data.splits import split_documents
from nlpx.errors import InputError, needs

_NAME = re.compile(r"(\w+)(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")
_VALIDATION_SPLITS = ("validation", "valid", "dev", "test")
_END = "\n\n"


def load(argument: str, validation_fraction: float) -> tuple[str, str]:
    """Read the training and validation text of a set, with a blank line after each document.

    If the set has its own `train` and `validation` (or `test`), these are the parts; otherwise all its documents are
    cut into two parts. The documents are the values of the feature `text`, or of the only string feature. Bytes that
    are not UTF-8 become U+FFFD. Sets lie where TFDS keeps them: in TFDS_DATA_DIR, or else in ~/tensorflow_datasets; a
    set that is not there is downloaded.

    Raises:
      InputError: there is no such set or configuration, it cannot be downloaded or prepared, or it has no such feature.
    """
    train, validation = _parts(argument, validation_fraction, _END)
    return "".join(train), "".join(validation)


def load_documents(argument: str, validation_fraction: float) -> tuple[list[str], list[str]]:
    """Read the same as documents, each the text of an example; parts and errors as in `load`."""
    return _parts(argument, validation_fraction, "")


def _parts(argument: str, validation_fraction: float, end: str) -> tuple[list[str], list[str]]:
    splits = {
        name: [value + end for (value,) in rows]
        for name, rows in read(argument, lambda builder: (text_feature(argument, builder.info.features),)).items()
    }
    validation = next((name for name in _VALIDATION_SPLITS if name in splits), None)
    if "train" in splits and validation:
        return splits["train"], splits[validation]
    return split_documents([document for part in splits.values() for document in part], validation_fraction)


def read(
    argument: str, choose: Callable[[Any], tuple[str, ...]], convert: Callable[[Any], Any] | None = None
) -> dict[str, list[tuple[Any, ...]]]:
    """Read features of every example, by split; splits without examples are left out.

    Args:
      argument: NAME[/CONFIG][:VERSION].
      choose: takes the builder and returns the names of the features to read; called before anything is downloaded.
      convert: converts a feature's value; None means `as_text`.

    Raises:
      InputError: as in `load`.
    """
    match = _NAME.fullmatch(argument)
    if not match:
        raise InputError(f"tfds:{argument} is no name of a data set; write tfds:NAME or tfds:NAME/CONFIG")
    with _quiet():
        tfds = _library()
        builder = _builder(tfds, argument, match[1])
        features = choose(builder)  # before a download of gigabytes, not after
        _prepare(tfds, argument, builder)
        splits = {
            name: _rows(builder, argument, name, features, convert or as_text)
            for name, info in builder.info.splits.items()
            if info.num_examples
        }
    if not splits:
        raise InputError(f"tfds:{argument} holds no example; choose another set")
    return splits


def _library() -> Any:
    with needs("tfds:"):
        import tensorflow_datasets as tfds
    # Sets register when their module is imported. The library's own import of all modules stops at the first one with
    # a missing package, before it reaches those with text.
    for module in ("text", "translate", "summarization", "structured", "question_answering", "object_detection"):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"tensorflow_datasets.{module}")
    return tfds


def _builder(tfds: Any, argument: str, name: str) -> Any:
    try:
        # The one format that can be read without TensorFlow.
        return tfds.builder(argument, file_format="array_record")
    except tfds.core.registered.DatasetNotFoundError as error:
        close = difflib.get_close_matches(name, tfds.core.registered.list_imported_builders(), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else "see www.tensorflow.org/datasets for the names"
        raise InputError(f"unknown data set tfds:{argument}; {hint}") from error
    except Exception as error:  # a builder may raise anything; the user only needs to know that the set is unavailable
        raise InputError(f"tfds:{argument} cannot be opened: {_line(error)}") from error


def _prepare(tfds: Any, argument: str, builder: Any) -> None:
    from tensorflow_datasets.core.download import downloader

    retries = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 0  # without network, ten retries with growing pauses take 200 s
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise InputError(
            f"tfds:{argument} cannot be downloaded or prepared here: {_line(error)}; prepare it where there is "
            "network (and TensorFlow, if the set asks for it), point TFDS_DATA_DIR to it, or use file:PATH"
        ) from error
    finally:
        downloader.MAX_RETRIES = retries


def text_feature(argument: str, features: Any) -> str:
    """Return the name of the feature `text`, or else of the only string feature.

    Raises:
      InputError: there is neither.
    """
    strings = string_features(argument, features)
    if "text" in strings:
        return "text"
    if len(strings) != 1:
        raise InputError(
            f"tfds:{argument} has no feature 'text' and {len(strings)} string features among its features "
            f"{', '.join(sorted(features))}; choose a set with one text"
        )
    return strings[0]


def string_features(argument: str, features: Any) -> list[str]:
    """Return the names of the features that are a single string.

    Raises:
      InputError: the features have no names.
    """
    if not hasattr(features, "items"):  # a FeaturesDict is not a Mapping
        raise InputError(f"tfds:{argument} has no named features; it cannot be used as text")
    return [name for name, feature in features.items() if _is_string(feature)]


def _is_string(feature: Any) -> bool:
    info = feature.get_tensor_info()
    # A nested feature has a dict of these. `dtype` would need TensorFlow; `np_dtype` does not.
    dtype = getattr(info, "np_dtype", None)
    return dtype is not None and info.shape == () and np.dtype(dtype).kind in "OSU"


def _rows(
    builder: Any, argument: str, split: str, features: tuple[str, ...], convert: Callable[[Any], Any]
) -> list[tuple[Any, ...]]:
    @contextlib.contextmanager
    def reading(what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise InputError(
                f"tfds:{argument}{what} cannot be read: {_line(error)}; delete {builder.data_dir} to prepare it again"
            ) from error

    rows = []
    with reading(""):
        source = builder.as_data_source(split)
    for number in range(len(source)):
        with corrupt_records(), reading(f", {split} {number},"):
            example = source[number]
            rows.append(tuple(convert(example[name]) for name in features))
    return rows


def as_text(value: Any) -> str:
    """Convert a string feature's value, which TFDS gives as bytes; bytes that are not UTF-8 become U+FFFD."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the library prints and logs; a terminal still shows the progress bars of a long download."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if not sys.stderr.isatty():
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.disable(before)
