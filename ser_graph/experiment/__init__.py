"""Run a recipe, from the clips to the results of the students. Every stage is stored and runs only once.

A run folder:

    recipe.toml, environment.json    the recipe, and versions and machine
    source/, target/                 clip tables, and the problems of the clips
    upstream/                        the fine-tuned upstream, in the Hugging Face layout
    embeddings/                      embeddings by content
    graph/                           the graph, see `ser_graph.graph.storage`
    students/NAME/                   model.safetensors, model.json, history.csv, metrics.json, predictions.csv (of
                                     test), dev_predictions.csv (if dev is not used for training); if the run
                                     leaves out speakers in turn, folds.csv instead of a model
    figures/                         PNGs
    results.json                     every number, see `results.summarise`; written last
    */stage.json                     the settings and inputs of the stage, see `ser_graph.common.stages`
    .*.work/                         checkpoints of a stage that is not finished
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
