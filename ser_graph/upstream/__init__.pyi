from .model import Upstream as Upstream
from .settings import EmbeddingSettings as EmbeddingSettings
from .settings import FinetuneSettings as FinetuneSettings
