"""Run a recipe from the clips to the results of the students. Every stage is stored, and none runs twice.

A run folder:

    recipe.toml, environment.json    the recipe, and versions and machine
    source/, target/                 clip tables, and the problems of the clips
    upstream/                        the fine-tuned upstream, in the Hugging Face layout
    embeddings/                      embeddings by content
    graph/                           the graph, see `ser_graph.graph.storage`
    students/NAME/                   model.safetensors, model.json, history.csv, metrics.json, predictions.csv (of
                                     test), dev_predictions.csv (where dev is not trained on); where speakers are
                                     left out in turn, folds.csv instead of a model
    figures/                         PNGs
    results.json                     every number, see `results.summarise`; written last
    */stage.json                     what was asked for, see `ser_graph.common.stages`
    .*.work/                         what is under way: checkpoints
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
