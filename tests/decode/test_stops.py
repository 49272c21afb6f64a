import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.decode import check_stops, cut_at_stop, settled
from nlpx.errors import InputError

letters = st.text("ab\n", max_size=12)
stops = st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3)


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one\n\ntwo\n\nthree", ["\n\n"], ("one", True)),
        ("a stop here", ["here", "stop"], ("a ", True)),
        ("xabcd", ["bcd", "abc"], ("x", True)),  # what ends first, not what begins first
        ("xabc", ["bc", "abc"], ("x", True)),  # of those that end together the longest
        ("nothing", ["else"], ("nothing", False)),
        ("nothing", [], ("nothing", False)),
        ("now", ["now"], ("", True)),
    ],
)
def test_a_text_is_cut_where_a_stop_string_first_ends(text, stops, expected):
    assert cut_at_stop(text, stops) == expected


@given(letters, stops)
def test_a_text_that_grows_is_cut_as_the_whole_one_and_nothing_that_was_settled_is_taken_back(text, stops):
    whole, stopped = cut_at_stop(text, stops)
    for length in range(len(text) + 1):
        part, over = cut_at_stop(text[:length], stops)
        if over:
            assert (part, True) == (whole, stopped)
            break
        assert whole.startswith(settled(part, stops))
        # As much as can be: what is held back may become a stop string with further letters.
        held = part[len(settled(part, stops)) :]
        assert not held or any(stop.startswith(held) and stop != held for stop in stops)
    else:
        assert not stopped


def test_an_empty_stop_string_is_refused():
    with pytest.raises(InputError, match="a stop string is empty"):
        check_stops(["a", ""])
