"""Runs made by hand, whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from ser_graph.common.files import write_json
from ser_graph.experiment.recipe_files import load_recipe, recipe_values

N_CLIPS, N_SPEAKERS = 40, 4


def predictions(n_right, n_speakers=N_SPEAKERS):
    """The first clips right, of which every speaker has as many in turn; all anger, so that UAR is accuracy."""
    clips = np.arange(N_CLIPS)
    return pd.DataFrame(
        {
            "emotion": "anger",
            "speaker": [f"s{clip % n_speakers}" for clip in clips],
            "predicted": np.where(clips < n_right, "anger", "fear"),
        },
        index=pd.Index([f"{clip:02d}.wav" for clip in clips], name="file"),
    )


@pytest.fixture
def make_run(tmp_path):
    """Write a finished run; each student has its number of clips `right`."""

    def make(students, name="run", protocol="clean", n_speakers=N_SPEAKERS, **changes):
        folder = tmp_path / name
        for student in students:
            own = folder / "students" / student["name"]
            own.mkdir(parents=True)
            predictions(student["right"], n_speakers).to_csv(own / "predictions.csv")
        if protocol == "paper":
            students = [{key: value for key, value in row.items() if "dev" not in key} for row in students]
        results = {
            "name": name,
            "title": "ravdess -> demos",
            "synthetic": False,
            "protocol": protocol,
            "transductive": False,
            "shared_speakers": [],
            "students": students,
            "n_test": N_CLIPS,
            "n_test_speakers": n_speakers,
            "data_hash": "0123456789abcdef",
            "recipe": recipe_values(load_recipe("paper")),
            "graph": {"card": {"text": "The graph can teach nothing. More."}},
            **changes,
        }
        write_json(folder / "results.json", results)
        return folder

    return make
