"""What wrong arguments raise in a process of its own, where no annotation is checked."""

import subprocess
import sys

LOOP = """
from nlpx.errors import InputError
for case in CASES:
    try:
        eval(case)
        print("nothing raised")
    except InputError as error:
        print(error)
    except Exception as error:
        print(type(error), str(error).splitlines()[0])
"""


def messages_of(setup, cases):
    """The message of each case, an expression over the names that `setup` makes."""
    program = f"{setup}\nCASES = {list(cases)}\n{LOOP}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return dict(zip(cases, ran.stdout.splitlines(), strict=True))
