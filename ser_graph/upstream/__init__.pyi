from .model import Upstream as Upstream
from .settings import EmbeddingSettings as EmbeddingSettings, FinetuneSettings as FinetuneSettings
