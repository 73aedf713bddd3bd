import socket
import time
from picamera2 import Picamera2
import fastimagezmq as imagezmq

sender = imagezmq.ImageSender("tcp://hub.local:5555", jpeg=85, colorspace="XBGR8888")
picam = Picamera2()
picam.start()
time.sleep(2.0)  # the camera warms up
while True:
    sender.send_image(socket.gethostname(), picam.capture_array())
