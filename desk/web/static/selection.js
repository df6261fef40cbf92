// Pictures chosen together: click with Shift, Ctrl or on the corner, whole groups; one answer for all of them.
import { completeField } from "./completion.js";
import { say, toast } from "./store.js";

export const selection = new Set();
const bar = document.getElementById("selection");
const input = document.getElementById("selection-input");
const listeners = [];
let last = null; // where a range begins

export const onSelection = (listener) => listeners.push(listener);

function show() {
  bar.hidden = !selection.size;
  document.getElementById("selected").textContent = `${selection.size} selected`;
  listeners.forEach((listener) => listener());
}

export function clearSelection() {
  selection.clear();
  last = null;
  show();
}

export function selectAll(indices) {
  const all = indices.every((index) => selection.has(index));
  indices.forEach((index) => (all ? selection.delete(index) : selection.add(index)));
  show();
  if (selection.size) input.focus({ preventScroll: true });
}

// A click that chooses; false for one that means the picture itself. `order` is what the pictures stand in.
export function clickToSelect(event, index, order) {
  const corner = event.target.type === "checkbox";
  if (event.shiftKey && last !== null && order.includes(last)) {
    const [from, to] = [order.indexOf(last), order.indexOf(index)].sort((a, b) => a - b);
    order.slice(from, to + 1).forEach((one) => selection.add(one));
  } else if (event.shiftKey || event.ctrlKey || event.metaKey || corner) {
    if (!selection.delete(index)) selection.add(index);
  } else {
    return false;
  }
  last = index;
  show();
  return true;
}

async function answer(deed, name = "") {
  const count = selection.size;
  if (!count || !await say(deed, [...selection], name)) return;
  toast(deed === "clear" ? `${count} answers cleared` : `${count} saved${name && ` as ${name}`}`);
  field.clear();
  clearSelection();
}

const field = completeField(input, (text) => {
  if (text === "?") answer("unknown");
  else if (text === "x") answer("unusable");
  else if (text) answer("name", text);
});
bar.addEventListener("click", (event) => {
  const deed = event.target.closest("button")?.dataset.do;
  if (deed === "none") clearSelection();
  else if (deed) answer(deed);
});
