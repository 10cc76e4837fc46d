from .model import Upstream as Upstream
from .settings import EmbeddingSettings as EmbeddingSettings, FinetuneSettings as FinetuneSettings
from .streams import (
    join_shards as join_shards,
    load_shards as load_shards,
    process_shards as process_shards,
    shard_costs as shard_costs,
)
