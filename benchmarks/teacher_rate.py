"""Measure how near the teacher client comes to the ideal rate, and whether its memory stays flat.

    python benchmarks/teacher_rate.py [seconds per run, default 8]

The ideal rate is requests in flight ÷ latency. The server is aiohttp in a process of its own on
127.0.0.1; it answers every request after 1 second. Ours is `Teacher.fill` with a store on disk; the
other is `AsyncOpenAI` with its default transport and one `asyncio.gather` over all requests, no
store. Both in turn, in one run. Requests are long enough to be real: 300 characters. Then memory:
peak of a fresh process after 10,000 and after 200,000 requests without latency.
"""

import asyncio
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from miniluotuo_utils.runtime import commit

REPLY = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "usage": {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400},
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "好" * 100},
        }
    ],
}


def serve(latency: float, port) -> None:
    """Answer for ever."""
    from aiohttp import web

    body = json.dumps(REPLY).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if latency:
            await asyncio.sleep(latency)
        return web.Response(body=body, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        port.put(site._server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


# Both say `ready` when their connections stand, wait for a line, and print seconds and peak MiB.
HEAD = """
import asyncio, resource, sys, time
base, store, count, flight, part = sys.argv[1:]
count, flight = int(count), int(flight)
def report(start):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(time.perf_counter() - start, peak, flush=True)
"""
OURS = (
    HEAD
    + """
from miniluotuo_utils.teacher import Teacher
from miniluotuo_utils.teacher.client import chat
teacher = Teacher(base, "m", "k", store, concurrency=flight)
teacher.fill((chat(f"warm {part} {i}") for i in range(8)), progress=False)
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
counts = teacher.fill((chat("请" * 300 + f" {part} {i}") for i in range(count)), progress=False)
assert counts["answered"] == count, counts
report(start)
"""
)
PLAIN = (
    HEAD
    + """
from openai import AsyncOpenAI
async def main():
    free = asyncio.Semaphore(flight)
    async with AsyncOpenAI(base_url=base, api_key="k") as client:
        async def one(i):
            async with free:
                message = {"role": "user", "content": "请" * 300 + f" {part} {i}"}
                return await client.chat.completions.create(model="m", messages=[message])
        await asyncio.gather(*(one(-i) for i in range(1, 9)))
        print("ready", flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        await asyncio.gather(*(one(i) for i in range(count)))
        report(start)
asyncio.run(main())
"""
)


def timed(
    code: str, base: str, folder: str, count: int, flight: int, processes: int = 1
) -> tuple[float, int]:
    """Return the seconds of the slowest process and the peak MiB of the largest.

    `count` requests are spread over all processes, `flight` of them in flight together.
    """
    store = str(Path(folder) / f"{time.time_ns()}.sqlite")
    share = [str(count // processes), str(flight // processes)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, base, store, *share, str(part)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in range(processes)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    measured = [process.communicate()[0].split() for process in started]
    return max(float(took) for took, _ in measured), max(int(peak) for _, peak in measured)


def main(seconds: int) -> None:
    """Print both tables."""
    port = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(1.0, port), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{port.get()}/v1"
    print(
        f"commit {commit()}\n| in flight | client | processes | requests/s "
        "| share of the ideal rate | peak MiB of a process |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for flight in (256, 1000):
            for name, code, processes in (
                ("Teacher", OURS, 1),
                ("AsyncOpenAI gather", PLAIN, 1),
                ("Teacher", OURS, 2),
                ("Teacher", OURS, 3),
            ):
                count = flight * seconds // processes * processes
                took, memory = timed(code, base, folder, count, flight, processes)
                print(
                    f"| {flight} | {name} | {processes} | {count / took:,.0f} "
                    f"| {count / took / flight:.2f} | {memory} |",
                    flush=True,
                )
        server.kill()
        server = multiprocessing.Process(target=serve, args=(0.0, port), daemon=True)
        server.start()
        base = f"http://127.0.0.1:{port.get()}/v1"
        print("\n| requests | peak MiB | seconds |\n|---|---|---|")
        for count in (10_000, 200_000):
            took, memory = timed(OURS, base, folder, count, 64)
            print(f"| {count:,} | {memory} | {took:.0f} |", flush=True)
        server.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 8)
