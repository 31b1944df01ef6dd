"""The gate: who comes in, and what a guess costs."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections import Counter

import bcrypt
import pytest

from exporters.runtime.passwords import Passwords


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


@pytest.fixture(scope="module")
def hashed() -> bytes:
    return bcrypt.hashpw(b"watt", bcrypt.gensalt(4))


@pytest.fixture
def gate(hashed: bytes) -> Passwords:
    return Passwords({"alice": hashed})


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords that went through bcrypt."""
    seen: list[bytes] = []
    real = bcrypt.checkpw

    def checkpw(password: bytes, hashed_password: bytes) -> bool:
        seen.append(password)
        return real(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    return seen


def ask(gate: Passwords, header: bytes) -> bool | None:
    return asyncio.run(gate.admits(header))


def test_the_right_password_comes_in_and_no_other(gate: Passwords) -> None:
    assert ask(gate, basic("alice", "watt")) is True
    assert ask(gate, basic("alice", "Watt")) is False
    assert ask(gate, basic("alice", "")) is False
    assert ask(gate, basic("Alice", "watt")) is False


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Basic",
        b"Basic !!!!",
        b"Basic YWxpY2U=",
        b"Bearer YWxpY2U6d2F0dA==",
        b"Basic \xff\xfe",
        b"Basic " + b"A" * 9000,
    ],
)
def test_what_is_no_credential_does_not_come_in(gate: Passwords, header: bytes) -> None:
    assert ask(gate, header) is False


def test_bytes_that_are_no_text_do_not_come_in(gate: Passwords) -> None:
    assert ask(gate, b"Basic " + base64.b64encode(b"\xff\x00:\x00\xff")) is False


def test_bcrypt_runs_once_for_the_same_credentials(gate: Passwords, checks: list[bytes]) -> None:
    """Right ones and wrong ones: a scrape every second costs one check in all."""
    for _ in range(5):
        assert ask(gate, basic("alice", "watt")) is True
        assert ask(gate, basic("alice", "wrong")) is False
    assert checks == [b"watt", b"wrong"]


def test_an_unknown_user_costs_a_check_too(gate: Passwords, checks: list[bytes]) -> None:
    assert ask(gate, basic("nobody", "watt")) is False
    assert checks == [b"watt"]


def test_a_long_password_counts_up_to_what_bcrypt_takes(hashed: bytes) -> None:
    gate = Passwords({"bob": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))})
    assert ask(gate, basic("bob", "x" * 80)) is True
    assert ask(gate, basic("bob", "x" * 71)) is False


def test_guesses_do_not_push_out_who_is_in(gate: Passwords, checks: list[bytes]) -> None:
    assert ask(gate, basic("alice", "watt")) is True
    for guess in range(600):
        assert ask(gate, basic("alice", f"guess{guess}")) is False
    assert ask(gate, basic("alice", "watt")) is True
    assert checks.count(b"watt") == 1


def test_guesses_take_no_memory_without_end(gate: Passwords) -> None:
    for guess in range(300):
        assert ask(gate, basic("alice", f"guess{guess}")) is False
    assert len(gate._remembered[False]) == 256


def test_the_same_credentials_at_once_cost_one_check(gate: Passwords, checks: list[bytes]) -> None:
    async def twice() -> list[bool | None]:
        return await asyncio.gather(*[gate.admits(basic("alice", "watt")) for _ in range(2)])

    assert asyncio.run(twice()) == [True, True]
    assert checks == [b"watt"]


def test_too_many_checks_at_once_are_put_off(gate: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who is known waits: the answer None is for new credentials alone."""
    go = threading.Event()
    real = bcrypt.checkpw

    def slow(password: bytes, hashed_password: bytes) -> bool:
        if password != b"watt":
            go.wait(60)
        return real(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", slow)

    async def flood() -> list[bool | None]:
        assert await gate.admits(basic("alice", "watt")) is True
        guesses = [asyncio.ensure_future(gate.admits(basic("alice", f"guess{i}"))) for i in range(20)]
        await asyncio.sleep(0.01)
        assert await gate.admits(basic("alice", "watt")) is True
        go.set()
        return await asyncio.gather(*guesses)

    answers = asyncio.run(flood())
    assert Counter(answers) == {False: 8, None: 12}


def test_no_password_is_kept_as_text(gate: Passwords) -> None:
    ask(gate, basic("alice", "watt"))
    assert not any(b"watt" in key for key in gate._remembered[True])
    assert gate._remembered[True]


def test_without_users_everybody_comes_in() -> None:
    assert ask(Passwords(), b"") is True


def test_what_was_checked_holds_until_the_hash_is_another(gate: Passwords, checks: list[bytes]) -> None:
    """An edit of the file that leaves a user's hash costs no new check; a new hash does."""
    assert ask(gate, basic("alice", "watt")) is True
    gate.users = {"bob": b"x", **gate.users}
    assert ask(gate, basic("alice", "watt")) is True
    assert checks == [b"watt"]
    gate.users = {"alice": bcrypt.hashpw(b"other", bcrypt.gensalt(4))}
    assert ask(gate, basic("alice", "watt")) is False
    assert ask(gate, basic("alice", "other")) is True


def test_a_hash_that_moves_to_another_name_opens_for_that_name_alone(gate: Passwords, hashed: bytes) -> None:
    """What was said of a name that nobody had, or nobody has any more, is said no longer."""
    assert ask(gate, basic("bob", "watt")) is False
    assert ask(gate, basic("alice", "watt")) is True
    gate.users = {"bob": hashed}
    assert ask(gate, basic("alice", "watt")) is False
    assert ask(gate, basic("bob", "watt")) is True


def test_a_machine_without_threads_puts_a_check_off(gate: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one finds the queue empty."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refused)
        assert ask(gate, basic("alice", "watt")) is None
    assert ask(gate, basic("alice", "watt")) is True


def test_an_unknown_user_costs_what_the_costliest_does(
    hashed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    costly = bcrypt.hashpw(b"x", bcrypt.gensalt(6))
    compared: list[bytes] = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda _, against: compared.append(against))
    assert not ask(Passwords({"alice": hashed, "carol": costly}), basic("nobody", "x"))
    assert compared == [costly]


def test_who_knows_the_password_gets_through_a_crowd_of_guessers(
    gate: Passwords, checks: list[bytes]
) -> None:
    """Nothing of a new hash is remembered; twenty guessers come again as soon as they were sent away."""

    async def crowd(guessers_address: str) -> bool | None:
        async def guess(number: int) -> None:
            for attempt in range(100_000):
                await gate.admits(basic("alice", f"{number} {attempt}"), guessers_address)
                await asyncio.sleep(0)

        guessers = [asyncio.ensure_future(guess(number)) for number in range(20)]
        answer = None
        for _ in range(30):
            await asyncio.sleep(0.001)
            answer = await gate.admits(basic("alice", "watt"), "192.0.2.7")
            if answer is not None:
                break
        for guesser in guessers:
            guesser.cancel()
        await asyncio.gather(*guessers, return_exceptions=True)
        return answer

    async def crowds() -> None:
        assert await crowd("192.0.2.7") is True  # from the guessers' own address
        gate.users = {"alice": bcrypt.hashpw(b"watt", bcrypt.gensalt(4))}
        assert await crowd("198.51.100.1") is True

    asyncio.run(crowds())


def test_an_edit_of_another_user_forgets_nothing(gate: Passwords, checks: list[bytes]) -> None:
    assert ask(gate, basic("alice", "watt")) is True
    gate.users = {**gate.users, "bob": bcrypt.hashpw(b"ampere", bcrypt.gensalt(4))}
    assert ask(gate, basic("alice", "watt")) is True
    assert checks == [b"watt"]


def test_users_of_mixed_costs_and_none_take_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 to the power of each cost that was worked, added up."""
    gate = Passwords({name: bcrypt.hashpw(b"x", bcrypt.gensalt(c)) for name, c in (("a", 4), ("b", 7))})
    real, work = bcrypt.checkpw, [0]

    def counted(password: bytes, hashed_password: bytes) -> bool:
        work[0] += 2 ** int(hashed_password[4:6])
        return real(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    done = []
    for user in ("a", "b", "nobody"):
        work[0] = 0
        assert ask(gate, basic(user, "guess")) is False
        done.append(work[0])
    assert done == [128, 128, 128]
    assert ask(gate, basic("a", "x")) is True
