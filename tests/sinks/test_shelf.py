"""Places for lines, and snapshots of them."""

from worker.sinks.shelf import BATCH, Lines, Shelf

EMPTY = (b"",)


def found(batches: list[list[Lines]]) -> list[bytes]:
    return [lines[0] for batch in batches for lines in batch if lines != EMPTY]


def filled(count: int) -> tuple[Shelf, list[int]]:
    shelf = Shelf(EMPTY)
    places = [shelf.take() for _ in range(count)]
    for number, place in enumerate(places):
        shelf.put(place, (b"%d" % number,))
    return shelf, places


def test_what_was_put_first_stands_first() -> None:
    shelf, places = filled(BATCH * 3)
    assert len(set(places)) == BATCH * 3
    assert found(shelf.snapshot()) == [b"%d" % number for number in range(BATCH * 3)]


def test_a_snapshot_stays_as_it_was_whatever_is_put_given_back_and_taken_after_it() -> None:
    shelf, places = filled(BATCH + 1)
    before = shelf.snapshot()
    first = found(before)
    shelf.put(places[0], (b"changed",))
    between = shelf.snapshot()
    second = found(between)
    shelf.put(places[0], (b"again",))
    shelf.give_back(places[1])
    shelf.put(shelf.take(), (b"new",))
    assert found(before) == first
    assert found(between) == second == [b"changed", *first[1:]]
    assert found(shelf.snapshot()) == [b"again", b"new", *first[2:]]


def test_between_two_snapshots_a_batch_is_copied_once() -> None:
    shelf, places = filled(2)
    shelf.put(places[0], (b"a",))
    shelf.snapshot()
    shelf.put(places[0], (b"b",))
    (batch,) = shelf._batches
    shelf.put(places[1], (b"c",))
    assert shelf._batches == [batch]
    assert shelf._batches[0] is batch


def test_places_that_were_given_back_are_taken_again() -> None:
    shelf, places = filled(BATCH)
    for place in places:
        shelf.give_back(place)
    assert {shelf.take() for _ in places} == set(places)
    assert len(shelf.snapshot()) == 1
