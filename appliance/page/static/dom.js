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

// Updates the children of `list` to one per item, by unique keys and in order. Nodes of the
// view before are used again and moved only if the order has changed, so that nothing
// flickers and screen readers read out only new items.
export function fill(list, items, { key, create, update }) {
  const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const nodes = items.map((item) => {
    const node = known.get(key(item)) ?? create(item);
    node.dataset.key = key(item);
    update(node, item);
    return node;
  });
  const used = new Set(nodes);
  for (const node of known.values()) if (!used.has(node)) node.remove();
  nodes.forEach((node, at) => {
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  });
}
