"""What the page says when it says no."""

from collections.abc import Mapping
from http import HTTPStatus

from appliance.errors import ApplianceError


class RequestRefused(ApplianceError):
    """A request that is answered with a reason instead of what it wanted."""

    def __init__(
        self,
        status: HTTPStatus,
        sentence: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Remember status, sentence and, where one field is to blame, its name."""
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence
        self.key = key
        self.headers = headers

    def __str__(self) -> str:
        """Return what the person reads."""
        return self.sentence

    @property
    def body(self) -> dict[str, str]:
        """The answer: `{"error": sentence}`, and `key` where there is one."""
        key = {} if self.key is None else {"key": self.key}
        return {"error": self.sentence, **key}
