"""`python -m experiments` lists the experiments, one per line."""

import ast
from pathlib import Path

folder = Path(__file__).parent
pages = {page.stem: page for page in folder.glob("[!_]*.py")} | {
    page.parent.name: page for page in folder.glob("*/__main__.py")
}
for stem, page in sorted(pages.items()):
    source = page.read_text(encoding="utf-8")
    if "cli.run(" in source:
        name, doc = f"experiments.{stem}", ast.get_docstring(ast.parse(source)) or ""
        print(f"python -m {name:33} {doc.splitlines()[0]}")
print("\nEach has --help.")
