"""Names under which tests have the embedded servers."""

from deploy.temporary import TemporaryNats as Nats
from deploy.temporary import free_port

__all__ = ["Nats", "free_port"]
