from pathlib import Path
import fastimagezmq as imagezmq

hub = imagezmq.ImageHub("tcp://*:5555")
while True:
    frame = hub.recv_frame()
    Path(f"{frame.camera}.jpg").write_bytes(frame.jpeg)  # as it came: nothing is decoded
    hub.send_reply()
