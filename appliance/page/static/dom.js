// Helper functions for the document. Text from the room is only set by `textContent`, so
// that it is never parsed as HTML.

export const byId = (id) => document.getElementById(id);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setHidden(node, isHidden) {
  if (node.hidden !== isHidden) node.hidden = isHidden;
}

export function setAttribute(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// Updates the children of `list` to one per item, by key and in order. Existing nodes are
// kept, so that nothing flickers and screen readers read out only new items.
export function fill(list, items, { key, create, update }) {
  const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let before = list.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const node = known.get(name) ?? create(item);
    known.delete(name);
    node.dataset.key = name;
    update(node, item);
    if (node === before) before = before.nextElementSibling;
    else list.insertBefore(node, before);
  }
  for (const node of known.values()) node.remove();
}
