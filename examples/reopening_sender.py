import numpy as np
import zmq
import fastimagezmq as imagezmq


def open_sender():
    # It waits two seconds for each reply, no longer.
    return imagezmq.ImageSender("tcp://127.0.0.1:5555", jpeg=85, options={zmq.RCVTIMEO: 2000})


sender = open_sender()
for number in range(1000):
    try:
        sender.send_image("camera", np.full((480, 640, 3), number % 256, np.uint8))
    except zmq.Again:  # the hub is away, or was restarted with this frame in its hands
        sender.close()
        sender = open_sender()
