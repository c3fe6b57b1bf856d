"""The framing of the map stream."""

from __future__ import annotations

import io

import zstandard

from coordinator.tailcfg.framing import compress, frame, message, uncompressed


def plaintext(framed: bytes) -> bytes:
    length = int.from_bytes(framed[:4], "little")
    assert len(framed) == 4 + length
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(framed[4:]), read_across_frames=True)
    return reader.read()


def test_a_message_is_length_and_zstd() -> None:
    assert plaintext(message(b'{"KeepAlive":true}\n')) == b'{"KeepAlive":true}\n'


def test_parts_join_to_one_document() -> None:
    assert plaintext(frame([compress(b'{"a":'), compress(b"1"), compress(b"}")])) == b'{"a":1}'


def test_the_same_document_without_compression() -> None:
    parts = [compress(b'{"a":'), compress(b"1"), compress(b"}")]
    assert uncompressed(frame(parts)) == len(b'{"a":1}').to_bytes(4, "little") + b'{"a":1}'
