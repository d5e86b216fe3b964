// State of the box: the picture on its OLED, and its lamps.

import { byId, setAttribute, setText } from "./dom.js";

const LIT = [0xd8, 0xf3, 0xff, 0xff];
const DARK = [0x05, 0x07, 0x0a, 0xff];

const canvas = byId("screen");
let drawn = "";

export function show(view) {
  const { picture, screen, lamps } = view;
  if (picture.bits !== drawn) draw(picture);
  setAttribute(canvas, "aria-label", `Screen of the box: ${screen.filter(Boolean).join(". ")}`);
  for (const [name, isLit] of Object.entries(lamps)) {
    const lamp = byId(`lamp-${name}`);
    if (lamp === null) continue;
    setAttribute(lamp, "data-lit", isLit);
    setText(lamp.querySelector(".sr"), isLit ? " lit" : " dark");
  }
}

function draw({ width, height, bits }) {
  drawn = bits;
  const rows = Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    const isLit = (rows[i >> 3] >> (7 - (i & 7))) & 1;
    image.data.set(isLit ? LIT : DARK, 4 * i);
  }
  context.putImageData(image, 0, 0);
}
