"""imageZMQ's module of the same name: ``from imagezmq.imagezmq import ImageHub`` works."""

import numpy as np
import zmq

from .image_hub import ImageHub
from .image_sender import ImageSender
from .transport import SerializingContext, SerializingSocket

__all__ = ["ImageHub", "ImageSender", "SerializingContext", "SerializingSocket", "np", "zmq"]
