"""The end of the demo: the best student hears a clip, and a page shows the graph."""

from pathlib import Path

from ser_graph.common.files import read_json
from ser_graph.downstream import load_student
from ser_graph.edge.prediction import format_predictions, predict
from ser_graph.graph import load_graph
from ser_graph.inspection.page import write_page

PAGE = "page.html"


def finish_demo(run: Path) -> str:
    """Let the student that is best on dev hear one test clip, and write the page of the graph into the run folder.

    Args:
        run: the folder of a finished run.

    Returns:
        What the student heard and what to type next, as plain text.
    """
    best = max(read_json(run / "results.json")["students"], key=lambda student: student["dev_uar"])["name"]
    folder, data = run / "students" / best, load_graph(run / "graph")
    file, clip = next(data.table[data.table["split"] == "test"].iterrows())
    heard = predict(folder, Path(data.meta.root or ".") / str(file), graph=data, progress=False)
    write_page(data, run / PAGE, student=load_student(folder))
    return "\n".join(
        [
            f"{best} is the best student on dev. It hears one test clip, which is spoken with {clip['emotion']}:",
            format_predictions(heard),
            "",
            "Next:",
            f"  open {run / PAGE} in a browser: the graph, to see and hear",
            f"  ser-graph export {folder} --int8 --out student.onnx",
            f"  ser-graph report {run} --out report",
            "  ser-graph run best --set target.corpus=table --set target.root=labels.csv --out runs/mine",
        ]
    )
