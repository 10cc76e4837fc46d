"""A real browser, where there is one."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.graph import ClipGraph, build_graph


@pytest.fixture(scope="session")
def browser(launch_browser):
    """Chromium without a window."""
    chromium = launch_browser()
    yield chromium
    chromium.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """Open a file in the browser; whatever goes wrong in it, and whatever it asks for, is kept in lists."""
    contexts = []

    def open_file(path: Path, address: str | None = None, **settings):
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 850}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.problems, page.requests = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(address or path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_file
    for context in contexts:
        context.close()


@pytest.fixture
def sounding_graph(_sounding_graph: ClipGraph) -> ClipGraph:
    """A graph of a test's own whose clips can be heard; see `_sounding_graph`."""
    return copy.deepcopy(_sounding_graph)


@pytest.fixture(scope="session")
def _sounding_graph(tmp_path_factory) -> ClipGraph:
    """Twelve clips of real files of half a second, in three groups of four that know each other."""
    root = tmp_path_factory.mktemp("sounding") / "corpus"
    emotions = np.repeat(["anger", "fear", "sadness"], 4)
    files = [f"s{clip % 4}/{emotion} #{clip}.wav" for clip, emotion in enumerate(emotions)]
    rng = np.random.default_rng(0)
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / file, rng.normal(0, 0.1, 8000), 16_000)
    table = pd.DataFrame(
        {
            "emotion": emotions,
            "speaker": [f"0{clip % 4}" for clip in range(12)],
            "gender": ["female", "male"] * 6,
            "duration": 0.5,
            "split": ["train", "train", "dev", "test"] * 3,
        },
        index=pd.Index(files, name="file"),
    )
    table.attrs = {"corpus": "sounding", "root": str(root)}
    emb = torch.from_numpy(np.repeat(np.eye(3), 4, axis=0) + 0.2 * rng.normal(size=(12, 3))).float()
    features = LogMelSettings(n_samples=8192)
    return build_graph(table, emb=emb, epsilon=None, n_neighbors=3, scope="all", features=features, progress=False)


@pytest.fixture
def corpus_folder(sounding_graph: ClipGraph) -> Path:
    """Where the clips of `sounding_graph` are."""
    return Path(sounding_graph.meta.root)
