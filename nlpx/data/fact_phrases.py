"""The statements and questions of `cldr-facts`, for each kind of fact.

`{x}` is the subject of the fact, `{y}` what else it is about (a language, a month, a day), `{v}` the value. Training,
validation and test have different questions, made of words that training also has.
"""

from typing import NamedTuple


class Phrases(NamedTuple):
    """The sentences of one kind of fact; `questions` are those of training."""

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


PHRASES = {
    "currency": Phrases(
        ("The currency of {x} is the {v}.", "In {x}, people pay with the {v}.", "{x} uses the {v} as its money."),
        (
            "What is the currency of {x}?",
            "Which currency is used in {x}?",
            "With what money do people pay in {x}?",
            "What do people in {x} pay with?",
            "What money does {x} use?",
            "In {x}, which currency do people use?",
            "Which is the money of {x}?",
            "Tell me the currency that {x} uses.",
        ),
        ("Which currency does {x} use?", "In {x}, what do people pay with?"),
        ("What is the money of {x}?", "Which currency do people in {x} pay with?", "In {x}, what money is used?"),
    ),
    "language": Phrases(
        (
            "Most people in {x} speak {v}.",
            "The most spoken language of {x} is {v}.",
            "In {x}, the language of most people is {v}.",
        ),
        (
            "What is the most spoken language of {x}?",
            "Which language do most people in {x} speak?",
            "What do most people speak in {x}?",
            "In {x}, which language is spoken most?",
            "What language is spoken by most people in {x}?",
            "Tell me the most spoken language in {x}.",
            "Which is the language of most people in {x}?",
        ),
        ("Which language is most spoken in {x}?", "In {x}, what do most people speak?"),
        (
            "What language do most people in {x} speak?",
            "Which is the most spoken language of {x}?",
            "In {x}, what is the language of most people?",
        ),
    ),
    "share": Phrases(
        (
            "In {x}, {v} of the population know {y}.",
            "{y} is known to {v} of the population of {x}.",
            "Of the population of {x}, {v} know {y}.",
        ),
        (
            "What part of the population of {x} know {y}?",
            "How many know {y} in {x}?",
            "In {x}, to what part of the population is {y} known?",
            "How much of the population of {x} know {y}?",
            "To how many in {x} is {y} known?",
            "Tell me what part of {x} know {y}.",
        ),
        ("In {x}, how many know {y}?", "What part of {x} know {y}?"),
        (
            "How many in {x} know {y}?",
            "In {x}, what part of the population know {y}?",
            "To how much of the population of {x} is {y} known?",
        ),
    ),
    "week": Phrases(
        ("In {x}, the week begins on {v}.", "The first day of the week in {x} is {v}.", "Weeks in {x} begin on {v}."),
        (
            "On which day does the week begin in {x}?",
            "What is the first day of the week in {x}?",
            "When do weeks begin in {x}?",
            "In {x}, which is the first day of the week?",
            "With which day does a week in {x} begin?",
            "Tell me the first day of a week in {x}.",
        ),
        ("In {x}, on which day do weeks begin?", "When does the week begin in {x}?"),
        (
            "Which is the first day of a week in {x}?",
            "In {x}, when does the week begin?",
            "On what day do weeks begin in {x}?",
        ),
    ),
    "time": Phrases(
        ("Clocks in {x} show {v}.", "The time zone of {x} is {v}.", "{x} is in the zone of {v}."),
        (
            "What is the time zone of {x}?",
            "Which time do clocks show in {x}?",
            "In which time zone is {x}?",
            "What time do clocks in {x} show?",
            "To which zone do clocks in {x} belong?",
            "Tell me the time zone of {x}.",
            "In {x}, which time do clocks show?",
        ),
        ("Which is the time zone of {x}?", "In {x}, what do clocks show?"),
        ("To which time zone do clocks in {x} belong?", "What do the clocks of {x} show?", "In what time zone is {x}?"),
    ),
    "country code": Phrases(
        (
            "The code of {x} is {v}.",
            "{x} is abbreviated to {v}.",
            "In tables, {v} stands for {x}.",
        ),
        (
            "What is the code of {x}?",
            "Which code stands for {x}?",
            "To what is {x} abbreviated?",
            "What stands for {x} in tables?",
            "Which letters stand for {x}?",
            "Tell me the code of {x}.",
            "How is {x} abbreviated?",
        ),
        ("Which is the code of {x}?", "In tables, what stands for {x}?"),
        ("In tables, which code stands for {x}?", "What letters stand for {x}?", "To which code is {x} abbreviated?"),
    ),
    "name": Phrases(
        (
            "In {y}, {x} is called {v}.",
            "The {y} name of {x} is {v}.",
            "Speakers of {y} call {x} {v}.",
        ),
        (
            "What is {x} called in {y}?",
            "What is the {y} name of {x}?",
            "How do speakers of {y} call {x}?",
            "Which name does {x} have in {y}?",
            "In {y}, what is the name of {x}?",
            "By which name is {x} called in {y}?",
            "Tell me the {y} name of {x}.",
        ),
        ("Which is the {y} name of {x}?", "In {y}, how is {x} called?"),
        (
            "In {y}, what is {x} called?",
            "What name do speakers of {y} call {x} by?",
            "How is {x} called in {y}?",
        ),
    ),
    "word": Phrases(
        (
            "The {x} word for {y} is {v}.",
            "In {x}, one says {v} for {y}.",
            "{v} means {y} in {x}.",
        ),
        (
            "What is the {x} word for {y}?",
            "What does one say for {y} in {x}?",
            "Which word means {y} in {x}?",
            "How does one say {y} in {x}?",
            "In {x}, what means {y}?",
            "Tell me the {x} word for {y}.",
            "In {x}, which is the word for {y}?",
        ),
        ("Which is the {x} word for {y}?", "What means {y} in {x}?"),
        ("In {x}, how does one say {y}?", "Which {x} word means {y}?", "What is the word for {y} in {x}?"),
    ),
    "script": Phrases(
        (
            "{x} is written in the {v} script.",
            "Writers of {x} use the {v} script.",
            "The script of {x} is {v}.",
        ),
        (
            "In which script is {x} written?",
            "Which script do writers of {x} use?",
            "What is the script of {x}?",
            "What script is used for {x}?",
            "How is {x} written?",
            "Tell me the script of {x}.",
        ),
        ("Which is the script of {x}?", "In what script is {x} written?"),
        (
            "What script do writers of {x} use?",
            "Which script is used for {x}?",
            "What is the script used for {x}?",
        ),
    ),
    "language code": Phrases(
        (
            "The language {x} has the tag {v}.",
            "Web pages in {x} are marked {v}.",
            "{v} is the tag of the language {x}.",
        ),
        (
            "What is the tag of the language {x}?",
            "Which tag does {x} have?",
            "How are web pages in {x} marked?",
            "With which tag are web pages in {x} marked?",
            "Which is the tag of {x}?",
            "Tell me the tag of the language {x}.",
        ),
        ("What tag does the language {x} have?", "How are pages in {x} marked?"),
        ("Which tag does the language {x} have?", "What is the tag of {x}?", "With what tag are pages in {x} marked?"),
    ),
}
