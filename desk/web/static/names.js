// "Names": spell one otherwise, merge two, see what a name holds.
import { showNamed } from "./grid.js";
import { make } from "./nodes.js";
import { listen, rename, store, toast } from "./store.js";

const rows = document.getElementById("name-rows");
let goTo = () => null;

function edit(row, one) {
  const input = make("input", { value: one.name, ariaLabel: `another name for ${one.name}` });
  const save = make("button", { textContent: "save", className: "main" });
  const hint = () => {
    const other = store.state.names.find((name) => name.toLowerCase() === input.value.trim().toLowerCase() && name !== one.name);
    save.textContent = other ? `merge into ${other}` : "save";
    return other;
  };
  const keep = async () => {
    const name = hint() ?? input.value.trim();
    if (!name || name === one.name) return paint(true);
    if (await rename(one.name, name)) toast(`${one.name} is now ${name}`);
    return paint(true);
  };
  input.addEventListener("input", hint);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") keep();
    else if (event.key === "Escape") paint(true);
  });
  save.addEventListener("click", keep);
  row.cells[0].replaceChildren(input);
  row.cells[3].replaceChildren(make("span", { className: "buttons" }, save));
  input.select();
}

function makeRow(one) {
  const show = make("button", { textContent: "show" }), other = make("button", { textContent: "rename" });
  const row = make("tr", {}, make("td", { textContent: one.name }), make("td", { className: "n", textContent: one.pictures }),
    make("td", { className: "n", textContent: one.given }), make("td", {}, make("span", { className: "buttons" }, show, other)));
  show.addEventListener("click", () => { showNamed(one.name); goTo("all"); });
  other.addEventListener("click", () => edit(row, one));
  return row;
}

function paint(always = false) {
  if (!store.state?.sorted || (!always && rows.contains(document.activeElement))) return;
  const names = store.state.sorted.names;
  const none = make("tr", {}, make("td", { colSpan: 4, textContent: "No name yet: go to “Name these next”." }));
  rows.replaceChildren(...(names.length ? names.map(makeRow) : [none]));
}

listen(() => paint());

export function showNames(openTab) {
  goTo = openTab;
  paint(true);
}
