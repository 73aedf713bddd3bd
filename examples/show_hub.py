import cv2
import fastimagezmq as imagezmq

hub = imagezmq.ImageHub("tcp://*:5555")
while True:
    name, image = hub.recv_image()
    cv2.imshow(name, image)  # a window for each camera
    cv2.waitKey(1)
    hub.send_reply()
