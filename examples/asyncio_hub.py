import asyncio
from fastimagezmq.aio import AsyncImageHub


async def show_rate(hub: AsyncImageHub) -> None:
    seen = 0
    while True:
        await asyncio.sleep(1)
        received = hub.stats().received
        print(received - seen, "frames a second", flush=True)
        seen = received


async def main() -> None:
    async with AsyncImageHub("tcp://*:5555") as hub:
        rate = asyncio.create_task(show_rate(hub))
        async for name, image in hub:  # each frame is answered after this body
            if image.mean() > 30:
                print(name, "has grown bright", flush=True)
                break
        rate.cancel()


asyncio.run(main())
