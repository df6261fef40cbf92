// "All pictures": only the cells that are in sight exist, so that 50,000 pictures scroll as lightly as 500.
import { makeCell, paintCell } from "./cells.js";
import { clearSelection, clickToSelect, onSelection, selectAll, selection } from "./selection.js";
import { ask } from "./net.js";
import { make } from "./nodes.js";
import { flowRows, oncePerFrame, rowsBetween } from "./rows.js";
import { attempt, disagrees, listen, NAMED, nameOf, NOTHING, standingOf, store, sure, UNKNOWN, UNUSABLE } from "./store.js";
import { openViewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const GAP = 6, HEAD = 34, AROUND = 600; // pixels: between cells, of a heading, drawn beyond the edges
let order = [], rows = [], cells = new Map(), heads = new Map();

const FILTERS = {
  all: () => true,
  unsure: (index) => store.columns.states[index] === NOTHING && store.columns.confidence[index] < sure,
  disagrees: (index) => store.columns.labels[index] >= 0 && store.columns.disagreement[index] >= disagrees,
  odd: (index) => store.landscape?.odd?.[index] === 1,
  twins: (index) => (store.landscape?.twins?.[index] ?? -1) >= 0,
  unlike: (index) => store.columns.states[index] === NOTHING && store.columns.labels[index] >= 0 && store.columns.unlike[index] >= 50,
  given: (index) => store.columns.states[index] !== NOTHING,
};

function strip() {
  return store.landscape?.strip ?? store.files.keys();
}

function kept() {
  const wanted = $("find").value.trim().toLowerCase(), passes = FILTERS[$("filter").value];
  const found = (index) => !wanted || store.files[index].toLowerCase().includes(wanted) || nameOf(index).toLowerCase().includes(wanted);
  return Array.from(strip()).filter((index) => passes(index) && found(index));
}

function bundle(indices, title) { // sections in the order of their titles
  const sections = new Map();
  for (const index of indices) {
    const name = title(index);
    if (!sections.has(name)) sections.set(name, []);
    sections.get(name).push(index);
  }
  return sections;
}

const LAST = ["no name yet", "unknown kind", "no such object"];
function titleByName(index) {
  const said = store.columns.states[index];
  return said === UNKNOWN ? LAST[1] : said === UNUSABLE ? LAST[2] : nameOf(index) || LAST[0];
}

const trust = (index) => (store.columns.states[index] === NAMED ? 101 : store.columns.confidence[index]);

function arrange(indices) {
  const { landscape, columns } = store;
  if ($("filter").value === "twins") {
    const sections = bundle(indices, (index) => landscape.twins[index]);
    return [...sections.values()].map((members, place) => [`near duplicates ${place + 1}`, members]);
  }
  if ($("filter").value === "disagrees") {
    return [["the strongest disagreement first", indices.sort((a, b) => columns.disagreement[b] - columns.disagreement[a])]];
  }
  switch ($("arrange").value) {
    case "name": {
      const sections = [...bundle(indices, titleByName)].sort(([a], [b]) => LAST.indexOf(a) - LAST.indexOf(b) || a.localeCompare(b));
      sections.forEach(([, members]) => members.sort((a, b) => trust(b) - trust(a)));
      return sections;
    }
    case "group": {
      if (!landscape?.groups) return [["the groups are still being looked for", indices]];
      return [...bundle(indices, (index) => landscape.groups[index])].sort(([a], [b]) => a - b)
        .map(([group, members]) => [`group ${group + 1}`, members]);
    }
    case "confidence": return [["the least sure first", indices.sort((a, b) => trust(a) - trust(b))]];
    default: return [["neighbours look alike", indices]];
  }
}

function tally(members) { // what a section is called so far
  const counts = new Map();
  members.forEach((index) => { const name = nameOf(index); if (name) counts.set(name, (counts.get(name) ?? 0) + 1); });
  const most = [...counts].sort(([, a], [, b]) => b - a).slice(0, 3).map(([name, count]) => `${name} ${count}`);
  return most.length && $("arrange").value === "group" ? ` · ${most.join(", ")}` : "";
}

function layOut() {
  const laid = flowRows(arrange(kept()), { width: $("grid").clientWidth - 4, side: Number($("cell").value), gap: GAP, head: HEAD });
  ({ rows, order } = laid);
  $("canvas").style.height = `${laid.height + 8}px`;
  $("shown").textContent = `${order.length.toLocaleString()} of ${store.files.length.toLocaleString()}`;
  draw();
}

function makeHead(row) {
  const head = make("div", { className: "head" }, row.title, make("span", { textContent: `${row.members.length}${tally(row.members)}` }),
    make("button", { textContent: "select all" }));
  head.lastChild.addEventListener("click", () => selectAll(row.members));
  return head;
}

function draw() {
  const top = $("grid").scrollTop - AROUND, bottom = $("grid").scrollTop + $("grid").clientHeight + AROUND;
  const [oldCells, oldHeads] = [cells, heads];
  [cells, heads] = [new Map(), new Map()];
  for (const [place, row] of rowsBetween(rows, top, bottom)) {
    if (row.title !== undefined) {
      const head = makeHead(row);
      head.style.top = `${row.y}px`;
      heads.set(place, head);
      $("canvas").append(head);
      continue;
    }
    row.members.forEach((index, column) => {
      const cell = oldCells.get(index) ?? makeCell(index);
      oldCells.delete(index);
      cell.style.cssText = `top:${row.y}px;left:${column * (row.side + GAP)}px;width:${row.side}px;height:${row.side}px`;
      paintCell(cell, selection.has(index));
      cells.set(index, cell);
      if (!cell.isConnected) $("canvas").append(cell);
    });
  }
  oldCells.forEach((cell) => cell.remove());
  oldHeads.forEach((head) => head.remove());
}

const soon = oncePerFrame(layOut);

const isShown = () => !$("all").hidden && store.columns;
$("grid").addEventListener("scroll", () => soon(draw));
$("canvas").addEventListener("click", (event) => {
  const index = Number(event.target.closest(".cell")?.dataset.index ?? NaN);
  if (!Number.isNaN(index) && !clickToSelect(event, index, order)) openViewer(index, order);
});
for (const id of ["arrange", "filter", "find", "cell"]) {
  const again = () => {
    $("scale-label").hidden = $("arrange").value !== "group";
    if (id !== "cell") { $("grid").scrollTop = 0; clearSelection(); }
    soon(layOut);
  };
  $(id).addEventListener("input", again);
  if ($(id) instanceof HTMLSelectElement) $(id).addEventListener("change", again);
}
$("scale").addEventListener("change", () => attempt(() => ask("scale", { groups: Number($("scale").value) })));
new ResizeObserver(() => isShown() && soon(layOut)).observe($("grid"));
onSelection(() => isShown() && soon(draw));

function paintScales() {
  const { scales = [], scale = 0 } = store.state?.landscape ?? {};
  const all = [...new Set([...scales, scale])].filter(Boolean).sort((a, b) => a - b);
  const text = all.join();
  if ($("scale").dataset.all !== text) {
    $("scale").dataset.all = text;
    $("scale").replaceChildren(...all.map((count) => new Option(`${count}`, count)));
  }
  $("scale").value = scale;
}

listen((before) => {
  paintScales();
  const news = before?.seat !== store.state.seat || before?.sorted?.version !== store.state.sorted?.version
    || JSON.stringify(before?.landscape) !== JSON.stringify(store.state.landscape);
  if (news && isShown()) soon(selection.size ? draw : layOut); // nothing moves under a person's hands
});

export function showGrid() {
  $("scale-label").hidden = $("arrange").value !== "group";
  layOut();
}

export function showNamed(name) {
  $("arrange").value = "name";
  $("filter").value = "all";
  $("find").value = name;
}
