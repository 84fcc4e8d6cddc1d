"""Places for lines, and snapshots of them."""

from worker.sinks.shelf import BATCH, Batches, Shelf


def found(batches: Batches) -> list[bytes]:
    """Of the first family."""
    return [line for batch in batches for line in batch[0] if line]


def filled(count: int) -> tuple[Shelf, list[int]]:
    shelf = Shelf(2)
    places = [shelf.take() for _ in range(count)]
    for number, place in enumerate(places):
        shelf.put(place, (b"%d" % number,))
    return shelf, places


def test_what_was_put_first_stands_first() -> None:
    shelf, places = filled(BATCH * 3)
    assert len(set(places)) == BATCH * 3
    with shelf.snapshot() as batches:
        assert found(batches) == [b"%d" % number for number in range(BATCH * 3)]


def test_a_snapshot_stays_as_it_was_whatever_is_put_given_back_and_taken_meanwhile() -> None:
    shelf, places = filled(BATCH + 1)
    with shelf.snapshot() as before:
        first = found(before)
        shelf.put(places[0], (b"changed",))
        with shelf.snapshot() as between:
            shelf.put(places[0], (b"again",))
            shelf.give_back(places[1])
            shelf.put(shelf.take(), (b"new",))
            assert found(between) == [b"changed", *first[1:]]
        shelf.put(places[2], (b"more",))
        assert found(before) == first
    with shelf.snapshot() as after:
        assert found(after) == [b"again", b"new", b"more", *first[3:]]


def test_a_batch_is_copied_once_and_only_while_a_snapshot_is_in_use() -> None:
    shelf, places = filled(2)
    with shelf.snapshot() as snapshot:
        (whole,) = snapshot
        shelf.put(places[0], (b"a",))
        (copied,) = snapshot
        shelf.put(places[1], (b"b",))
        assert snapshot == [copied]
        assert snapshot[0] is copied is not whole
    shelf.put(places[0], (b"c",))
    assert snapshot[0] is copied
    with shelf.snapshot() as later:
        assert later[0] is whole


def test_places_that_were_given_back_are_taken_again() -> None:
    shelf, places = filled(BATCH)
    for place in places:
        shelf.give_back(place)
    assert {shelf.take() for _ in places} == set(places)
    with shelf.snapshot() as batches:
        assert len(batches) == 1


def test_families_that_follow_each_other_are_put_without_the_others() -> None:
    shelf = Shelf(3)
    place = shelf.take()
    shelf.put(place, (b"a", b"b", b"c"))
    shelf.put(place, (b"B", b"C"), 1)
    with shelf.snapshot() as batches:
        assert [family[0] for family in batches[0]] == [b"a", b"B", b"C"]
    shelf.give_back(place)
    with shelf.snapshot() as batches:
        assert not any(line for family in batches[0] for line in family)
