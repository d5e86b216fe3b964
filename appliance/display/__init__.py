"""Drawing of the OLED: from a view to a 1-bit picture.

`layout` decides which lines stand on each screen page, also the agent's words, and
`line` how large they are; `rendering` draws them with Pillow, `text` makes foreign text
fit and `fonts` loads the three fonts of `fonts/`. Pillow's Raqm layout shapes Arabic
and Indic text and orders right-to-left lines. The same picture goes to the OLED
(`appliance.panel`) and to the page (`appliance.page`). Pillow is imported when the
first picture is drawn, so importing this package is cheap. Start with
`rendering.picture`.
"""
