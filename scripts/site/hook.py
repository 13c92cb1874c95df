"""Makes pages of the Markdown files beside docs/, leads links to and from them, and names headings as GitHub does."""
import pathlib
import posixpath
import re

from github import slug
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
TOP = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
SOURCES = {page: source for source, page in TOP.items()}
RELATIVE = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def on_config(config):
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def on_files(files, config):
    for source, page in TOP.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """A link is followed in the tree first; what it finds there is a page of the site, or MkDocs reports it."""
    source = SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def lead(link):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        if (ROOT / target).is_dir():
            target += "/README.md"
        place = TOP.get(target) or target.removeprefix("docs/")
        return posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")
    return RELATIVE.sub(lead, markdown)
