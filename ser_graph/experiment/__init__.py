"""A recipe, run from the clips to the students' numbers: every stage stored, none done twice.

A run folder:

    recipe.toml, environment.json    what was asked for, and with what it was made
    source/, target/                 clip tables, and what is wrong with the clips
    upstream/                        the fine-tuned upstream, in the Hugging Face layout
    embeddings/                      embeddings by content
    graph/                           the graph, see `ser_graph.graph.storage`
    students/NAME/                   model.safetensors, model.json, history.csv, metrics.json, predictions.csv (of
                                     test), dev_predictions.csv (where dev is not trained on); where speakers are
                                     left out in turn, folds.csv instead of a model
    figures/                         PNGs
    results.json                     every number, see `results.summarise`
"""

from ser_graph.experiment.clips import prepare_corpus, prepare_source, prepare_target
from ser_graph.experiment.graph import prepare_graph, prepare_upstream
from ser_graph.experiment.running import run

__all__ = ["prepare_corpus", "prepare_graph", "prepare_source", "prepare_target", "prepare_upstream", "run"]
