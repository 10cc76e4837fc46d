"""Sound files as a clip table."""

from pathlib import Path

import pandas as pd

from ser_graph.corpora.disk_names import check_names
from ser_graph_runtime.recordings import files_by_name, folder_of


def recordings_table(folder: str | Path) -> pd.DataFrame:
    """The sound files of a folder as a clip table without emotions and speakers.

    Raises:
        InputError: nothing is there, or a name that no table can hold.
    """
    files = list(files_by_name(folder))
    check_names(files)
    table = pd.DataFrame(index=pd.Index(files, name="file"))
    table.attrs["root"] = str(folder_of(folder))
    return table
