from .cross_validation import CrossValidation as CrossValidation
from .cross_validation import cross_validate as cross_validate
from .recipe import Recipe as Recipe
from .recipe_files import load_recipe as load_recipe
from .running import run as run
