"""An answer in pieces, for people."""

from hypothesis import given
from hypothesis import strategies as st

from aaos.tools.pieces import EVERY_S, PIECE_CHARS, Pieces


@given(st.lists(st.tuples(st.text(max_size=3 * PIECE_CHARS), st.floats(0, 2 * EVERY_S)), max_size=30))
def test_the_text_is_whole_and_in_order_and_its_pieces_are_bounded(said: list[tuple[str, float]]) -> None:
    told: list[str] = []
    now_s = 0.0
    pieces = Pieces(told.append, now_s=lambda: now_s)
    for piece, passed_s in said:
        now_s += passed_s
        pieces(piece)
    pieces.flush()
    pieces.flush()
    assert "".join(told) == "".join(piece for piece, _ in said)
    assert all(0 < len(piece) <= PIECE_CHARS for piece in told)


def test_many_small_pieces_are_passed_on_as_few() -> None:
    """H-RES-11: a stream of single letters does not become as many events."""
    told: list[str] = []
    now_s = 0.0
    pieces = Pieces(told.append, now_s=lambda: now_s)
    for _ in range(1_000):
        pieces("x")
        now_s += 0.001
    pieces.flush()
    assert len(told) <= 12
    assert told[0] == "x"
