"""`python -m experiments` lists the experiments, one per line."""

import ast
from pathlib import Path

for page in sorted(Path(__file__).parent.glob("[!_]*.py")):
    source = page.read_text(encoding="utf-8")
    if "cli.run(" in source:
        name, doc = f"experiments.{page.stem}", ast.get_docstring(ast.parse(source)) or ""
        print(f"python -m {name:33} {doc.splitlines()[0]}")
print("\nEach has --help.")
