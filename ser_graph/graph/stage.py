"""The graph of a stage: built once, by one process or by several together."""

import logging
from typing import Any

import pandas as pd

from ser_graph.common.distributed import processes
from ser_graph.common.stages import Stage
from ser_graph.graph.building import build_graph
from ser_graph.graph.settings import GraphSettings
from ser_graph.graph.storage import write_graph
from ser_graph.upstream import Upstream

logger = logging.getLogger(__name__)


def build_stage(
    stage: Stage,
    table: pd.DataFrame,
    upstream: Upstream,
    settings: GraphSettings,
    *,
    anew: bool = False,
    **how: Any,
) -> bool:
    """Build the graph of a stage and store it, unless the stage is finished.

    Under `torchrun`, all processes call this function. They build together, and the first process stores the graph.

    Args:
        stage: where the graph is stored.
        table: as in `build_graph`.
        upstream: as in `build_graph`.
        settings: as in `build_graph`.
        anew: replace a result, which may be that of another request.
        **how: other arguments of `build_graph`, without `out`.

    Returns:
        Whether the graph was built now.
    """
    group = processes()
    if not anew and group.of_first(stage.is_finished()):
        return False
    if group.rank == 0:
        logger.info("Building the graph of %d clips", len(table))
    with stage.work() as work:
        data = build_graph(table, upstream, settings, out=work / "x.npy", **how)
        if group.rank == 0:
            with stage.write() as part:
                write_graph(data, part, x_file=work / "x.npy")
    group.wait()
    return True
