from .model import Upstream as Upstream
