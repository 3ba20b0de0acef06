# A TCP server and its clients on one event loop, then a child process and a thread of the executor.
import asyncio
import signal


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(b'echo ' + line)
        await writer.drain()
    writer.close()


async def client(port, n):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    total = 0
    for i in range(10):
        writer.write(f'{n} {i}\n'.encode())
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 30)
        assert line == f'echo {n} {i}\n'.encode(), line
        total += len(line)
        await asyncio.sleep(0.003)
    writer.close()
    await writer.wait_closed()
    return n, total


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    for turn in range(6):
        print(turn, await asyncio.gather(*(client(port, n) for n in range(8))), flush=True)
    server.close()
    child = await asyncio.create_subprocess_exec(
        'tr', 'a-z', 'A-Z', stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    print(await child.communicate(b'by a child'), child.returncode, flush=True)
    print(await asyncio.gather(*(loop.run_in_executor(None, sum, range(n)) for n in (10, 100, 1000))), flush=True)
    caught = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, caught.set)
    signal.raise_signal(signal.SIGUSR1)
    await caught.wait()
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.02)
    except asyncio.TimeoutError:
        print('a signal and a timeout', flush=True)


asyncio.run(main())
