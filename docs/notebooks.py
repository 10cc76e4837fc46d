"""Run notebooks and store them with small outputs: text, tables and pictures, but no sound and no page.

    python docs/notebooks.py                                         all notebooks
    python docs/notebooks.py notebooks/04_on_the_device.ipynb        one notebook

Everything in them is synthetic. A test checks that the stored outputs stay small.
"""

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parents[1] / "notebooks"
PIXELS = 150_000  # of a picture, at most
COLOURS = 64
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTEAD = {
    "<audio": "(A player. Run the notebook to hear the clip.)",
    "<iframe": "(The page of the graph. Run the notebook to see and hear it.)",
}
TEMPORARY = re.compile(re.escape(tempfile.gettempdir()) + r"/ser_graph_\w+")


def execute(path: Path) -> NotebookNode:
    """Run a notebook in an empty folder, without the runs of the user."""
    notebook = nbformat.read(path, as_version=4)
    for name in [name for name in os.environ if name.startswith("SER_GRAPH_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook, timeout=1800, kernel_name="python3", resources=resources, record_timing=False
        )
        client.execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [small(output) for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def small(output: NotebookNode) -> NotebookNode:
    """An output as it is stored."""
    if output.output_type == "stream":
        output.text = TEMPORARY.sub("FOLDER", output.text)
        return output
    data, html = output.data, output.data.get("text/html", "")
    said = next(
        (text for sign, text in INSTEAD.items() if sign in html or (sign == "<iframe" and WIDGET in data)), None
    )
    if said:
        output.data = NotebookNode({"text/plain": said})
    elif "image/png" in data:
        kind, picture = small_picture(base64.b64decode(data["image/png"]))
        output.data = NotebookNode({kind: base64.b64encode(picture).decode(), "text/plain": data["text/plain"]})
    return output


def small_picture(png: bytes) -> tuple[str, bytes]:
    """A picture with fewer pixels and colours, or as JPEG if that is smaller: its type and its bytes."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    scale = min(1.0, (PIXELS / (picture.width * picture.height)) ** 0.5)
    size = (round(scale * picture.width), round(scale * picture.height))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    as_png, as_jpeg = io.BytesIO(), io.BytesIO()
    # An octree keeps the few colours of a plot apart; the median cut of the default mixes them.
    few = picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(as_png, "PNG", optimize=True)
    picture.save(as_jpeg, "JPEG", quality=40, optimize=True)
    kinds = {"image/png": as_png.getvalue(), "image/jpeg": as_jpeg.getvalue()}
    return min(kinds.items(), key=lambda one: len(one[1]))


def main(paths: list[Path]) -> None:
    """Run notebooks, and replace each by itself with its outputs."""
    for path in paths:
        nbformat.write(execute(path), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")))
