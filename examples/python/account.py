"""A bank: accounts are tasks, and a transfer is a message from one to another. Whatever dies, no money is made or lost.

    export PYTHONPATH=python
    gapless task --kind account --listen 127.0.0.1:7500 --peer 127.0.0.1:7501 --arbiter file:/tmp/bank/register --log /tmp/bank/a -- \
        python3 examples/python/account.py
    gapless task --kind account --listen 127.0.0.1:7501 --peer 127.0.0.1:7500 --arbiter file:/tmp/bank/register --log /tmp/bank/b -- \
        python3 examples/python/account.py
    gapless task call account alice '{"deposit": 100}' --node 127.0.0.1:7500
    gapless task call account alice '{"transfer": {"to": "bob", "amount": 30}}' --node 127.0.0.1:7500
    gapless task call account bob '"balance"' --node 127.0.0.1:7501
"""

from gapless_task import Refuse, Task, run


class Account(Task):
    def begin(self):
        self.balance = 0

    def receive(self, ctx, message):
        match message:
            case "balance":
                ctx.reply(self.balance)
            case {"deposit": amount}:
                self.balance += amount
                ctx.reply(self.balance)
            case {"transfer": {"to": to, "amount": amount}}:
                if not 0 <= amount <= self.balance:
                    return ctx.reply(False)
                self.balance -= amount
                # Whoever asked hears of it when the money is there.
                ctx.send(Account, to, {"credit": {"amount": amount, "asked": ctx.owe()}})
            case {"credit": {"amount": amount, "asked": asked}}:
                self.balance += amount
                if asked:
                    ctx.reply_later(asked, True)
            case _:
                raise Refuse("an account reads \"balance\", deposit, transfer and credit")


if __name__ == "__main__":
    run(Account)
