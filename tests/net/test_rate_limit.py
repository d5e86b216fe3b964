"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.net.rate_limit import Bucket, Buckets, Rate


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=200))
def test_a_bucket_never_gives_more_than_its_rate(gaps):
    bucket = Bucket(Rate(burst=5, per_s=2), 0.0)
    now_s, taken = 0.0, 0
    for gap_s in gaps:
        now_s += gap_s
        taken += bucket.may(now_s)
    assert taken <= 5 + 2 * now_s + 1e-6


def test_the_memory_for_buckets_is_bounded():
    buckets = Buckets(Rate(burst=1, per_s=0))
    clients = [str(number) for number in range(1000)]
    assert all(buckets.may(client, 0.0) for client in clients)
    remembered = [client for client in clients if buckets.is_spent(client, 0.0)]
    assert remembered == clients[-Buckets.KEPT :]
