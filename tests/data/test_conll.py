import gzip

import pytest

from nlpx.data.conll import read
from nlpx.errors import InputError

PLAIN = "EU NNP B-ORG\nrejects VBZ O\n\nGermany NNP B-LOC\n's POS O\n"
SENTENCES = [("EU rejects", "B-ORG O"), ("Germany 's", "B-LOC O")]


@pytest.fixture
def write(tmp_path):
    def written(content, name="t.conll"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path / name)

    return written


@pytest.mark.parametrize("content", [
    PLAIN,
    PLAIN.rstrip("\n"),
    PLAIN.replace("\n", "\r\n"),
    "\ufeff" + PLAIN,
    PLAIN.replace(" ", "\t"),
    PLAIN.replace(" ", "   "),
    PLAIN.replace("\n\n", "\n\t\n \n\n"),  # WNUT's lone tab
    f"-DOCSTART- -X- O\n\n{PLAIN}",
    PLAIN.replace("\n\n", "\n-DOCSTART- -X- O\n"),
], ids=range(9))  # fmt: skip
def test_what_files_differ_in_makes_no_difference(content, write):
    assert read(write(content)) == SENTENCES


def test_columns_are_chosen_by_number_and_gz_is_read(write):
    assert read(write(gzip.compress(PLAIN.encode()), "t.gz")) == SENTENCES
    turned = "B-ORG _ EU\nO _ rejects\n\nB-LOC _ Germany\nO _ 's"
    assert read(f"{write(turned)}:3,1") == SENTENCES


def test_other_schemes_become_iob2_and_white_space_in_a_word_an_underscore(write):
    assert read(write("New York\tI-LOC\nis\tO\n\u00a0\tO\n")) == [("New_York is _", "B-LOC O O")]
    with pytest.raises(InputError, match="line 1: I-LOC cannot begin a sentence in IOB2"):
        read(write("Rome\tI-LOC\n"), "iob2")


@pytest.mark.parametrize(("content", "named"), [
    ("", "is empty; give a file"),
    ("\n \n", "holds no sentence"),
    ("a O\nb\n", "line 2: 1 column, but 2 in the first row; give every row the same number"),
    ("a\nb\n", "line 1: 1 column, but a word and its tag need two"),
    ("a O\n\nb I-x O\n", "line 3: 3 columns, but 2"),
    ("a\tO\nb\t\n", "line 2: the tag is empty"),
    ("\tO\n", "line 1: the word is empty"),
    ("a\tB-x I-x\n", "line 1: white space in the tag 'B-x I-x'; part the columns by tabs"),
    ("a O\nb X\n", "line 2: the tag 'X' is neither O nor PREFIX-TYPE"),
    ("a O\nb B-x\n\nc I-x\nd B-y\n", "line 4: I-x cannot begin a sentence in IOB2; .*line 2: B-x cannot follow O in"),
    (b"a O\n\xff O\n", "is not UTF-8"),
])  # fmt: skip
def test_what_is_malformed_is_named_with_its_line(content, named, write):
    with pytest.raises(InputError, match=named):
        read(write(content))


@pytest.mark.parametrize(("suffix", "named"), [
    (":1,4", "line 1: 3 columns, but word and tag are sought in 1 and 4"),
    (":0,1", "columns 0,1 of .* cannot be word and tag"),
    (":2,2", "cannot be word and tag"),
    (",other", "is not one file"),
    (f":{'9' * 5000},1", "is not one file"),
])  # fmt: skip
def test_columns_that_are_not_there_are_named(suffix, named, write):
    with pytest.raises(InputError, match=named):
        read(write(PLAIN) + suffix)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read(str(tmp_path))
