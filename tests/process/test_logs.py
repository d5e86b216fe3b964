"""Log lines: secrets, areas, their handler and their limit."""

import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Config, RoomConfig
from appliance.process.logs import (
    AREAS,
    HIDDEN,
    LINES,
    LONGEST_ENTRY,
    WINDOW_S,
    LogLimit,
    Redacting,
    area,
    is_run_by_systemd,
    journal_handler,
    redacted,
)
from appliance.tokens.adapter import secrets
from tests.clock import Clock

REPOSITORY = Path(__file__).parents[2]
HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
CLAIMS = "eyJpc3MiOiJBUEl4eHh4eHh4eCIsInN1YiI6ImJveCIsImV4cCI6MTc2NDAwMDAwMH0"
SIGNATURE = "q7Zb1mY0sVxk_3hJr-WcUe9TnLpGd5AoFiK2vXtBQ8M"
JWT = f"{HEADER}.{CLAIMS}.{SIGNATURE}"
SECRET = "k3JfKJdkfj39kfjdKJF93kfjsdlkfjKDJ93kfjsdlfkj"

START = """
import logging, sys, threading
from appliance.process.logs import start_logging
start_logging("info", ["hushhush"])
log = logging.getLogger("appliance.room.session")
"""
END = "from appliance.cli import end_process; end_process(3)"


def record(message, *args, name="appliance.room.session", exc_info=None):
    return logging.LogRecord(name, logging.INFO, "visit.py", 1, message, args, exc_info)


def written(*lines, **options):
    """Run lines in a fresh process; return it with what it wrote to stderr."""
    script = START + "\n".join(lines)
    command = [sys.executable, "-c", script]
    options = {"stderr": subprocess.PIPE} | options
    return subprocess.run(command, check=False, text=True, timeout=60, **options)


@given(
    before=st.text(), after=st.text(), place=st.sampled_from(["text", "args", "error"])
)
def test_a_token_anywhere_in_a_record_is_hidden(before, after, place):
    text = f"{before}{JWT}{after}"
    if place == "text":
        line = Redacting(has_time=True).format(record(text.replace("%", "%%")))
    elif place == "args":
        line = Redacting(has_time=True).format(record("failed  url=%r", text))
    else:
        line = Redacting(has_time=True).format(raised(text))
    assert SIGNATURE not in line
    assert CLAIMS not in line


def raised(text):
    try:
        complain(text)
    except ValueError as error:
        return record("failed", exc_info=(type(error), error, error.__traceback__))


def complain(text):
    cause = ConnectionError(text)
    cause.add_note(text)
    raise ValueError(text) from cause


@pytest.mark.parametrize(
    "line",
    [
        f"wss://host/rtc?access_token={SECRET}&protocol=16",
        f'"GET /rtc?protocol=16&access_token={SECRET} HTTP/1.1" 200',
        f"access_token={SECRET}",
        f"LIVEKIT_API_SECRET={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}",
        f"{{'Authorization': 'Bearer {SECRET}', 'x': 1}}",
        f"[(b'authorization', b'Bearer {SECRET}')]",
        f'{{"api_secret": "{SECRET}"}}',
        f'{{"participantToken":"{SECRET}"}}',
        f"JoinRoom(ticket=1, token='{SECRET}')",
        f"https://user:{SECRET}@host/path",
        f"https://host/path#{SECRET}",
        f"cookie: session={SECRET}; other=1",
        f"the secret is {SECRET}, do not tell",
        SECRET.join(["a 'quoted\\' ", "'"]),
    ],
)
def test_secrets_are_hidden_in_every_shape_that_libraries_print(line):
    assert SECRET not in redacted(line)


@pytest.mark.parametrize(
    "line",
    [
        "joined  room=kitchen after_s=1.4",
        "token fetch started  url=https://tokens.example/api/token",
        "no token: the source answered 500",
        "button pressed  button=talk",
        'microphone lost  device="USB PnP Sound Device" retry_s=5',
        "tests/process/test_logs.py::test_a_very_long_name_that_goes_on_and_on_99",
    ],
)
def test_ordinary_lines_stay_as_they_are(line):
    assert redacted(line) == line


@given(st.text())
def test_a_given_secret_is_hidden_everywhere(text):
    assert "hushhush" not in redacted(f"{text}hushhush{text}", ["hushhush"])


@pytest.mark.parametrize("secret", ["a1b2", "abcde", "s3cret"])
def test_a_short_secret_of_the_configuration_is_hidden(secret):
    config = Config(room=RoomConfig(token_query={"key": secret}))
    assert redacted(f"answered {secret}!", secrets(config)) == f"answered {HIDDEN}!"


def test_fewer_than_four_letters_are_not_hidden():
    config = Config(room=RoomConfig(token_query={"voice": "id", "v": "2"}))
    line = "did not answer within 2 s"
    assert redacted(line, secrets(config)) == line


@given(st.text(max_size=50), st.integers(0, LONGEST_ENTRY))
def test_an_entry_is_bounded_and_ends_with_no_half_token(text, at):
    line = redacted(f"{text} " + "x " * (at // 2) + JWT + " y" * LONGEST_ENTRY)
    assert len(line) < 2 * LONGEST_ENTRY
    assert CLAIMS[:12] not in line


@given(st.text(alphabet=st.characters(), max_size=200))
def test_every_line_can_be_written_and_has_no_control_characters(text):
    line = Redacting(has_time=False).format(record("%s", text))
    line.encode()
    assert not [character for character in line if ord(character) < ord(" ")]


def test_a_line_feed_in_a_name_does_not_forge_an_entry():
    line = Redacting(has_time=False).format(record("joined  name=%s", "x\n[auth] y"))
    assert line == "[rtc] joined  name=x\\n[auth] y"


@pytest.mark.parametrize(
    ("logger", "tag"),
    [
        ("appliance.tokens.adapter", "auth"),
        ("appliance.room.session", "rtc"),
        ("appliance.room.chat_format", "chat"),
        ("appliance.room.chat_channel", "chat"),
        ("appliance.page.adapter", "ui"),
        ("appliance.audio.supervisor", "audio"),
        ("appliance.panel.screen", "panel"),
        ("appliance.net.network_monitor", "system"),
        ("appliance.app", "system"),
        ("livekit", "rtc"),
        ("uvicorn.error", "ui"),
        ("asyncio", "system"),
        ("root", "system"),
    ],
)
def test_each_logger_has_its_area(logger, tag):
    assert area(logger) == tag


LOGGERS = {
    str(path.relative_to(REPOSITORY).with_suffix("")).replace("/", ".")
    for path in REPOSITORY.glob("appliance/**/*.py")
    if "getLogger(__name__)" in path.read_text()
}
"""Names of the loggers that the modules really create."""


def test_every_area_has_a_logger():
    assert {area(name) for name in LOGGERS} == {*AREAS.values(), "system"}


@pytest.mark.parametrize("name", [x for x in AREAS if x.startswith("appliance")])
def test_the_table_of_areas_names_modules_that_exist(name):
    assert find_spec(name) is not None


def test_the_modules_that_send_read_or_count_chat_log_as_chat():
    chat = {name for name in LOGGERS if area(name) == "chat"}
    assert chat == {"appliance.metrics.counters", "appliance.room.chat_channel"}


def test_the_journal_gets_the_redacted_line_and_no_raw_arguments():
    entries = []
    handler = journal_handler(
        lambda message, **fields: entries.append((message, fields))
    )
    assert handler is not None
    handler.setFormatter(Redacting(("hushhush",), has_time=False))
    handler.handle(raised(JWT))
    handler.handle(record("said  what=%s", "hushhush"))
    assert [message.splitlines()[0] for message, _ in entries] == [
        "[rtc] failed",
        f"[rtc] said  what={HIDDEN}",
    ]
    assert SIGNATURE not in repr(entries)
    assert "hushhush" not in repr(entries)
    assert entries[0][1]["PRIORITY"] == "6"
    assert entries[0][1]["SYSLOG_IDENTIFIER"] == "ptt-appliance"


def test_the_journal_is_used_only_when_stderr_is_the_journal(tmp_path):
    with (tmp_path / "stderr").open("w") as file:
        status = os.fstat(file.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_run_by_systemd(stream, file.fileno())
        assert not is_run_by_systemd({"JOURNAL_STREAM": "1:2"}, file.fileno())
        assert not is_run_by_systemd({}, file.fileno())
    assert not is_run_by_systemd(stream, descriptor=-1)


def test_libraries_log_only_warnings_without_secrets():
    done = written(
        "logging.getLogger('httpx').info('HTTP Request: GET https://a/b')",
        f"logging.getLogger('livekit').warning('url %s', 'wss://a/rtc?x={SECRET}')",
        "log.info('joined  room=%s', 'kitchen')",
    )
    lines = [line[9:] for line in done.stderr.splitlines()]
    assert lines == [
        f"WARNING [rtc] url wss://a/rtc?{HIDDEN}",
        "INFO    [rtc] joined  room=kitchen",
    ]


def test_uncaught_exceptions_are_redacted_too():
    done = written(
        f"thread = threading.Thread(target=int, args=('{JWT}',))",
        "thread.start(); thread.join()",
        "raise ValueError('hushhush')",
    )
    assert done.returncode == 1
    assert done.stderr.count("CRITICAL [system] unexpected error") == 2
    assert SIGNATURE not in done.stderr
    assert "hushhush" not in done.stderr


def test_a_full_disk_does_not_end_the_process():
    with Path("/dev/full").open("w") as full:
        done = written("log.info('x' * 9000)", END, stderr=full)
    assert done.returncode == 3


def test_a_closed_terminal_does_not_end_the_process():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = written("log.info('x' * 9000)", END, stderr=writer)
    finally:
        os.close(writer)
    assert done.returncode == 3


def test_a_process_without_standard_error_runs():
    script = START + "log.info('x')\nsys.exit(3)"
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
    assert subprocess.run(command, check=False, timeout=60).returncode == 3


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def logger(caplog):
    caplog.set_level(logging.DEBUG)
    return logging.getLogger("appliance.process.test")


def test_a_few_lines_of_a_kind_are_admitted_and_the_others_counted(
    clock, logger, caplog
):
    limit = LogLimit(now_s=clock)
    for number in range(LINES + 5):
        limit.log(logger, logging.WARNING, "dropped  number=%d", number)
        limit.log(logger, logging.INFO, "ended")
    shown = [x for x in caplog.records if x.levelno > logging.DEBUG]
    assert len(shown) == 2 * LINES
    clock.now_s += WINDOW_S
    limit.log(logger, logging.WARNING, "dropped  number=%d", 99)
    limit.log(logger, logging.WARNING, "dropped  number=%d", 100)
    last = [x.getMessage() for x in caplog.records[-2:]]
    assert last == ["dropped  number=99  left_out=5", "dropped  number=100"]
