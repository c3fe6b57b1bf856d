"""The ts2021 transport, without I/O: Noise IK handshake, 4 KiB records, early payload.

Bytes in, events and bytes out. Sockets are driven by `coordinator.control.noise_stream`. The third-party
library imports as `noise`, this room only as `coordinator.noise`.
"""
