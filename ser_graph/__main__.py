"""``python -m ser_graph``: the command line."""

from ser_graph.cli import main

main()
