from .model import Upstream as Upstream
from .settings import EmbeddingSettings as EmbeddingSettings, FinetuneSettings as FinetuneSettings
from .shard_clips import shard_table as shard_table
from .streams import (
    load_shards as load_shards,
    process_shards as process_shards,
    shard_costs as shard_costs,
)
