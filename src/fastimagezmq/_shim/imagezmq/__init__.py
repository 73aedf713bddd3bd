"""Stands in for imageZMQ when its folder is first on the path: ``fastimagezmq run``.

Importing this module gives fastimagezmq's own module objects, under imageZMQ's names.
"""

import sys

import fastimagezmq
import fastimagezmq.imagezmq

sys.modules["imagezmq"] = fastimagezmq
sys.modules["imagezmq.imagezmq"] = fastimagezmq.imagezmq
