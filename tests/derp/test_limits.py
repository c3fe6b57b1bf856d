"""limits: the token bucket, and that the numbers fit each other."""

from derp.limits import MAX_PACKET, Limits, TokenBucket


def test_bucket_starts_full_and_refills() -> None:
    bucket = TokenBucket(rate=1.0, burst=3.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.9)
    assert bucket.take(101.0)
    assert not bucket.take(101.0)


def test_bucket_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=1.0, burst=2.0)
    assert bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_defaults_fit_each_other() -> None:
    limits = Limits()
    assert limits.admission_deadline < limits.handshake_deadline
    # A client gives up after 120 s of silence: one lost or late KeepAlive must not end it.
    assert 2 * limits.keepalive_interval <= 120
    assert limits.max_unauthenticated < limits.max_connections
    assert limits.write_buffer >= MAX_PACKET
    assert limits.max_websocket_message >= MAX_PACKET + 64
