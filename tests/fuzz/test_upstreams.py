"""Folders of upstreams with damaged JSON."""

import json
import random
import shutil

import pytest

from ser_graph.upstream import Upstream

MOST = 2**25  # bytes; a model here has 20,000 parameters
FILES = {"config.json": 120, "preprocessor_config.json": 100, "ser_graph.json": 100}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = Upstream.small().save(tmp_path_factory.mktemp("small") / "upstream")
    Upstream.from_pretrained(folder)  # imports do not count
    return folder


@pytest.mark.parametrize("name", FILES)
def test_json(stored, tmp_path, trials, mutated_json, name):
    rng, folder = random.Random(name), shutil.copytree(stored, tmp_path / "upstream")
    whole = json.loads((folder / name).read_text("utf-8"))
    expected = Upstream.from_pretrained(folder).n_params
    for number in trials.numbers(FILES[name]):
        (folder / name).write_bytes(content := mutated_json(rng, whole))
        upstream = trials(
            f"{number} {content[:80]!r}",
            lambda: Upstream.from_pretrained(folder),
            most_bytes=MOST,
            naming=str(folder),
        )
        if upstream is not None:
            trials.expect(number, 0 < upstream.n_params < 2 * expected)
            trials.expect(number, all(isinstance(one, str) for one in upstream.emotions))
