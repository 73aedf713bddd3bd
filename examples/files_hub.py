from pathlib import Path
import fastimagezmq as imagezmq

hub = imagezmq.ImageHub("tcp://*:5555")
while True:
    name, image = hub.recv_image()
    Path("latest.jpg").write_bytes(imagezmq.encode_jpeg(image))
    hub.send_reply()
