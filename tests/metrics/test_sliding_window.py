import pytest

from nlpx.metrics import sliding_window_answer

TESLA = "Nikola Tesla was born in Smiljan. He emigrated to New York in 1884. Edison lived in New Jersey."


@pytest.mark.parametrize(
    ("context", "question", "answer"),
    [
        (TESLA, "Where was Nikola Tesla born?", "Smiljan"),
        (TESLA, "When did he emigrate to New York?", "1884"),
        (TESLA, "Where did Edison live?", "New Jersey"),
        ("The sol is used in Peru. The euro is used in Spain.", "What is used in Spain?", "euro"),
        ("The sol is used in Peru. The euro is used in Spain.", "What is used in Peru?", "sol"),
        ("red green blue", "none of them", "red green"),  # the longest that there may be
        ("It is what it is.", "What is it?", ""),  # function words alone
        ("Peru", "Peru", ""),  # words of the question alone
        ("", "What?", ""),
    ],
)
def test_the_words_of_the_question_lead_to_the_answer(context, question, answer):
    assert sliding_window_answer(context, question, longest=2) == answer


def test_an_answer_is_cut_from_the_context_as_it_stands():
    assert sliding_window_answer("The Code\n of  Chad  is  TD.", "which code stands for Chad") == "TD"
