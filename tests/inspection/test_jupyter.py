"""The view in a real notebook: JupyterLab, a kernel and a browser, and what goes back and forth between them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ser_graph.graph import save_graph

pytestmark = pytest.mark.slow

CELLS = (
    "import ser_graph as sg\nview = sg.inspect(sg.load_graph('graph'), progress=False)\nview",
    "print('kernel:', view.chosen, list(view.selection.index))",
    "view.choose(view.table.index[11])",
)


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab that serves `tmp_path`, to nobody else."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab (pip install 'ser-graph[notebooks]')")
    home = {
        name: str(tmp_path / "home") for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    }
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0"]
    options = [f"--ServerApp.root_dir={tmp_path}", "--IdentityProvider.token=once"]
    process = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ, **home}
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+/lab", line):
            yield found[0]
            break
    else:
        pytest.fail("JupyterLab did not start:\n" + "".join(said))
    process.terminate()
    process.communicate()


def test_the_view_lives_in_a_notebook(sounding_graph, browser, lab, tmp_path: Path):
    save_graph(sounding_graph, tmp_path / "graph")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbformat.write(notebook, tmp_path / "view.ipynb")
    files = list(sounding_graph.table.index)

    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/tree/view.ipynb?token=once")
    # JupyterLab forgets a cell that is run before there is a kernel, and says nothing.
    page.locator("#jp-main-statusbar", has_text="Python 3 (ipykernel) | Idle").wait_for()
    cells = page.locator(".jp-Notebook .jp-Cell")
    cells.first.click()
    page.keyboard.press("Shift+Enter")
    view = page.frame_locator("iframe[title='The graph']")
    view.locator("html[data-ready]").wait_for(state="attached")
    assert view.locator("#audio-note").inner_text() == "Sound comes from the notebook as long as its kernel runs."

    # From the view to Python: what is chosen, what is selected. From Python to the view: the sound.
    view.locator("#list button").nth(2).click()
    chosen = view.locator("#clip-title").inner_text()
    assert chosen in files
    view.locator("#player[src^='data:audio/mpeg']").wait_for(state="attached")
    view.locator("#search").fill("fear")
    view.locator("#select-shown").click()
    answer = cells.nth(1).locator(".jp-OutputArea-output")
    wanted = f"kernel: {chosen} {files[4:8]}"
    # While the kernel is busy, Jupyter holds back what a view says; a cell may then overtake it. Ask again.
    for execution in range(2, 12):
        cells.nth(1).click()
        page.keyboard.press("Shift+Enter")
        cells.nth(1).locator(".jp-InputPrompt", has_text=f"[{execution}]").wait_for()
        answer.wait_for()
        if answer.inner_text().strip() == wanted:
            break
    assert answer.inner_text().strip() == wanted

    # From Python to the view: another clip.
    page.keyboard.press("Shift+Enter")
    view.locator("#clip-title", has_text=files[11]).wait_for()
    page.close()
