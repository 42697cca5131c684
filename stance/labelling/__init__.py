"""A local page on which people label pairs by keyboard."""

from stance.labelling.server import serve
from stance.labelling.store import Store

__all__ = ["Store", "serve"]
