"""Crawl a finished site, without a browser: links that lead nowhere, pictures without a text, outside loads.

python -m lessons.book.check build/book/html
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADS = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}
"""Elements that make a browser load something, and the attribute that says what."""

UNTOLD = "Picture made by the cell above"
"""The text of a picture for which the lesson gives none."""


class Page(HTMLParser):
    """The targets, the links and the pictures of a page."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.links, self.loads, self.untold = {""}, set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.targets |= {given.get("id"), given.get("name")} - {None}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        if given.get(LOADS.get(tag, "")) and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.add(given[LOADS[tag]])
        if tag == "img" and given.get("alt", "").strip() in ("", UNTOLD):
            self.untold.append(given.get("src"))


def faults(site):
    """What is wrong with the pages of a site, one line each."""
    site = Path(site).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        found += [f"{where}: a picture without a text: {src}" for src in page.untold]
        found += [f"{where}: loads {url}" for url in sorted(page.loads) if urlsplit(url).netloc]
        for link in sorted(page.links | page.loads):
            if not _leads_somewhere(link, path, pages):
                found.append(f"{where}: a link that leads nowhere: {link}")
    for path in sorted(site.glob("_static/*.css")):
        urls = re.findall(r"url\([\"']?(https?:[^)\"']+)", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: loads {url}" for url in urls]
    return found


def _leads_somewhere(link, path, pages):
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True  # outside, or a picture within the page
    address, fragment = urldefrag(link)
    target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
    target = target / "index.html" if target.is_dir() else target
    if target in pages:
        return unquote(fragment) in pages[target].targets
    return target.exists()


if __name__ == "__main__":
    found = faults(sys.argv[1])
    print(*found, f"{len(found)} faults", sep="\n")
    sys.exit(1 if found else 0)
