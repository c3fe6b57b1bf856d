"""Framing of the map stream: `u32 little-endian length` + that many bytes of zstd.

A client that does not name zstd in `MapRequest.Compress` is sent plain JSON behind the length.

The client's decoder takes several concatenated zstd frames as one message, so parts that many viewers share
are compressed once and joined (proven with 1.80.3 and 1.102.3). Source: tailscale
control/controlclient/direct.go.
"""

from __future__ import annotations

from collections.abc import Iterable

import zstandard

_LENGTH_BYTES = 4
_compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)


def compress(data: bytes) -> bytes:
    """One complete zstd frame."""
    return _compressor.compress(data)


def frame(parts: Iterable[bytes]) -> bytes:
    """One map message from zstd frames whose plaintexts, joined, are a JSON document."""
    body = b"".join(parts)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


END = compress(b"}")
"""The end of a document in several frames."""


def uncompressed(framed: bytes) -> bytes:
    """A framed message for a client that did not ask for zstd: the same document, bare behind its length."""
    body = framed[_LENGTH_BYTES:]
    with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
        document = reader.read()
    return len(document).to_bytes(_LENGTH_BYTES, "little") + document


def message(document: bytes) -> bytes:
    """Compress and frame a whole document."""
    return frame((compress(document),))
