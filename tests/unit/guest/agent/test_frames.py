"""Frames cut out of a stream, and the beginning of the next connection found in one that has no end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lima_guestagent.frames import MAX_FRAME, MAX_HEADER_BLOCK, PREFACE, RESTART, FrameError, FrameReader


def frame(kind: int, payload: bytes = b"", *, stream: int = 0, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(4, b"\0\3\0\0\0\x64")
OPENING = [PREFACE, SETTINGS, frame(8, b"\0\0\1\0")]
TUNNELLED = frame(0, b"\0\0\0\0\x50" + PREFACE + SETTINGS + b"and so on", stream=3)
"""A tunnelled connection may speak HTTP/2 itself."""
FRAMES = st.one_of(
    st.builds(lambda data, stream: frame(0, data, stream=2 * stream + 1), st.binary(max_size=40), st.integers(0, 9)),
    st.builds(lambda data: frame(1, data, stream=1, flags=4), st.binary(max_size=40)),
    st.just(frame(6, b"12345678")),
    st.just(TUNNELLED),
)


def feed(reader: FrameReader, data: bytes) -> list[object]:
    return list(reader.feed(data))


def fed(reader: FrameReader, data: bytes, sizes: list[int]) -> list[object]:
    """All that comes out of `data` in pieces of these sizes."""
    out, at = [], 0
    for size in sizes:
        out += feed(reader, data[at : at + size])
        at += size
    return out + feed(reader, data[at:])


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 60), max_size=20), st.booleans())
def test_pieces_of_any_size_give_the_same_frames(frames: list[bytes], sizes: list[int], endless: bool) -> None:
    reader = FrameReader(endless=endless)
    assert fed(reader, b"".join(OPENING + frames), sizes) == [RESTART, *OPENING, *frames]
    assert not reader.is_suspicious


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
def test_a_host_that_vanished_anywhere_does_not_hide_the_next(frames: list[bytes], data: st.DataObject) -> None:
    reader = FrameReader(endless=True)
    first = b"".join(OPENING + frames)
    cut = data.draw(st.integers(len(PREFACE), len(first)))
    sizes = data.draw(st.lists(st.integers(1, 80), max_size=20))
    rest = [*OPENING, frame(1, b"request", stream=1, flags=4)]
    out = fed(reader, first[:cut] + b"".join(rest), sizes)
    if reader.is_suspicious:
        reader.stalled()
        out += feed(reader, b"")
    for _ in frames:
        if out[-len(rest) - 1] is not RESTART:
            # the swallowed bytes ended where a frame of the next connection began: HTTP/2 refuses the stream's number
            reader.lost()
            out += feed(reader, b"")
    # whatever the cut frame swallowed, the next connection is whole and begins once
    assert out[-len(rest) - 1 :] == [RESTART, *rest]


def test_without_an_end_garbage_is_passed_over() -> None:
    reader = FrameReader(endless=True)
    assert feed(reader, b"garbage PRI * HTTP/2.0\r\n" + bytes(10_000) + PREFACE[:10]) == []
    assert feed(reader, PREFACE[10:] + SETTINGS) == [RESTART, PREFACE, SETTINGS]


def test_with_an_end_garbage_is_an_error() -> None:
    with pytest.raises(FrameError, match="no HTTP/2"):
        feed(FrameReader(), b"GET / HTTP/1.1\r\n")


def test_a_frame_that_the_layer_above_refused_is_searched_for_the_next_connection() -> None:
    reader = FrameReader(endless=True)
    out = []
    # the first host promised 40 bytes and went after three; the second one's first bytes complete the frame
    swallowed = frame(0, bytes(40), stream=1)[: 9 + 3] + b"".join(OPENING)
    for item in reader.feed(b"".join(OPENING) + swallowed + frame(6, b"12345678")):
        out.append(item)
        if isinstance(item, bytes) and PREFACE in item and item != PREFACE:
            reader.lost()
    assert out[-5:] == [RESTART, *OPENING, frame(6, b"12345678")]


def test_what_remains_after_the_host_left_is_forgotten() -> None:
    reader = FrameReader(endless=True)
    feed(reader, b"".join(OPENING) + frame(0, bytes(100), stream=1)[:50])
    reader.reset()
    assert feed(reader, b"".join(OPENING)) == [RESTART, *OPENING]


@pytest.mark.parametrize(
    "bad",
    [
        frame(0, b"", stream=1)[:0] + (MAX_FRAME + 1).to_bytes(3, "big") + b"\0\0\0\0\0\1",
        frame(1, bytes(MAX_HEADER_BLOCK), stream=1) + frame(9, b"x", stream=1),
        frame(4, b"12345"),
        frame(6, b"short"),
        frame(8, b"12345"),
    ],
)
def test_bounds(bad: bytes) -> None:
    with pytest.raises(FrameError):
        feed(FrameReader(), b"".join(OPENING) + bad)


def test_header_blocks_of_several_frames_are_added_up_however_they_arrive() -> None:
    blocks = [frame(1, bytes(40_000), stream=1), frame(9, bytes(20_000), stream=1), frame(9, bytes(10_000), stream=1)]
    reader = FrameReader()
    with pytest.raises(FrameError, match="header block"):
        fed(reader, b"".join(OPENING + blocks), [7] * 10_000)
