"""Drawing of the OLED: from a view to a 1-bit picture.

`layout` decides which lines stand on each screen page, captions of a voice agent
included, and how large they are; `rendering` draws them with Pillow, `text` replaces
what no font can show and shortens lines that are too long, and `fonts` loads the three
fonts of `fonts/`. Raqm, a library within Pillow, shapes Arabic and Indic text and
orders right-to-left lines. The same picture goes to the OLED (`appliance.panel`) and to
the page (`appliance.page`). Pillow is imported when the first picture is drawn, so
importing this package is cheap. Start with `rendering.picture`.
"""
