"""Tasks of gapless in Python: one file, nothing but the standard library.

    from gapless_task import Task, run

    class Counter(Task):
        def begin(self):
            self.value = 0

        def receive(self, ctx, message):
            self.value += message
            ctx.reply(self.value)

    run(Counter)

    gapless task --kind counter --listen A --peer B --log DIR --arbiter X -- python3 counter.py

A task is what its attributes are: they are kept as JSON after each message, and the object that reads the next one is made from that. So they are
numbers, strings, booleans, None, lists and dicts with strings as keys; a tuple comes back as a list. Both sides of a pair run `receive`, so it must be a
function of the attributes, the message and `ctx`: no clock, no `random`, no files, no sockets, no globals that change. What reaches outside goes
through `ctx.io`, which is carried out by `perform`, on the live side only.
"""

import hashlib
import json
import os
import random
import re
import struct
import sys
import sysconfig
import traceback

PROTOCOL = 1
_WIRE_FD = 3
_NOTHING = object()


class Refuse(Exception):
    """Raised by `receive`: the message is refused, whoever waits for a reply gets this text, and nothing has changed."""


class Task:
    """A task: attributes that one message after the other changes."""

    #: The name of the kind; without it the name of the class in small letters.
    kind = None

    def begin(self):
        """Sets the attributes that the task has before its first message. Its name is in `self.name`, which is always there."""

    def receive(self, ctx, message):
        """Reads one message. Any exception refuses it: whoever waits for a reply gets the exception's text, and nothing has changed."""
        raise NotImplementedError(f"{type(self).__name__} has no receive")

    def perform(self, key, tag, request):
        """Carries out what `ctx.io` asked for and returns the answer, or raises why there is none. It runs in a process of its own and knows
        nothing of the task but `self.name`. It may be carried out again after a takeover: the same question has the same `key`, and no other."""
        raise NotImplementedError(f"{type(self).__name__} has no outside")


class Context:
    """A task's only way to everything that is not its attributes. What is asked for happens when the message is read."""

    def __init__(self, kind, name, source, now, seed):
        self.kind = kind
        self.name = name
        #: Who sent the message: `{"client": ...}`, `{"task": {"kind": ..., "name": ...}}`, `"timer"`, or `{"io": tag}`; then the message is
        #: `{"ok": value}` or `{"error": text}`.
        self.source = source
        self._now = now
        self._seed = seed
        self._random = None
        self._owed = source.get("client") if isinstance(source, dict) else None
        self._effects = []

    def now(self):
        """Microseconds since 1970, the same on both sides; it never goes back."""
        return self._now

    @property
    def random(self):
        """A `random.Random` that draws the same on both sides."""
        if self._random is None:
            self._random = random.Random(int(self._seed, 16))
        return self._random

    def send(self, kind, name, message):
        """Sends a message to a task, which is made if it is not there. It is read exactly once, in the order in which messages were sent there."""
        self._effects.append({"send": {"to": {"kind": _kind(kind), "name": name}, "message": message}})

    def reply(self, value):
        """Replies to the client whose message this is. A task that neither replies nor owes the reply has replied with `null`."""
        self._owed = None
        self._effects.append({"reply": value})

    def owe(self):
        """Takes the reply upon itself: JSON to keep or to send, for `reply_later` here or elsewhere. None if nobody waits for one."""
        owed, self._owed = self._owed, None
        if owed is not None:
            self._effects.append("owe")
        return owed

    def reply_later(self, to, value=None, error=None):
        """Gives a reply that was owed, or with `error` says why there is none. The second one to the same request is dropped."""
        answer = {"ok": value} if error is None else {"error": str(error)}
        self._effects.append({"reply_later": {"to": to, "answer": answer}})

    def timer(self, seconds, message):
        """Sends this task a message when so much time has passed."""
        self._effects.append({"timer": {"after_us": max(0, round(seconds * 1_000_000)), "message": message}})

    def io(self, tag, request):
        """Asks something of the outside, once this moment is safe. The answer is a message from `{"io": tag}`."""
        self._effects.append({"io": {"tag": tag, "request": request}})


def run(*classes):
    """Serves tasks of these classes until gapless ends. Call it at the end of the program."""
    try:
        wire = os.fdopen(_WIRE_FD, "r+b", buffering=0)
    except OSError:
        sys.exit("this program runs tasks for gapless; start it with: gapless task --kind KIND ... -- python3 " + sys.argv[0])
    os.set_inheritable(_WIRE_FD, False)
    kinds = {_kind(task): task for task in classes}
    _put(wire, _json({"ready": {"protocol": PROTOCOL, "code": _code()}}))
    while True:
        frame = _take(wire)
        if frame is None:
            return
        try:
            answer = _answer(kinds, frame)
        except MemoryError:
            # What this host has room for is no function of the message.
            os._exit(70)
        except Exception as error:
            traceback.print_exc()
            answer = json.dumps({"refused": _words(error)}).encode()
        _put(wire, answer)


def _answer(kinds, frame):
    value = json.loads(frame)
    if "receive" in value:
        asked = value["receive"]
        task = _made(kinds, asked)
        if asked["state"] is None:
            task.begin()
        else:
            task.__dict__.update(asked["state"])
        ctx = Context(asked["kind"], asked["name"], asked["from"], asked["now"], asked["seed"])
        try:
            task.receive(ctx, asked["message"])
        except Refuse as refusal:
            return json.dumps({"refused": str(refusal)}).encode()
        state = {name: value for name, value in task.__dict__.items() if name != "name"}
        return _json({"done": {"state": state, "effects": ctx._effects}})
    asked = value["perform"]
    try:
        outcome = {"ok": _made(kinds, asked).perform(asked["key"], asked["tag"], asked["request"])}
        return _json({"performed": outcome})
    except Exception as error:
        if not isinstance(error, Refuse):
            traceback.print_exc()
        return _json({"performed": {"error": _words(error)}})


def _made(kinds, asked):
    if asked["kind"] not in kinds:
        raise Refuse(f"no kind {asked['kind']}")
    task = kinds[asked["kind"]]()
    task.name = asked["name"]
    return task


def _kind(task):
    if isinstance(task, str):
        return task
    return task.kind or task.__name__.lower()


def _json(value):
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _words(error):
    """An exception's text, without what differs from process to process."""
    text = str(error) if isinstance(error, Refuse) else f"{type(error).__name__}: {error}"
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _code():
    """Names this Python and every module that was loaded and is not Python's own. Both sides must have the same."""
    digest = hashlib.sha256(sys.version.encode())
    own = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not path or (path.startswith(own) and "-packages" + os.sep not in path):
            continue
        with open(path, "rb") as file:
            digest.update(name.encode() + b"\0" + hashlib.sha256(file.read()).digest())
    return f"python {sys.version.split()[0]} {digest.hexdigest()[:16]}"


def _put(wire, frame):
    data = memoryview(struct.pack("<I", len(frame)) + frame)
    while data:
        data = data[wire.write(data):]


def _read(wire, length):
    parts = bytearray()
    while len(parts) < length:
        part = wire.read(length - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _take(wire):
    length = _read(wire, 4)
    return None if length is None else _read(wire, struct.unpack("<I", length)[0])
