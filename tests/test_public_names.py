"""What the pages of the API show is documented: each name that a package exports says what it is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def documented(tree):
    """Return the docstring of each function, class and constant of a module; a constant's is the string after it."""
    docs = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            docs[node.name] = ast.get_docstring(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            text = after.value if isinstance(after, ast.Expr) else None
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                docs[ast.unparse(target)] = (
                    text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else None
                )
    return docs


def imported(tree):
    """Return the module and the name there of each name that a module imports."""
    froms = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name: (node.module, alias.name) for node in froms for alias in node.names}


def file_of(module):
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def docstrings(module, name):
    """Yield an exported name with its docstring, wherever it is defined; of a module also what it defines."""
    if file_of(f"{module}.{name}").exists() and name not in documented(parsed(file_of(module))):
        tree = parsed(file_of(f"{module}.{name}"))
        yield name, ast.get_docstring(tree)
        kinds = ast.FunctionDef | ast.ClassDef
        inner = (node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_"))
        yield from ((f"{name}.{node.name}", ast.get_docstring(node)) for node in inner)
        return
    tree = parsed(file_of(module))
    docs = documented(tree)
    if name in docs:
        yield name, docs[name]
    else:
        yield from docstrings(*imported(tree)[name])


def exported(package):
    """Return the docstring of each name in `__all__` of a package."""
    tree = parsed(file_of(f"nlpx.{package}"))
    (names,) = (ast.literal_eval(node.value) for node in tree.body if ast.unparse(node).startswith("__all__ ="))
    origins = imported(tree)
    return dict(found for name in names for found in docstrings(*origins[name]))


@pytest.mark.parametrize("package", [path.parent.name for path in sorted(ROOT.glob("nlpx/*/__init__.py"))])
def test_every_exported_name_has_a_docstring_with_a_first_line(package):
    found = exported(package)
    assert found
    lacking = [name for name, text in found.items() if not (text or "").split("\n")[0].strip()]
    assert not lacking, f"nlpx.{package}: no docstring of {', '.join(lacking)}"


def test_a_constant_is_documented_by_the_string_after_it():
    docs = documented(ast.parse('A = 1\n"""One."""\nB: int = 2\nC = 3\n3\ndef f():\n    """Do."""\n'))
    assert docs == {"A": "One.", "B": None, "C": None, "f": "Do."}
