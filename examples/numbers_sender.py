import time
import numpy as np
import fastimagezmq as imagezmq

sender = imagezmq.ImageSender("tcp://127.0.0.1:5555", jpeg=85)
for number in range(100):
    sender.send_image("camera", np.full((480, 640, 3), number, np.uint8))
    time.sleep(0.1)
