import pandas as pd

from ser_graph.corpora.adapters.ravdess import ravdess_split


def test_ravdess_split_is_the_papers():
    actors = pd.DataFrame({"speaker": [f"{n:02d}" for n in range(1, 25)]})
    split = ravdess_split(actors)
    assert split["split"].value_counts().to_dict() == {"train": 10, "dev": 8, "test": 6}
    women = split[split["speaker"].astype(int) % 2 == 0]
    assert women["split"].value_counts().to_dict() == {"train": 5, "dev": 4, "test": 3}
    assert ravdess_split(actors.tail(3))["split"].tolist() == split["split"].tail(3).tolist()
