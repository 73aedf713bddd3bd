import numpy as np
import zmq
import fastimagezmq as imagezmq

# Four frames on their way; for room among them it waits two seconds, no longer.
sender = imagezmq.ImageSender(
    "tcp://127.0.0.1:5555", jpeg=85, in_flight=4, options={zmq.RCVTIMEO: 2000}
)
image = np.empty((480, 640, 3), np.uint8)
try:
    for number in range(100):
        image[:] = number  # the sender has a copy of what was in it
        sender.send_image(f"frame {number}", image)
        for reply in sender.replies():  # those that have come meanwhile
            print(reply.decode())
    if not sender.flush(timeout=10):
        print("some frames have no reply")
except zmq.Again:
    print("the hub has answered nothing for two seconds")
for reply in sender.replies():
    print(reply.decode())
print(sender.stats())
sender.close()
