"""The end of the demo: a student hears a clip, and a page shows the graph."""

from pathlib import Path

from ser_graph.downstream import load_student
from ser_graph.edge.prediction import format_predictions, predict
from ser_graph.evaluation.study import SETTING, choose_settings, load_study
from ser_graph.graph import load_graph
from ser_graph.inspection.page import write_page

PAGE = "page.html"


def finish_demo(run: Path) -> str:
    """Let the student that dev prefers hear one test clip, and write the page of the graph into the run folder.

    Args:
        run: the folder of a finished run.

    Returns:
        What the student heard and what to type next, as plain text.
    """
    study = load_study([run])
    (method,) = choose_settings(study).values()
    students = study.students.set_index(SETTING).loc[[method]]
    folder, data = Path(students.sort_values("dev_uar")["folder"].iloc[-1]), load_graph(run / "graph")
    student = load_student(folder)
    file, clip = next(data.table[data.table["split"] == "test"].iterrows())
    heard = predict(student, Path(data.meta.root or ".") / str(file), graph=data, n_nearest=1, progress=False)
    write_page(data, run / PAGE, student=student, audio="reference")
    return "\n".join(
        [
            f"{folder.name}, which dev prefers, hears a test clip of {clip['emotion']}:",
            format_predictions(heard),
            "",
            "Next:",
            f"  open {run / PAGE} in a browser: the graph, to see and hear",
            f"  ser-graph export {folder} --int8 --out student.onnx",
            f"  ser-graph report {run} --out report",
            "  ser-graph run best --set target.corpus=table --set target.root=labels.csv --out runs/mine",
        ]
    )
