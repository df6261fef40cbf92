// The atlas of a run: a grid of training images, sorted and filtered by what their epochs say, and one image in full.
import { flowRows, oncePerFrame, rowsBetween } from "./rows.js";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const GAP = 8, HEAD = 30, FOOT = 44, AROUND = 240, THUMB = 76; // pixels
const MISSING = 255, FELL = 0.1, COUNT = data.files.length, PER = data.columns * data.rows;
const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const curves = Object.fromEntries(Object.entries(data.curves).map(([name, text]) => [name, unpack(text)]));
const near = new Int32Array(unpack(data.near).buffer), before = data.before && new Int32Array(unpack(data.before).buffer);
const { scores, boxes, doubts } = data;
let rows = [], order = [], cells = new Map(), heads = new Map(), shown = -1;

const sheets = document.createElement("style"); // one rule a sheet: a cell names its sheet and repeats no address
sheets.textContent = data.sheets.map((address, place) => `.s${place}{background-image:url("${address}")}`).join("\n");
document.head.append(sheets);

function make(tag, values = {}, ...children) {
  const node = Object.assign(document.createElement(tag), values);
  node.append(...children);
  return node;
}

const className = (index) => (data.labels[index] >= 0 ? data.classes[data.labels[index]] ?? "" : "");
const shortName = (index) => className(index) || data.files[index].split("/").pop();
const describe = (index) => [data.files[index], className(index)].filter(Boolean).join(", ");
const isDoubtful = (index) => doubts?.flagged[index] === 1;
const isSuspicious = (index) => Boolean(boxes?.[index]?.[1]);

const by = (values) => (a, b) => (values[b] ?? -9) - (values[a] ?? -9) || a - b;
const SORTS = {
  sure: ["teacher sure, student disagrees", by(scores.sure), (index) => scores.sure[index]],
  fall: ["teacher's entropy fell most", by(scores.fall), (index) => scores.fall[index]],
  studentFall: ["student's entropy fell most", by(scores.studentFall), (index) => scores.studentFall[index]],
  contrast: ["most contrast", by(scores.contrast), (index) => scores.contrast[index]],
  distill: ["most distillation", by(scores.distill), (index) => scores.distill[index]],
};
if (boxes) SORTS.box = ["box suspicious", (a, b) => (boxes[b]?.[2] ?? 0) - (boxes[a]?.[2] ?? 0) || a - b, (index) => boxes[index]?.[1]];
if (doubts) SORTS.label = ["possible label error", by(doubts.doubt), (index) => doubts.doubt[index]];
SORTS.file = ["file", (a, b) => a - b, () => null];
const FILTERS = { all: ["all images", () => true], sure: ["sure teacher not followed", (index) => data.disagrees[index] === 1] };
FILTERS.fall = [`teacher's entropy fell by ${FELL} or more`, (index) => scores.fall[index] >= FELL];
FILTERS.studentFall = [`student's entropy fell by ${FELL} or more`, (index) => scores.studentFall[index] >= FELL];
if (boxes) FILTERS.box = ["suspicious boxes", isSuspicious];
if (doubts) FILTERS.label = ["possible label errors", isDoubtful];
for (const [id, choices] of [["sort", SORTS], ["filter", FILTERS]]) {
  $(id).append(...Object.entries(choices).map(([value, [text]]) => new Option(text, value)));
}
$("box").parentElement.hidden = !boxes;

function drawPicture(index, side, withBox) { // a thumbnail, scaled to `side` pixels at its longer side
  const scale = side / data.side, place = index % PER, [width, height] = data.frames.slice(2 * index, 2 * index + 2);
  const picture = make("div", { className: `picture s${Math.floor(index / PER)}`, role: "img", ariaLabel: describe(index) });
  picture.style.cssText = `width:${width * scale}px;height:${height * scale}px;background-size:${data.columns * side}px auto;`
    + `background-position:${-(place % data.columns) * side}px ${-Math.floor(place / data.columns) * side}px`;
  if (withBox && boxes?.[index]) {
    const [left, top, right, bottom] = boxes[index][0].map((share) => 100 * share), frame = make("i");
    frame.style.cssText = `left:${left}%;top:${top}%;width:${right - left}%;height:${bottom - top}%`;
    picture.append(frame);
  }
  return picture;
}

const SVG = "http://www.w3.org/2000/svg";
function drawCurves(index, names, label) {
  const svg = document.createElementNS(SVG, "svg"), wide = Math.max(data.points - 1, 1);
  const attributes = { viewBox: `0 -0.03 ${wide} 1.06`, preserveAspectRatio: "none", role: "img", "aria-label": label };
  Object.entries(attributes).forEach(([name, value]) => svg.setAttribute(name, value));
  for (const name of names) {
    const line = document.createElementNS(SVG, "polyline"), points = [];
    for (let point = 0; point < data.points; point++) {
      const value = curves[name][point * COUNT + index];
      if (value !== MISSING) points.push(`${point},${(1 - value / (MISSING - 1)).toFixed(3)}`);
    }
    if (points.length === 1) points.push(`${wide},${points[0].split(",")[1]}`); // one epoch: a level line
    line.setAttribute("points", points.join(" "));
    line.setAttribute("class", name);
    svg.append(line);
  }
  return svg;
}

const lastOf = (name, index) => {
  for (let point = data.points - 1; point >= 0; point--) {
    const value = curves[name][point * COUNT + index];
    if (value !== MISSING) return (value / (MISSING - 1)).toFixed(2);
  }
  return "unknown";
};
const tell = (index) => `teacher's entropy over the epochs, at last ${lastOf("entropy", index)}`;

function makeCell(index, side) {
  const holder = make("div", { className: "thumb" }, drawPicture(index, side, $("box").checked));
  holder.style.height = `${side}px`;
  const value = SORTS[$("sort").value][2](index);
  const text = typeof value === "number" ? `${value.toFixed(2)} ${shortName(index)}` : value ? value : shortName(index);
  const cell = make("div", { className: "cell", tabIndex: -1, title: describe(index) }, holder, drawCurves(index, ["student_entropy", "entropy"], tell(index)), make("b", { textContent: text }));
  cell.setAttribute("role", "listitem");
  cell.dataset.index = index;
  return cell;
}

function kept() {
  const wanted = $("find").value.trim().toLowerCase(), passes = FILTERS[$("filter").value][1];
  const found = [];
  for (let index = 0; index < COUNT; index++) {
    if (passes(index) && (!wanted || describe(index).toLowerCase().includes(wanted))) found.push(index);
  }
  return found.sort(SORTS[$("sort").value][1]);
}

function layOut() {
  const members = kept();
  const laid = flowRows([[SORTS[$("sort").value][0], members]], { width: $("canvas").clientWidth, side: Number($("size").value), gap: GAP, head: HEAD, foot: FOOT });
  ({ rows, order } = laid);
  $("canvas").style.height = `${laid.height + GAP}px`;
  $("shown").textContent = `${order.length.toLocaleString()} of ${COUNT.toLocaleString()}`;
  cells.forEach((cell) => cell.remove());
  cells.clear();
  draw();
}

function draw() {
  const top = $("grid").scrollTop - AROUND, bottom = $("grid").scrollTop + $("grid").clientHeight + AROUND;
  const [oldCells, oldHeads] = [cells, heads];
  [cells, heads] = [new Map(), new Map()];
  for (const [place, row] of rowsBetween(rows, top, bottom)) {
    if (row.title !== undefined) {
      const head = make("div", { className: "head" }, row.title, make("span", { textContent: `${row.members.length.toLocaleString()} images` }));
      heads.set(place, head);
      $("canvas").append(head);
      continue;
    }
    row.members.forEach((index, column) => {
      const cell = oldCells.get(index) ?? makeCell(index, row.side);
      oldCells.delete(index);
      cells.set(index, cell);
      if (cell.isConnected) return;
      cell.style.cssText = `top:${row.y}px;left:${column * (row.side + GAP)}px;width:${row.side}px;height:${row.side + FOOT}px`;
      $("canvas").append(cell);
    });
  }
  oldCells.forEach((cell) => cell.remove());
  oldHeads.forEach((head) => head.remove());
}

const soon = oncePerFrame(layOut);

function makeThumb(index) {
  const holder = make("div", { className: "thumb" }, drawPicture(index, THUMB - 2, false));
  holder.style.height = `${THUMB - 2}px`;
  const button = make("button", { type: "button", title: describe(index) }, holder, make("small", { textContent: shortName(index) }));
  button.addEventListener("click", () => show(index));
  return button;
}

function listFavourites(title, found) { // what somebody took for the nearest, and what that is
  const lines = [make("h3", { textContent: title })];
  for (let place = 0; place < found.length; place += 2) {
    const prototype = data.prototypes[found[place]];
    lines.push(make("p", { textContent: `${prototype.name}: in ${Math.round(100 * found[place + 1])} % of the epochs` }));
    if (prototype.images.length) lines.push(make("div", { className: "thumbs" }, ...prototype.images.map(makeThumb)));
  }
  return lines;
}

function listFacts(index) {
  const facts = [];
  const note = (text, warn) => facts.push(make("span", { textContent: text, className: warn ? "warn" : "" }), make("br"));
  if (className(index)) note(`class ${className(index)}`);
  if (isDoubtful(index)) note(`possible label error: ${data.classes[doubts.suggested[index]]}? (doubt ${doubts.doubt[index].toFixed(2)})`, true);
  if (data.disagrees[index]) note("the teacher is sure, the student disagrees", true);
  if (isSuspicious(index)) note(`box: ${boxes[index][1]}`, true);
  for (const [name, who] of [["fall", "teacher's"], ["studentFall", "student's"]]) {
    const by = scores[name][index];
    if (by !== null) note(Math.abs(by) < 0.005 ? `${who} entropy stayed` : `${who} entropy ${by < 0 ? "rose" : "fell"} by ${Math.abs(by).toFixed(2)}`);
  }
  for (const [name, text] of [["contrast", "late weight of contrast"], ["distill", "late weight of distillation"]]) {
    if (scores[name][index] !== null) note(`${text} ${scores[name][index].toFixed(2)}`);
  }
  return facts;
}

function show(index) {
  shown = index;
  $("name").textContent = data.files[index];
  $("large").replaceChildren(drawPicture(index, Math.min(320, document.documentElement.clientWidth - 60), true));
  $("facts").replaceChildren(...listFacts(index));
  $("curve").replaceChildren(drawCurves(index, ["agreement", "contrast", "distill", "student_entropy", "entropy"], `${tell(index)}; epochs ${data.epochs.join(" to ")}`));
  $("prototypes").replaceChildren(...listFavourites("Nearest prototypes, by the teacher", data.teacher[index]), ...listFavourites("by the student", data.student[index]));
  const neighbours = (list) => Array.from(list.subarray(index * data.kept, (index + 1) * data.kept), makeThumb);
  $("after").replaceChildren(...neighbours(near));
  $("start").hidden = !before;
  if (before) $("before").replaceChildren(...neighbours(before));
  if (!$("viewer").open) $("viewer").showModal();
  $("viewer").scrollTop = 0;
}

function step(by) {
  const next = order[order.indexOf(shown) + by];
  if (next !== undefined) show(next);
}

function walk(event) { // the arrow keys among the cells
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(rows[1]?.members.length ?? 1), ArrowDown: rows[1]?.members.length ?? 1 }[event.key];
  const from = Number(document.activeElement?.dataset?.index ?? NaN);
  if (event.key === "Enter" && !Number.isNaN(from)) return show(from);
  if (!move) return;
  event.preventDefault();
  const next = Number.isNaN(from) ? order[0] : order[order.indexOf(from) + move];
  const row = rows.find((one) => one.title === undefined && one.members.includes(next));
  if (!row) return;
  if (row.y < $("grid").scrollTop) $("grid").scrollTop = row.y;
  if (row.y + row.height > $("grid").scrollTop + $("grid").clientHeight) $("grid").scrollTop = row.y + row.height - $("grid").clientHeight;
  draw();
  cells.get(next)?.focus({ preventScroll: true });
}

$("grid").addEventListener("scroll", () => soon(draw), { passive: true });
$("grid").addEventListener("keydown", walk);
$("canvas").addEventListener("click", (event) => {
  const index = Number(event.target.closest(".cell")?.dataset.index ?? NaN);
  if (!Number.isNaN(index)) show(index);
});
$("choices").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["sort", "filter", "find", "size", "box"]) {
  $(id).addEventListener("input", () => { if (id !== "size" && id !== "box") $("grid").scrollTop = 0; soon(layOut); });
}
$("earlier").addEventListener("click", () => step(-1));
$("later").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("click", (event) => event.target === $("viewer") && $("viewer").close());
$("viewer").addEventListener("keydown", (event) => { if (event.key === "ArrowLeft") step(-1); else if (event.key === "ArrowRight") step(1); });
new ResizeObserver(() => soon(layOut)).observe($("grid"));
