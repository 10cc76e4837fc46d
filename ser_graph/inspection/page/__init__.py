"""The page: a graph to look at, to walk along and to listen to, as one HTML file that loads nothing."""

from ser_graph.inspection.page.writing import page_html, write_page

__all__ = ["page_html", "write_page"]
