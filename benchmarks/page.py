"""The page of a large graph in a browser: its size, how long it takes to open, and to answer a click.

    python benchmarks/page.py [--clips 10000] [--neighbors 6] [--keep page.html]

Beside it, where plotly is installed, the same points and edges in WebGL by plotly, without panels, spectrograms or
filters: what the page would be with the other library that ships its JavaScript. Needs Chromium and playwright; it
has no graphics card, so WebGL runs in software, as it does on a remote desktop.
"""

import argparse
import importlib.util
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from playwright.sync_api import Page, sync_playwright

from ser_graph.audio.settings import LogMelSettings
from ser_graph.graph import ClipGraph, build_graph
from ser_graph.inspection.layout import graph_layout
from ser_graph.inspection.page import write_page

PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
CLICKS = 20


def made_up_graph(n_clips: int, n_neighbors: int) -> ClipGraph:
    """Clips of 7 emotions and 60 speakers, with smooth noise for spectrograms: they do not compress to nothing."""
    rng = np.random.default_rng(0)
    emotion, speaker = rng.integers(7, size=n_clips), rng.integers(60, size=n_clips)
    emotions = np.array(["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"])
    table = pd.DataFrame(
        {
            "emotion": emotions[emotion],
            "speaker": [f"{code:02d}" for code in speaker],
            "gender": np.array(["female", "male"])[speaker % 2],
            "duration": rng.uniform(1, 6, n_clips).round(3),
            "split": np.array(["train", "train", "train", "train", "dev", "test"])[speaker % 6],
        },
        index=pd.Index([f"speaker_{code:02d}/clip_{row:05d}.wav" for row, code in enumerate(speaker)], name="file"),
    )
    emotions_at, speakers_at = rng.normal(size=(7, 64)), rng.normal(size=(60, 64))
    emb = emotions_at[emotion] + 0.8 * speakers_at[speaker] + 1.5 * rng.normal(size=(n_clips, 64))
    coarse = rng.normal(size=(n_clips, 47, 16)).astype(np.float16)
    x = coarse.repeat(8, axis=1)[:, : LogMelSettings().n_frames].repeat(4, axis=2)
    return build_graph(
        table,
        emb=torch.from_numpy(emb).float(),
        x=torch.from_numpy(x),
        epsilon=None,
        n_neighbors=n_neighbors,
        scope="all",
    )


def plotly_page(data: ClipGraph, file: Path) -> None:
    import plotly.graph_objects as go

    places = graph_layout(data)
    source, target = data.edge_index.numpy()
    ends = np.stack([places[source], places[target], np.full_like(places[source], np.nan)], axis=1).reshape(-1, 2)
    figure = go.Figure(go.Scattergl(x=ends[:, 0], y=ends[:, 1], mode="lines", hoverinfo="skip"))
    for emotion, rows in data.table.reset_index().groupby("emotion").groups.items():
        x, y = places[rows].T
        figure.add_trace(go.Scattergl(x=x, y=y, mode="markers", name=emotion))
    figure.update_layout(dragmode="pan")
    script = (
        "const plot = document.querySelector('.plotly-graph-div'); document.documentElement.dataset.ready = 'true';"
        "plot.on('plotly_click', event => { window.answered = event.points[0].pointNumber; });"
    )
    file.write_text(figure.to_html(include_plotlyjs=True, post_script=script), encoding="utf-8")


def measured(page: Page, file: Path, area: str) -> tuple[float, list[float]]:
    """Seconds until the page is open and painted, and until each of some clicks is answered and painted."""
    start = time.perf_counter()
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate(PAINTED)
    opened = time.perf_counter() - start
    box = page.locator(area).first.bounding_box()
    assert box is not None
    clicks = []
    for across, up in np.random.default_rng(0).uniform(0.3, 0.7, (CLICKS, 2)):
        start = time.perf_counter()
        page.mouse.click(box["x"] + across * box["width"], box["y"] + up * box["height"])
        page.evaluate(PAINTED)
        clicks.append(time.perf_counter() - start)
        page.wait_for_timeout(400)
    return opened, clicks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--neighbors", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="where to leave the page")
    arguments = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Needs chromium or google-chrome on the PATH")
    data = made_up_graph(arguments.clips, arguments.neighbors)
    print(f"{data.num_nodes:,} clips, {data.edge_index.shape[1]:,} edges")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        start = time.perf_counter()
        file = write_page(data, arguments.keep or Path(folder) / "page.html", audio="none")
        print(f"written in {time.perf_counter() - start:.1f} s")
        files = {"ser_graph (Bokeh, canvas)": (file, "#drawing")}
        if importlib.util.find_spec("plotly"):
            plotly_page(data, Path(folder) / "plotly.html")
            files["plotly (WebGL)"] = (Path(folder) / "plotly.html", ".plotly-graph-div")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        first = None
        for name, (file, area) in files.items():
            opened, clicks = measured(browser.new_page(viewport={"width": 1400, "height": 900}), file, area)
            first = first or opened
            print(
                f"{name:26} {file.stat().st_size / 1e6:5.1f} MB, open after {opened:5.2f} s "
                f"({opened / first:.1f} x), click answered after {np.median(clicks):.2f} s "
                f"(slowest {max(clicks):.2f} s)"
            )


if __name__ == "__main__":
    main()
