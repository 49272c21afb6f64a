"""A hook of mkdocs: pages of files outside docs/, links that work on the code host and in the site, and the API."""

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.txt",
    "benchmarks/README.md": "benchmarks.md",
}
"""Where the site has files of the repository that lie outside docs/. What they link to keeps its place."""
LINK = re.compile(r"(?<=\]\()[^)#:\s]+(?=[#)])")
SHARED = re.compile(r"<b><code><span[^>]*>(\w+,)</span></code></b>\s*\(<code>(.*?)</code>\)", re.DOTALL)
PACKAGES = [path.parent.name for path in sorted(ROOT.glob("nlpx/*/__init__.py"))]


def exports(package):
    """Return the docstring and the public names of a package, which is read and not imported."""
    tree = ast.parse((ROOT / "nlpx" / package / "__init__.py").read_text(encoding="utf-8"))
    (names,) = (ast.literal_eval(node.value) for node in tree.body if ast.unparse(node).startswith("__all__ ="))
    return ast.get_docstring(tree), [f"nlpx.{package}.{name}" for name in names]


def defined(name):
    """Return where a name is documented: in the module of the same name, if there is one that hides it."""
    path, own = ROOT / f"{name.replace('.', '/')}.py", name.rpartition(".")[2]
    return f"{name}.{own}" if path.exists() and f"\ndef {own}(" in path.read_text(encoding="utf-8") else name


def target(link, page):
    """Return the file of the repository that a page links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def on_config(config):
    """Enter the pages of the API into the navigation; the claims have a page once they are measured."""
    config.nav = [entry for entry in config.nav if "Claims" not in entry or (ROOT / "docs" / entry["Claims"]).exists()]
    (api,) = (entry["API"] for entry in config.nav if "API" in entry)
    api += [{f"nlpx.{package}": f"api/{package}.md"} for package in PACKAGES]
    return config


def on_files(files, config):
    """Add the pages outside docs/, the files that any page links to, and the pages of the API."""
    pages = [*OUTSIDE, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    linked = {target(link, page) for page in pages for link in LINK.findall((ROOT / page).read_text(encoding="utf-8"))}
    for path in [*OUTSIDE, *sorted(path for path in linked - set(OUTSIDE) if not path.startswith("docs/"))]:
        if (ROOT / path).is_file():
            files.append(File.generated(config, OUTSIDE.get(path, path), abs_src_path=str(ROOT / path)))
    index = ["# API", ""]
    for package in PACKAGES:
        about, names = exports(package)
        page = [f"# nlpx.{package}", "", about, "", *(f"::: {defined(name)}" for name in names)]
        files.append(File.generated(config, f"api/{package}.md", content="\n".join(page)))
        paragraph, _, _ = about.partition("\n\n")
        index.append(f"- [`nlpx.{package}`](api/{package}.md): {' '.join(paragraph.split())}")
    files.append(File.generated(config, "api.md", content="\n".join(index)))
    return files


def on_page_markdown(markdown, page, **_):
    """Point the links of a page of the repository to where the site has their targets."""
    origin = {place: path for path, place in OUTSIDE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if not (ROOT / origin).is_file():
        return markdown

    def place(link):
        path = target(link[0], origin)
        return OUTSIDE.get(path, path.removeprefix("docs/"))

    return LINK.sub(place, markdown)


def on_post_page(output, **_):
    """Mend attributes that share a description: of "train, test: ..." the second name is read as the type."""

    def mend(match):
        return f"<b><code>{match[1]} {re.sub('<[^>]*>', '', match[2])}</code></b>"

    return SHARED.sub(mend, output)
