"""A task that does on purpose what a task must not do, and one of everything that it may do."""

import os
import signal

from gapless_task import Refuse, Task, run


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Trouble(Task):
    def begin(self):
        self.read = 0
        self.owed = []

    def receive(self, ctx, message):
        self.read += 1
        match message:
            case "count":
                ctx.reply(self.read)
            case "die":
                die()
            case {"die_once": path}:
                # No function of state and message: the second attempt finds what the first one left.
                if not os.path.exists(path):
                    open(path, "w").close()
                    die()
                ctx.reply(self.read)
            case {"die_at": node}:
                if os.path.basename(os.getcwd()) == node:
                    die()
                ctx.reply(self.read)
            case "where":
                ctx.reply(os.path.basename(os.getcwd()))
            case "remember_where":
                self.where = os.getcwd()
                ctx.reply(self.read)
            case "hang":
                while True:
                    pass
            case {"pass_on": [name, what]}:
                ctx.send(Trouble, name, what)
                ctx.reply(self.read)
            case "refuse":
                raise Refuse("not today")
            case "no_json":
                self.seen = {1, 2}
            case "draw":
                ctx.reply([ctx.random.random() for _ in range(3)] + [ctx.now()])
            case {"wait": seconds}:
                self.owed.append(ctx.owe())
                ctx.timer(seconds, "rung")
            case "rung":
                ctx.reply_later(self.owed.pop(), [ctx.source, self.read])
            case {"ask": what}:
                self.owed.append(ctx.owe())
                ctx.io("outside", what)
            case {"ok": value} | {"error": value}:
                ctx.reply_later(self.owed.pop(), [ctx.source, value])

    def perform(self, key, tag, request):
        if request == "trouble":
            raise Refuse("the outside is closed")
        return [self.name, tag, request, len(key) > 16]


run(Trouble)
