"""Markdown as GitHub reads it: what links are followed and headings are called there, the site must do, too."""
import unicodedata

from markdown_it import MarkdownIt


def parser():
    found = MarkdownIt("commonmark").enable("table")
    # Targets stay as they were written.
    found.normalizeLink = lambda url: url
    found.validateLink = lambda url: True
    return found


def slug(heading, separator="-"):
    """Lower case, a hyphen for each space, and no other punctuation than hyphens and low lines."""
    def is_kept(character):
        category = unicodedata.category(character)
        return character in "- " or category[0] in "LM" or category in ("Nd", "Pc")
    return "".join(filter(is_kept, heading.strip().lower())).replace(" ", separator)


def heading_anchors(tokens):
    """The second heading of a name gets -1, the third one -2."""
    count, found = {}, set()
    for token, inline in zip(tokens, tokens[1:]):
        if token.type == "heading_open":
            name = slug("".join(child.content for child in inline.children if child.type in ("text", "code_inline")))
            found.add(f"{name}-{count[name]}" if name in count else name)
            count[name] = count.get(name, 0) + 1
    return found
