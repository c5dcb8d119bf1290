"""A scheduler inside an asyncio application: its coroutine jobs run on the application's loop, with its `redis.asyncio`
client. REDIS_URL says where Redis is."""

from __future__ import annotations

import asyncio
import os

import redis.asyncio

from tickglass import Run, Scheduler, every

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
ORDERS = 5

# Asked at each start: the loop on which `async with scheduler` is awaited.
scheduler = Scheduler(URL, service="shop", loop=asyncio.get_running_loop)


class Shop:
    """What belongs to the application's loop: a client, whose connections no other loop may use, and an event."""

    def __init__(self) -> None:
        self.redis = redis.asyncio.Redis.from_url(URL, decode_responses=True)
        self.busy = asyncio.Event()

    async def take_order(self, run: Run) -> None:
        """A job: one order more, under the fleet-wide lock on the stock."""
        async with scheduler.lock("stock", wait="10s") as stock:
            sold = await self.redis.incr("shop:sold")
            stock.check()  # raises LeaseLost once it may not act any more
        print(f"order {sold}, sold under fence {stock.fence} of the stock and {run.fence} of the job")
        if sold >= ORDERS:
            self.busy.set()


async def main() -> None:
    shop = Shop()
    await shop.redis.delete("shop:sold")
    scheduler.add(shop.take_order, every("50ms"))
    async with scheduler:  # the loop goes on while it starts and stops
        await shop.busy.wait()
    print("sold:", await shop.redis.get("shop:sold"))
    await shop.redis.aclose()


if __name__ == "__main__":
    asyncio.run(main())
