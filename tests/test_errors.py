from nlpx.errors import InputError


def test_a_message_is_one_line_and_cannot_command_a_terminal():
    error = InputError("no column 'a\nb\u2028\x1b[2J\udcff' in é.csv")
    assert str(error) == r"no column 'a\nb\u2028\x1b[2J\udcff' in é.csv"
