"""The fault table against the code that uses it, the view and README."""

import ast
import re
from pathlib import Path

import pytest

from appliance.config import Config, ScreenConfig
from appliance.config.load import load
from appliance.core import fault_table
from appliance.core.events import Button, ButtonPressed, Part, PartFound, PartLost
from appliance.core.fault_table import TABLE, FaultKind, joined
from tests.core.story import CoreHarness

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "appliance"
NAME = re.compile(r"{(\w+)}")
LINE = re.compile(r"[Ww]rite (\S+: .+?)(, and .+)?\.?$")
"""A line of the configuration at the end of a remedy."""
QUOTED = re.compile(r"`([^`]+)`")
ADAPTERS = ("audio", "panel", "process", "page", "doctor")
REASONED = ("SoundError", "PanelError", "PartLost", ".lost")
"""Calls that take the reason of a fault."""
REASON = re.compile(r"(^|_)(reason|notice|obstacle|trouble)s?\b")
"""Names of what becomes the words of a fault."""
README_TITLE = "## When something is wrong\n"
SOUND_ROW = "no sound from the speaker"
PANEL_ROW = "a button, a lamp or the screen does nothing"
VOLUME_ROW = "`its level is too low: …`"
OTHER_CARD_ROW = "`speaker: …, not a USB card`"
ROWS = {
    "alsa-configuration": "`sound: /etc/asound.conf, line 4: …`",
    "button-held": "`button is held down`",
    "card-first-in-use": OTHER_CARD_ROW,
    "card-loses-sound": "`it loses sound`",
    "card-not-usb": OTHER_CARD_ROW,
    "card-other-wish": OTHER_CARD_ROW,
    "microphone-silent": "`it delivers only silence`",
    **dict.fromkeys(("card-levels", "card-mixer", "card-no-level"), VOLUME_ROW),
    "card-no-mixer": VOLUME_ROW,
    **dict.fromkeys(("card", "usb", "sound"), SOUND_ROW),
    **dict.fromkeys(("screen", "device", "gpio", "pin", "button", "panel"), PANEL_ROW),
    **dict.fromkeys(("store", "pairings"), "`store: …`"),
    "page": "the page does not open",
}
"""Part of the first column of README's table, by the beginning of a fault's id."""


def of_kind(*kinds):
    return [fault for fault in TABLE if fault.kind in kinds]


def by_id(fault):
    return fault.id


def facts(fault):
    """Return a value for each name in its sentences."""
    names = NAME.findall(fault.words + fault.remedy)
    return {name: f"some {name}" for name in names}


def trouble_rows():
    """Return the first column of README's table, row by row."""
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.split(README_TITLE)[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows[1:]]


def words_of_core():
    """Return every text constant of the code that decides what is shown."""
    trees = [ast.parse(path.read_text()) for path in (PACKAGE / "core").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    constants = (
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and node not in docstrings
    )
    return [value for value in constants if isinstance(value, str)]


def test_each_fault_has_an_identifier_of_its_own():
    ids = [fault.id for fault in TABLE]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("fault", TABLE, ids=by_id)
def test_each_fault_is_reported_by_some_module(fault):
    name = next(key for key, value in vars(fault_table).items() if value is fault)
    used = re.compile(rf"\bfault_table\.{name}\b")
    assert any(used.search(path.read_text()) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("fault", TABLE, ids=by_id)
def test_a_sentence_says_what_is_wrong_and_then_what_to_do(fault):
    text = fault.text(**facts(fault))
    assert text.startswith(fault.described(**facts(fault)))
    rest = text.removeprefix(fault.described(**facts(fault)))
    assert fault.advice(**facts(fault)).strip(".").casefold() in rest.casefold()
    assert not fault.remedy or fault.remedy[-1] in ".?}"


@pytest.mark.parametrize("fault", of_kind(FaultKind.LOST, FaultKind.NOTICE), ids=by_id)
def test_a_fault_of_a_part_is_shown_has_its_identifier_and_lights_the_lamp(fault):
    box, text = CoreHarness(), fault.text(**facts(fault))
    if fault.kind is FaultKind.LOST:
        box.play(PartLost(Part.SPEAKER, "USB Audio", text))
        assert box.view().faults == (f"speaker: USB Audio: {text}",)
    else:
        box.play(PartFound(Part.SPEAKER, "USB Audio", text))
        assert box.view().faults == (f"speaker: USB Audio, {text}",)
    assert box.view().lamps.fault
    # Only a driver's own words: nothing but the part is known.
    is_unknown = fault.likeness(text) == 0
    assert is_unknown == (fault.words == "{error}" and not fault.remedy)
    expected = fault_table.CARD_NOT_OPEN.id if is_unknown else fault.id
    assert box.view().fault_ids == (expected,)


def test_each_of_several_notices_has_its_identifier():
    faults = of_kind(FaultKind.NOTICE)
    box, texts = CoreHarness(), [fault.text(**facts(fault)) for fault in faults]
    box.play(PartFound(Part.SPEAKER, "USB Audio", joined(texts)))
    assert box.view().fault_ids == tuple(fault.id for fault in faults)


def test_a_button_that_is_held_down_is_shown_has_its_identifier_and_lights_the_lamp():
    box = CoreHarness()
    box.play(ButtonPressed(Button.LEAVE, is_at_boot=True))
    assert box.view().faults == (fault_table.BUTTON_HELD.text(button="leave"),)
    assert box.view().fault_ids == (fault_table.BUTTON_HELD.id,)
    assert box.view().lamps.fault


@pytest.mark.parametrize(("driver", "is_fault"), [("auto", False), ("ssd1306", True)])
def test_a_missing_screen_is_shown_but_is_a_fault_only_if_it_is_configured(
    driver, is_fault
):
    box = CoreHarness(Config(screen=ScreenConfig(driver=driver)))
    box.play(PartLost(Part.SCREEN, "OLED", "nobody answers"))
    assert box.view().faults == ("screen: OLED: nobody answers",)
    assert box.view().lamps.fault is is_fault
    assert box.view().fault_ids == ((fault_table.BUS_FAILED.id,) if is_fault else ())


@pytest.mark.parametrize("fault", TABLE, ids=by_id)
def test_each_fault_that_a_person_sees_has_a_row_in_the_readme(fault):
    beginnings = [beginning for beginning in ROWS if fault.id.startswith(beginning)]
    assert bool(beginnings) is (fault.kind is not FaultKind.CHECK)
    if beginnings:
        assert any(ROWS[beginnings[0]] in row for row in trouble_rows())


@pytest.mark.parametrize("quoted", QUOTED.findall("\n".join(trouble_rows())))
def test_words_quoted_in_the_readme_are_words_that_the_box_shows(quoted):
    if any(re.fullmatch(pattern_of(fault), quoted) for fault in TABLE):
        return
    known = words_of_core()
    for piece in quoted.removesuffix("…").rstrip(" :").split(": "):
        assert any(piece in word for word in known), piece


def pattern_of(fault):
    """Return a pattern for the fault as page and OLED show it, with any facts."""
    parts = NAME.split(fault.words)[::2]
    if parts == ["", ""]:
        # The words of another program: they match everything.
        return "(?!)"
    return r"(\w+: )*(…, )?" + ".+".join(map(re.escape, parts)) + ".*"


@pytest.mark.parametrize(
    ("fault", "facts"),
    [
        (fault_table.MIXER_FAILED, {"error": "no answer"}),
        (
            fault_table.CARD_VOLUME,
            {"levels": "", "commands": "", "direction": "speaker", "percent": 80},
        ),
    ],
    ids=lambda value: getattr(value, "id", ""),
)
def test_a_line_that_a_remedy_says_to_write_is_a_configuration(tmp_path, fault, facts):
    found = LINE.search(fault.text(**facts))
    assert found is not None
    file = tmp_path / "config.yaml"
    file.write_text(found[1])
    assert load(file, (), {}).config != Config()


def test_the_adapters_have_no_sentences_about_faults_of_their_own():
    paths = [path for folder in ADAPTERS for path in (PACKAGE / folder).glob("*.py")]
    found = [
        f"{path.name}:{line}"
        for path in paths
        for line in own_sentences(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "raise SoundError(name, 'it is broken')",
        "report.lost(f'{name} is broken')",
        "reason = 'it is broken' if name else ''",
        "self._obstacles = {name: f'not {name}, in use' for name in names}",
        "notice: str = 'it is broken'",
        "reasons[name] = f'{name} is broken'",
        "def _obstacle(name):\n    return 'it is broken'",
        "Device(obstacle=f'{name} is broken')",
    ],
)
def test_a_sentence_in_the_code_of_an_adapter_is_found(code):
    assert list(own_sentences(ast.parse(code)))


def own_sentences(tree):
    """Yield the line of each text in the code itself that becomes a fault's words."""
    for node in ast.walk(tree):
        for value in reasons_in(node):
            yield from (x.lineno for x in shown_nodes(value) if is_text(x))


def reasons_in(node):
    """Return the expressions of this node that become the words of a fault."""
    match node:
        case ast.Call() if ast.unparse(node.func).endswith(REASONED):
            return node.args
        case ast.Assign() if REASON.search(ast.unparse(node.targets[0])):
            return [node.value]
        case ast.AnnAssign(value=ast.expr()) if REASON.search(ast.unparse(node.target)):
            return [node.value]
        case ast.keyword(arg=str(name)) if REASON.search(name):
            return [node.value]
        case ast.FunctionDef() if REASON.search(node.name):
            returned = (x for x in ast.walk(node) if isinstance(x, ast.Return))
            return [x.value for x in returned if x.value is not None]
    return []


def shown_nodes(node):
    """Yield the expression and its parts, without the arguments of other functions."""
    yield node
    if isinstance(node, ast.Call | ast.JoinedStr | ast.Compare):
        return
    for child in ast.iter_child_nodes(node):
        yield from shown_nodes(child)


def is_text(node):
    """Return whether it is a sentence: several words written in the code."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return any(
        isinstance(x, ast.Constant) and isinstance(x.value, str) and " " in x.value
        for x in parts
    )
