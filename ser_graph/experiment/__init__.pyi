from .clips import (
    prepare_corpus as prepare_corpus,
    prepare_source as prepare_source,
    prepare_target as prepare_target,
)
from .cross_validation import CrossValidation as CrossValidation, cross_validate as cross_validate
from .graph import prepare_graph as prepare_graph, prepare_upstream as prepare_upstream
from .recipe import Recipe as Recipe
from .recipe_files import load_recipe as load_recipe
from .running import run as run
