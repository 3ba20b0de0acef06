# Processes that work together: pools (forked and spawned), a queue, a counter, a segment of shared memory, an event, a barrier, pipes.
import multiprocessing
from multiprocessing import shared_memory


def square(n):
    return n * n


def count(counter, turns, queue):
    for _ in range(turns):
        with counter.get_lock():
            counter.value += 1
    queue.put(turns)


def fill(name, at):
    segment = shared_memory.SharedMemory(name=name)
    segment.buf[at] = at * 3
    segment.close()


def meet(event, barrier, pipe, n):
    barrier.wait()
    event.wait()
    pipe.send({'number': n})


def main():
    with multiprocessing.get_context('fork').Pool(4) as pool:
        for turn in range(6):
            print(turn, sum(pool.map(square, range(100))), pool.apply(square, (turn,)), flush=True)
        print(sorted(pool.imap_unordered(square, range(20), chunksize=3)), flush=True)

    context = multiprocessing.get_context('fork')
    counter, queue = context.Value('i', 0), context.Queue()
    workers = [context.Process(target=count, args=(counter, 50, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    print([queue.get() for _ in workers], flush=True)
    for worker in workers:
        worker.join()
    print(counter.value, [worker.exitcode for worker in workers], flush=True)

    segment = shared_memory.SharedMemory(create=True, size=4096)
    workers = [context.Process(target=fill, args=(segment.name, at)) for at in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(bytes(segment.buf[:4]), flush=True)
    segment.close()
    segment.unlink()

    event, barrier = context.Event(), context.Barrier(3)
    pipes = [context.Pipe() for _ in range(2)]
    workers = [context.Process(target=meet, args=(event, barrier, pipes[n][1], n)) for n in range(2)]
    for worker in workers:
        worker.start()
    barrier.wait()
    event.set()
    print([pipe.recv() for pipe, _ in pipes], flush=True)
    for worker in workers:
        worker.join()

    with multiprocessing.get_context('spawn').Pool(2) as pool:
        print(pool.map(square, [1, 2, 3]), flush=True)


if __name__ == '__main__':
    main()
