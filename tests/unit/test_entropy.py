"""Random bytes: each is handed out once, whatever the portions, the threads and the forks."""

from __future__ import annotations

import os
import threading

import pytest

from app import entropy


@pytest.mark.parametrize("count", [0, 1, 12, 16, 4095, 4096, 4097, 10_000])
def test_a_portion_has_the_length_that_was_asked_for(count: int) -> None:
    for _ in range(3):
        assert len(entropy.random_bytes(count)) == count


def test_no_portion_comes_twice_and_none_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = 0

    def numbered(count: int) -> bytes:
        """Four-byte numbers in place of random ones, to see each again."""
        nonlocal counter
        counter += count // 4
        return b"".join(number.to_bytes(4, "big") for number in range(counter - count // 4, counter))

    monkeypatch.setattr(os, "urandom", numbered)
    store = entropy._Store()
    seen = [store.take(12) for _ in range(5_000)]
    numbers = [int.from_bytes(portion[at : at + 4], "big") for portion in seen for at in (0, 4, 8)]
    assert len(set(numbers)) == len(numbers)


def test_threads_never_get_the_same_portion() -> None:
    portions: list[bytes] = []

    def take() -> None:
        portions.extend([entropy.random_bytes(16) for _ in range(5_000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(portions)) == 20_000


def test_a_forked_child_hands_out_other_bytes_than_its_parent() -> None:
    entropy.random_bytes(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, entropy.random_bytes(64))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 64) != entropy.random_bytes(64)
    os.close(reading)
    os.close(writing)


def test_text_is_for_urls_and_without_padding() -> None:
    assert len(entropy.random_text(16)) == 22
    assert set(entropy.random_text(3000)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
