// The picture that is searched by, and the part of it that a person draws a box around: by hand or by keys.
import { fitPicture, placeBox } from "./hits.js";
import { place } from "./net.js";

const $ = (id) => document.getElementById(id);
const LEAST = 0.02, STEP = 0.02; // shares of the picture's sides: of a box that is meant, of one press of a key
let part = null, start = null, report = () => null;

const within = (share) => Math.min(1, Math.max(0, share));

export function showQuery(values, title) {
  const like = values.get("like"), upload = values.get("upload");
  $("query").hidden = !like && !upload;
  if ($("query").hidden) return;
  const source = place(like ? `photograph/${like}` : `upload/${upload}`);
  if ($("query-picture").src !== source) $("query-picture").src = source;
  $("query-picture").alt = title;
  $("query-name").textContent = title;
  $("query-original").hidden = !like;
  if (like) $("query-original").href = place(`original/${like}`);
  part = values.get("part")?.split(",").map(Number) ?? null;
  $("whole").hidden = !part;
  placeBox($("part"), part);
  fitPicture($("query-picture"), () => placeBox($("part"), part));
}

function spot(event) { // where in the picture, in shares of its sides
  const frame = $("query-picture").getBoundingClientRect();
  return [within((event.clientX - frame.left) / frame.width), within((event.clientY - frame.top) / frame.height)];
}

function span([x, y], [u, v]) {
  return [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
}

function byKey(event) {
  const [across, down] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [0, 0];
  if (event.key === "Enter" && part) { event.preventDefault(); return report(part); }
  if (event.key === "Escape") { part = null; return placeBox($("part"), null); }
  if (!across && !down) return;
  event.preventDefault();
  const [left, top, right, bottom] = part ?? [0.25, 0.25, 0.75, 0.75];
  if (event.shiftKey) part = [left, top, Math.max(left + LEAST, within(right + across)), Math.max(top + LEAST, within(bottom + down))];
  else {
    const x = Math.min(1 - right, Math.max(-left, across)), y = Math.min(1 - bottom, Math.max(-top, down));
    part = [left + x, top + y, right + x, bottom + y];
  }
  placeBox($("part"), part);
}

export function choosePart(told) {
  report = told;
  const stage = $("stage");
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    start = spot(event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (start) placeBox($("part"), span(start, spot(event)));
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start) return;
    const drawn = span(start, spot(event));
    start = null;
    if (drawn[2] - drawn[0] < LEAST || drawn[3] - drawn[1] < LEAST) return placeBox($("part"), part); // a click
    part = drawn;
    report(part);
  });
  stage.addEventListener("pointercancel", () => { start = null; placeBox($("part"), part); });
  stage.addEventListener("keydown", byKey);
  $("whole").addEventListener("click", () => report(null));
}
