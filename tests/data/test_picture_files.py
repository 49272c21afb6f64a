import subprocess

import numpy as np
import pytest

from nlpx.data.picture_files import is_picture, open_picture, read_table, write_examples
from nlpx.errors import InputError

Image = pytest.importorskip("PIL.Image")


def save(path, pixels, **options):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
    return path


def test_a_picture_of_the_right_size_is_read_as_it_is(tmp_path):
    pixels = np.arange(64).reshape(8, 8)
    path = save(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(open_picture(path, 8, 1)[..., 0], pixels)
    assert open_picture(path, 8, 3).shape == (8, 8, 3)


def test_proportions_stay(tmp_path):
    picture = open_picture(save(tmp_path / "wide.png", np.full((4, 8), 255)), 16, 1)[..., 0]
    assert (picture[:4] == 128).all()
    assert (picture[4:12] == 255).all()
    assert (picture[12:] == 128).all()


def test_colors_sixteen_bits_and_what_is_transparent(tmp_path):
    red = np.zeros((2, 2, 4))
    red[0] = (255, 0, 0, 255)  # below it nothing: transparent black
    picture = open_picture(save(tmp_path / "a.png", red), 2, 3)
    assert picture.tolist() == [[[255, 0, 0]] * 2, [[255, 255, 255]] * 2]
    Image.fromarray(np.array([[0, 65535], [257, 25700]], np.uint16)).save(tmp_path / "deep.png")
    assert open_picture(tmp_path / "deep.png", 2, 1)[..., 0].tolist() == [[0, 255], [1, 100]]


def test_a_jpeg_is_turned_as_its_camera_was(tmp_path):
    pixels = np.zeros((16, 16))
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = open_picture(save(tmp_path / "a.jpg", pixels, exif=exif), 16, 1)
    assert turned[:7].max() < 30
    assert turned[9:].min() > 220


def test_what_is_a_picture(tmp_path):
    save(tmp_path / "bare.png", np.zeros((2, 2))).rename(tmp_path / "bare")
    (tmp_path / "list.txt").write_text("a.png\n")
    assert is_picture("nowhere.JPG")
    assert is_picture(str(tmp_path / "bare"))
    assert not is_picture(str(tmp_path / "list.txt"))
    assert not is_picture("nowhere")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.png", "cannot open .*nowhere.png: No such file or directory; give the path of a PNG or JPEG"),
        ("text.png", "cannot open .*text.png: no picture, or a damaged one"),
        ("half.png", "cannot open .*half.png: no picture, or a damaged one"),
        (".", "is a folder: name a picture"),
        ("script.png", "cannot open .*script.png: no picture, or a damaged one"),
        ("large.png", "large.png has over 67,108,864 pixels: scale it down first"),
    ],
)
def test_what_does_not_open_is_named(tmp_path, monkeypatch, name, message):
    (tmp_path / "text.png").write_text("no picture")
    whole = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64))).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "large.png").write_bytes(b"P6 9000 9000 255 ")
    save(tmp_path / "script.png", np.zeros((8, 8)), format="EPS")
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)  # Pillow would run Ghostscript
    with pytest.raises(InputError, match=message):
        open_picture(tmp_path / name, 8, 1)
    assert is_picture(str((tmp_path / "script.png").rename(tmp_path / "script"))) is False


@pytest.fixture
def table(tmp_path):
    for number in range(12):
        save(tmp_path / f"{number}.png", np.full((4, 4), number))

    def write(*lines):
        path = tmp_path / "captions.tsv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(path)

    return write


def test_a_table_with_a_header_blank_lines_and_several_captions(table):
    path = table("image\tcaption", "3.png\ta three", "", "5.png\ta five", "3.png\tthree \tagain")
    pictures, examples, bad = read_table(path, 4, 1)
    assert [picture.flat[0] for picture in pictures] == [3, 5]
    assert examples == [(0, "a three"), (1, "a five"), (0, "three \tagain")]
    assert bad == 0


def test_what_is_written_is_read(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3)).astype(np.uint8)
    write_examples(tmp_path / "new", pictures, ["a", "b", "c"])
    read, examples, _ = read_table(str(tmp_path / "new" / "captions.tsv"), 8, 3)
    np.testing.assert_array_equal(np.stack(read), pictures)
    assert examples == [(0, "a"), (1, "b"), (2, "c")]


def test_one_that_does_not_open_counts_once_and_loses_its_captions(table, corrupt):
    path = table(*(f"{number}.png\t{number}" for number in range(12)), "gone.png\tgone", "gone.png\tstill gone")
    said = corrupt(1)
    pictures, examples, bad = read_table(path, 4, 1)
    assert (len(pictures), len(examples), bad) == (12, 12, 2)
    (line,) = said
    assert line.startswith("left out, corrupt: cannot open ")
    assert "gone.png: No such file" in line
    with pytest.raises(InputError, match=r"no picture of .* opens; mend the paths"):
        corrupt(1), read_table(table("gone.png\tgone"), 4, 1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "captions.tsv is empty"),
        (("image\tcaption",), "holds no picture; write a path, a tab and a caption on each line"),
        (("1.png\tone", "2.png two"), "line 2: write the path of a picture, a tab, and its caption"),
        (("1.png\t",), "line 1: write the path"),
        (("1.png\tone", "gone.png\tgone"), "cannot open .*gone.png: No such file or directory"),
    ],
)
def test_a_table_that_will_not_do_is_named(table, lines, message):
    with pytest.raises(InputError, match=message):
        read_table(table(*lines), 4, 1)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(InputError, match="is a folder; name the table"):
        read_table(str(tmp_path), 4, 1)
