"""Private parts of LiveKit's SDK that the tests look at."""

from livekit.rtc._ffi_client import FfiClient, _live_handles


def native_library():
    return FfiClient.instance._ffi_lib


def subscribers():
    """Return the number of queues that take the library's events."""
    return len(FfiClient.instance.queue._subscribers)


def live_handles():
    """Return the number of the library's objects that are in use."""
    return len(_live_handles)
