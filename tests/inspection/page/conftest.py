import json
from html.parser import HTMLParser

import pytest


class Page(HTMLParser):
    """What is in a page: its elements as (tag, attributes), its scripts as (attributes, text), and its title."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.title, self._within = [], [], "", None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._within = tag
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._within = None

    def handle_data(self, data):
        if self._within == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        if self._within == "title":
            self.title += data

    def json(self, name):
        (text,) = [text for attributes, text in self.scripts if attributes.get("id") == name]
        return json.loads(text)

    @property
    def contents(self):
        return self.json("contents")

    @property
    def late(self):
        return self.json("late")

    @property
    def policy(self):
        """The Content-Security-Policy: directive -> values."""
        (content,) = [a["content"] for t, a in self.elements if a.get("http-equiv") == "Content-Security-Policy"]
        directives = [directive.split() for directive in content.split(";")]
        return {name: values for name, *values in directives}


@pytest.fixture(scope="session")
def read_page():
    """HTML -> what a browser finds in it."""
    return Page
