"""Import of Pillow: late, and optional."""

import subprocess
import sys


def printed(program: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_pillow_is_not_imported_before_the_first_picture():
    program = """
import sys
import appliance.display.rendering, appliance.page.application, appliance.panel.screen
import appliance.assembly
print("PIL" in sys.modules)
from appliance.display import fonts
fonts.load()
print("PIL" in sys.modules)
"""
    assert printed(program).split() == ["False", "True"]


def test_the_page_shows_a_dark_screen_where_pillow_is_missing():
    program = """
import sys
sys.modules["PIL"] = None
import asyncio, base64, json
from appliance.page.messages import LatestView
latest = LatestView((128, 32))
asyncio.run(latest.prepare())
picture = json.loads(latest.json())["picture"]
print(picture["width"], picture["height"], set(base64.b64decode(picture["bits"])))
print(latest.drawing()[1])
"""
    assert printed(program) == "128 32 {0}\nNone\n"


def test_text_that_cannot_be_shaped_is_shown_all_the_same():
    # Where libfribidi is missing, Pillow has no Raqm.
    program = """
from PIL import ImageFont
ImageFont.core.HAVE_RAQM = False
from appliance.display import fonts
from appliance.display.rendering import picture
from tests.pictures.situations import SCRIPTS
pictures = [picture(view, (128, 64)) for view in SCRIPTS.values()]
print(fonts.text().pillow.layout_engine.name, all(x.getbbox() for x in pictures))
"""
    assert printed(program) == "BASIC True\n"
