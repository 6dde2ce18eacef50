"""What the script of a state call costs Valkey, by Valkey's own count (INFO commandstats).

`python -m benchmarks.script [CHECKOUT …]`: microseconds a call, pipelined; beside this checkout,
others are measured in the same rounds.
"""

import pickle
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import redis

from tests.servers import ROOT, start_valkey

ROUNDS, CALLS = 15, 2000
KINDS = ("put", "get", "put with a TTL", "batch of 10 puts")
SET = "redis.call('SET', KEYS[#KEYS], ARGV[#ARGV]) return 1"

# Run in a checkout: writes the commands that it would send, each with a nonce of its own.
COMMANDS = """
import pickle, sys
from django.conf import settings
settings.configure(
    HMAC_SKEW_SECONDS=60, AUDIT_MAX_ENTRIES=10_000, AUDIT_MAX_AGE_SECONDS=2_592_000,
    STATE_KEEP_VERSIONS=3, STATE_KEEP_DAYS=7, STATE_HISTORY_MAX_BYTES=1 << 28, REDIS_CLUSTER={},
)
from connector_state.store.scripts import connection
from connector_state.store.calls import Caller, Limits, Nonce
from connector_state.store.keys import Address
from connector_state.store.operations import Operation
from connector_state.store.values import StateStore

class Sent(BaseException): pass
def record(source, keys, arguments):
    commands.append((source.text, keys, arguments))
    raise Sent
connection._evaluate, commands = record, []
kind, number = pickle.load(sys.stdin.buffer)
for n in range(number):
    value = b"%d" % n + b"x" * 1500  # another one each time, or there would be no history
    caller = Caller("a-key-id-of-20-bytes", Nonce("a-key-id-of-20-bytes", f"nonce-{n:010}"),
                    Limits(1_000_000, 250_000, 1 << 30))
    store = StateStore("3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11", caller)
    key = Address("m365", f"delta:{n % 100}")
    many = [Operation("put", Address("m365", f"delta:{m}"), value) for m in range(10)]
    try:
        if kind == "get": store.get(key)
        elif kind == "batch of 10 puts": store.operate(many)
        else: store.put(key, value, 3600 if "TTL" in kind else None)
    except Sent: pass
pickle.dump(commands, sys.stdout.buffer)
"""


def main() -> None:
    """Measure, and print medians."""
    checkouts = [ROOT, *(Path(argument) for argument in sys.argv[1:])]
    with tempfile.TemporaryDirectory(prefix="statekeep-bench-") as folder:
        socket = Path(folder) / "s"
        valkey = start_valkey(Path(folder) / "valkey", "--port", "0", "--unixsocket", str(socket))
        try:
            _compare(redis.Redis(unix_socket_path=str(socket)), checkouts)
        finally:
            valkey.terminate()
            valkey.wait(20)


def _compare(client: "redis.Redis", checkouts: list[Path]) -> None:
    print(f"Microseconds a call, median (least) of {ROUNDS} rounds of {CALLS}: by Valkey's count")
    print("(INFO commandstats), and of all its CPU, with parsing and replying")
    for kind in KINDS:
        runs, fill = {}, _commands(ROOT, "put")
        for checkout in checkouts:
            commands = _commands(checkout, kind)
            runs[f"{kind}, {checkout.name}"] = commands
            if kind in ("put", "get"):
                runs[f"  an empty script, {checkout.name}"] = _instead(commands, "return 1")
            if kind == "put":
                runs[f"  a SET, {checkout.name}"] = _instead(commands, SET)
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, commands in runs.items():
                figures[name].append(_measure(client, commands, fill))
        for name, measured in figures.items():
            columns = zip(*measured, strict=True)
            texts = (f"{statistics.median(column):6.1f} ({min(column):.1f})" for column in columns)
            print(f"  {name:36}", *texts)


def _commands(checkout: Path, kind: str) -> list[tuple[str, list[str], list[object]]]:
    run = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=checkout,
        input=pickle.dumps((kind, CALLS)),
        stdout=subprocess.PIPE,
        check=True,
    )
    return pickle.loads(run.stdout)


def _instead(commands, text: str):
    return [(text, keys, arguments) for _, keys, arguments in commands]


def _measure(client: "redis.Redis", commands, fill) -> tuple[float, float]:
    """Return the mean of a call, when what it uses is there and warm."""
    client.flushall()
    _send(client, fill, "fill")
    _send(client, commands, "warm")
    client.config_resetstat()
    began = _cpu_seconds(client)
    _send(client, commands, "measured")
    cpu = 1e6 * (_cpu_seconds(client) - began) / len(commands)
    return client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"], cpu


def _send(client: "redis.Redis", commands, nonces: str) -> None:
    sha = client.script_load(commands[0][0])
    pipeline = client.pipeline(transaction=False)
    for _, keys, arguments in commands:
        pipeline.evalsha(sha, len(keys), f"{keys[0]}-{nonces}", *keys[1:], *arguments)
    pipeline.execute()


def _cpu_seconds(client: "redis.Redis") -> float:
    cpu = client.info("cpu")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"]


if __name__ == "__main__":
    main()
