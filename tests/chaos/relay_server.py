"""Relays, in a process of their own: one for each ordered pair of nodes, and one for clients of each node.

The first line on standard input says what to relay, {"links": [[name, back, host, port], …]}; the answer
is one line with the ports, {name: port}. Each further line is a command: {"set": {name: policy}} for all
links at once, those left out are well, or {"reset": [name, …]}. A policy says what becomes of bytes in
the direction of that link; those that come back on its connections are subject to the link `back`:

  stalled   nothing gets through until that is over
  delay     seconds for each piece
  trickle   the first bytes of each piece come one by one, in segments of their own
"""
import asyncio
import json
import logging
import socket
import sys

PIECE_BYTES, TRICKLED_BYTES, QUEUE_PIECES = 65536, 64, 64
WELL = {}


class Link:
    def __init__(self, name, back, host, port):
        self.name, self.back, self.target = name, back, (host, port)
        self.policy = WELL
        self.changed = asyncio.Condition()
        self.connections = set()

    async def wait_open(self):
        async with self.changed:
            await self.changed.wait_for(lambda: not self.policy.get("stalled"))


class Relay:
    def __init__(self, links):
        self.links = {link[0]: Link(*link) for link in links}

    async def listen(self):
        ports = {}
        for link in self.links.values():
            server = await asyncio.start_server(
                lambda reader, writer, link=link: self.accept(link, reader, writer), "127.0.0.1", 0)
            ports[link.name] = server.sockets[0].getsockname()[1]
        return ports

    async def accept(self, link, reader, writer):
        back = self.links.get(link.back, link)
        far_writer = None
        link.connections.add(writer)
        try:
            await link.wait_open()
            await back.wait_open()
            far_reader, far_writer = await asyncio.open_connection(*link.target)
            for one in (writer, far_writer):
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pumps = [asyncio.ensure_future(self.pump(link, reader, far_writer)),
                     asyncio.ensure_future(self.pump(back, far_reader, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            link.connections.discard(writer)
            for one in (writer, far_writer):
                if one is not None:
                    one.transport.abort()

    async def pump(self, link, reader, writer):
        queue = asyncio.Queue(QUEUE_PIECES)
        sender = asyncio.ensure_future(self.send(link, queue, writer))
        clock = asyncio.get_running_loop()
        try:
            while data := await reader.read(PIECE_BYTES):
                await queue.put((clock.time() + link.policy.get("delay", 0), data))
            await queue.put((0, b""))
            await sender
        except OSError:
            pass
        finally:
            sender.cancel()

    async def send(self, link, queue, writer):
        clock = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if not data:
                return
            if due > clock.time():
                await asyncio.sleep(due - clock.time())
            await link.wait_open()
            if link.policy.get("trickle"):
                for at in range(min(len(data), TRICKLED_BYTES)):
                    if not writer.is_closing():
                        writer.write(data[at:at + 1])
                    await asyncio.sleep(0)
                data = data[TRICKLED_BYTES:]
            if writer.is_closing():
                return
            writer.write(data)
            await writer.drain()

    async def command(self, command):
        if "set" in command:
            for link in self.links.values():
                link.policy = command["set"].get(link.name, WELL)
                async with link.changed:
                    link.changed.notify_all()
        for name in command.get("reset", ()):
            for writer in list(self.links[name].connections):
                writer.transport.abort()


async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    relay = Relay(json.loads(await reader.readline())["links"])
    print(json.dumps(await relay.listen()), flush=True)
    while line := await reader.readline():
        await relay.command(json.loads(line))


if __name__ == "__main__":
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # connections that end are no news
    asyncio.run(main())
