"""Everything that talks to ZeroMQ: sockets and their end, addresses, waiting, bodies."""

from .sockets import SerializingContext, SerializingSocket

__all__ = ["SerializingContext", "SerializingSocket"]
