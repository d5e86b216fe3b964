"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.net.rate_limit import Bucket, Buckets, Rate, RateLimit


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=200))
def test_a_bucket_never_gives_more_than_its_rate(gaps):
    bucket = Bucket(Rate(burst=5, per_s=2), 0.0)
    now_s, taken = 0.0, 0
    for gap_s in gaps:
        now_s += gap_s
        taken += bucket.may(now_s)
    assert taken <= 5 + 2 * now_s + 1e-6


def test_the_memory_for_buckets_is_bounded():
    buckets = Buckets(Rate(burst=1, per_s=1))
    clients = [str(number) for number in range(1000)]
    assert all(buckets.may(client, 0.0) for client in clients)
    remembered = [client for client in clients if buckets.wait_s(client, 0.0)]
    assert remembered == clients[-Buckets.KEPT :]


def test_the_wait_is_the_time_to_the_next_token():
    bucket = Bucket(Rate(burst=2, per_s=0.5), 0.0)
    assert bucket.may(0.0)
    assert bucket.wait_s(0.0) == 0
    assert bucket.may(0.0)
    assert not bucket.may(0.5)
    assert bucket.wait_s(0.5) == 1.5
    assert bucket.may(2.0)


def test_a_client_that_is_forgotten_has_all_its_tries_again():
    buckets = Buckets(Rate(burst=1, per_s=1))
    assert buckets.may("a", 0.0)
    assert buckets.wait_s("a", 0.0) == 1
    assert buckets.wait_s("b", 0.0) == 0
    buckets.forget("a")
    assert buckets.may("a", 0.0)


def test_one_client_cannot_use_up_the_rate_of_all():
    limit = RateLimit(Rate(burst=1, per_s=1), Rate(burst=2, per_s=1), lambda: 0.0)
    assert [limit.take("a"), limit.take("a"), limit.take("b")] == [True, False, True]
    assert not limit.take("c")
    assert limit.wait_s("c") == 1
