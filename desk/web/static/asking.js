// "Name these next": one picture after another, or all of them on a sheet.
import { completeField } from "./completion.js";
import { makeCell, paintCell, thumb } from "./cells.js";
import { place, look } from "./net.js";
import { make } from "./nodes.js";
import { clearSelection, clickToSelect, onSelection, selection } from "./selection.js";
import { listen, nameOf, NOTHING, say, standingOf, store } from "./store.js";
import { openViewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const QUEUE = 12, SHEET = 24;
const PAUSE = 600; // ms after which a lone x is no longer the beginning of a name
let current = null, asSheet = false, waiting;
const passed = []; // pictures that were shown before this one, the last one last
const skipped = new Set();

const input = $("name-input");
const field = completeField(input, enter);

const isOpen = (index) => store.columns?.states?.[index] === NOTHING && !skipped.has(index);
const proposal = () => (store.state?.sorted?.proposal ?? []).filter(isOpen);

function go(index, remember = true) {
  clearTimeout(waiting);
  if (remember && current !== null) passed.push(current);
  current = index ?? null;
  field.clear();
  paint();
}

function goOn() {
  go(proposal().find((index) => index !== current));
}

function goBack() {
  if (!passed.length) return;
  go(passed.pop(), false);
  if (store.columns.states[current] === 1) { input.value = nameOf(current); input.select(); }
}

async function enter(text) {
  clearTimeout(waiting);
  if (current === null) return;
  if (!text) { skipped.add(current); goOn(); return; }
  if (text === "?") return answer("unknown");
  if (text === "x") return answer("unusable");
  return answer("name", text);
}

async function answer(deed, name = "") {
  clearTimeout(waiting);
  const index = current;
  if (index === null || !await say(deed, [index], name)) return;
  skipped.delete(index);
  if (index === current) goOn();
}

input.addEventListener("keydown", (event) => {
  if (event.key === "Backspace" && !input.value) { event.preventDefault(); goBack(); }
});
input.addEventListener("input", () => {
  clearTimeout(waiting);
  if (input.value === "?") answer("unknown");
  else if (input.value === "x") waiting = setTimeout(() => answer("unusable"), PAUSE);
});
$("answer-unknown").addEventListener("click", () => answer("unknown").then(() => input.focus()));
$("answer-unusable").addEventListener("click", () => answer("unusable").then(() => input.focus()));
$("back").addEventListener("click", () => { goBack(); input.focus(); });
$("next").addEventListener("click", () => { enter(""); input.focus(); });
$("current-picture").addEventListener("click", () => current !== null && openViewer(current, proposal()));

function setView(sheet) {
  asSheet = sheet;
  $("view-one").setAttribute("aria-pressed", String(!sheet));
  $("view-sheet").setAttribute("aria-pressed", String(sheet));
  clearSelection();
  paint();
}
$("view-one").addEventListener("click", () => setView(false));
$("view-sheet").addEventListener("click", () => setView(true));

let asked = null; // the picture whose reasons are being asked for
async function paintReasons() {
  const index = asked = current;
  $("because").replaceChildren();
  if (index === null || !store.state.sorted.given) return;
  const facts = await look(`api/picture/${index}`).catch(() => null);
  if (asked !== index || !facts?.because?.length) return;
  const like = [...facts.because.slice(0, 2), ...(facts.instead ? [facts.instead] : [])];
  $("because").replaceChildren(...like.map((one) => thumb(one.index, one.name, (other) => openViewer(other, []))));
}

function paintOne() {
  const queue = proposal();
  if (current === null) current = queue[0] ?? null;
  const done = current === null;
  $("current").hidden = done;
  if (done) {
    $("guess").textContent = store.state?.sorted ? "Nothing more to ask: every picture is named or skipped." : "";
    $("queue").replaceChildren();
    return;
  }
  const source = place(`photograph/${current}?${store.contents[current].slice(0, 12)}`);
  if ($("current-picture").src !== source) {
    $("current-picture").src = source;
    $("current-picture").alt = store.files[current];
    paintReasons();
  }
  $("current-picture").dataset.index = current;
  $("current-file").textContent = store.files[current];
  const { kind, share } = standingOf(current);
  $("guess").textContent = kind === "none" ? "" : kind === "given" ? `you called it ${nameOf(current)}`
    : `looks like ${nameOf(current)} (${(share / 100).toFixed(2)})`;
  $("queue").replaceChildren(...[current, ...queue.filter((one) => one !== current)].slice(0, QUEUE).map((index) => {
    const figure = thumb(index, "", (other) => { go(other); input.focus(); });
    figure.classList.toggle("now", index === current);
    return figure;
  }));
  const next = queue.find((one) => one !== current);
  if (next !== undefined) new Image().src = place(`photograph/${next}?${store.contents[next].slice(0, 12)}`); // soon asked for
}

function paintSheet() {
  const shown = proposal().slice(0, SHEET);
  $("sheet").replaceChildren(...shown.map((index) => {
    const cell = makeCell(index);
    paintCell(cell, selection.has(index));
    cell.addEventListener("click", (event) => clickToSelect(event, index, shown) || clickToSelect({ ctrlKey: true, target: cell }, index, shown));
    return cell;
  }));
}

let changed = ""; // the standing whose changes are shown
function paintChanges() {
  const { sorted } = store.state;
  const standing = `${store.state.seat} ${sorted?.version}`;
  if (!sorted || standing === changed) return;
  const first = changed === "";
  changed = standing;
  if (first || !sorted.given) { $("changes").replaceChildren(); return; }
  const title = sorted.changes ? `${sorted.changes} pictures changed their name` : "No picture changed its name";
  $("changes").replaceChildren(make("h3", { textContent: title }), make("div", { className: "thumbs" },
    ...sorted.changed.map((index) => thumb(index, nameOf(index), (other) => openViewer(other, sorted.changed)))));
}

function paint() {
  if (!store.columns || $("ask").hidden) return;
  $("one").hidden = asSheet;
  $("sheet").hidden = !asSheet;
  if (asSheet) paintSheet();
  else paintOne();
  paintChanges();
}

onSelection(() => { if (asSheet && !$("ask").hidden) paintSheet(); });
listen((before) => {
  if (before?.sorted && store.state.version > before.version && current !== null && !isOpen(current) && !passed.includes(current)
      && document.activeElement !== input) goOn(); // answered elsewhere
  paint();
});

export function showAsking() {
  paint();
  if (!asSheet && matchMedia("(hover: hover)").matches) input.focus();
}
