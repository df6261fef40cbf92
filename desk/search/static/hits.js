// The neighbours: a grid in which only the cells in sight exist, each with its evidence once that is wanted.
import { look, place } from "./net.js";
import { make } from "./nodes.js";
import { flowRows, oncePerFrame, rowsBetween } from "./rows.js";

const $ = (id) => document.getElementById(id);
const GAP = 10, FOOT = 42, AROUND = 500, AT_ONCE = 2; // pixels; pieces of evidence that are asked for together
const boxes = new Map();
let rows = [], order = [], facts = new Map(), cells = new Map(), shown = "picture", columns = 1, waiting = [], busy = 0;

export const shownRows = () => order.length;

// A picture in its frame, as large as both allow: the frame takes its shape.
export function fitPicture(img, done) {
  const fit = () => {
    const stage = img.parentElement.parentElement, ratio = img.naturalWidth / img.naturalHeight;
    if (!img.naturalWidth || !stage.clientWidth) return;
    const wide = ratio > stage.clientWidth / stage.clientHeight;
    img.parentElement.style.width = wide ? "100%" : `${stage.clientHeight * ratio}px`;
    img.parentElement.style.height = wide ? `${stage.clientWidth / ratio}px` : "100%";
    done?.();
  };
  if (img.complete) fit();
  img.onload = fit;
}

export function placeBox(mark, box) {
  mark.hidden = !box;
  if (!box) return;
  const [left, top, right, bottom] = box.map((share) => share * 100);
  mark.style.cssText = `left:${left}%;top:${top}%;width:${right - left}%;height:${bottom - top}%`;
}

function makeHit(index) {
  const [, file, name, score] = facts.get(index);
  const img = make("img", { alt: file, draggable: false, decoding: "async", src: place(`thumbnail/${index}`) });
  const button = make("button", { type: "button", title: `find what is like ${file}` }, make("span", { className: "fit" }, img, make("i", { hidden: true })));
  const line = make("span", { className: "line" }, make("b", { textContent: score === null ? "" : score.toFixed(3), title: "cosine similarity" }),
    make("span", { textContent: name, title: name }),
    make("a", { href: place(`original/${index}`), target: "_blank", rel: "noopener", textContent: "open", title: `open ${file}` }));
  const hit = make("figure", { className: "hit" }, button, make("figcaption", {}, line, make("span", { className: "file", textContent: file.split("/").pop(), title: file })));
  hit.dataset.index = index;
  fitPicture(img);
  return hit;
}

function layOut() {
  const width = $("grid").clientWidth - 4, side = width < 420 ? 150 : 180;
  const laid = flowRows([["", order]], { width, side, gap: GAP, head: 0, foot: FOOT });
  rows = laid.rows.filter((row) => row.title === undefined);
  columns = rows[0]?.members.length ?? 1;
  $("canvas").style.height = `${laid.height + 8}px`;
  draw();
}

function draw() {
  const top = $("grid").scrollTop - AROUND, bottom = $("grid").scrollTop + $("grid").clientHeight + AROUND;
  const wanted = rows.length ? [...rowsBetween(rows, top, bottom)].map(([, row]) => row) : [];
  const old = cells;
  cells = new Map();
  for (const row of wanted) for (const index of row.members) cells.set(index, old.get(index));
  old.forEach((hit, index) => cells.has(index) || hit.remove());
  let next = $("canvas").firstChild; // cells stand in the order of the answer, for those who go through them by Tab
  for (const row of wanted) row.members.forEach((index, column) => {
    const hit = cells.get(index) ?? makeHit(index), resized = hit.style.width !== `${row.side}px`;
    cells.set(index, hit);
    hit.style.cssText = `top:${row.y}px;left:${column * (row.side + GAP)}px;width:${row.side}px`;
    hit.firstChild.style.height = `${row.side}px`;
    if (hit === next) next = next.nextSibling; else $("canvas").insertBefore(hit, next);
    if (resized) fitPicture(hit.querySelector("img"));
  });
  seek();
}

// Evidence, first of the pictures that come first; what scrolled out of sight is not waited for.
function seek() {
  waiting = [...cells].filter(([, hit]) => hit.dataset.shown !== shown);
  while (busy < AT_ONCE && waiting.length) work(...waiting.shift());
}

async function work(index, hit) {
  hit.dataset.shown = shown;
  const what = shown, [mark, img] = [hit.querySelector("i"), hit.querySelector("img")];
  mark.hidden = true;
  hit.firstChild.title = `find what is like ${img.alt}`;
  if (what !== "attention" && img.dataset.map) { delete img.dataset.map; img.src = place(`thumbnail/${index}`); }
  if (what === "picture") return;
  busy++;
  hit.classList.add("seeking");
  try {
    if (what === "box") {
      if (!boxes.has(index)) boxes.set(index, (await look(`api/box/${index}`)).box);
      if (hit.dataset.shown === what) placeBox(mark, boxes.get(index));
      hit.firstChild.title = boxes.get(index) ? "the object, as DDT sees it" : "DDT sees no object that stands out";
    } else {
      const map = new Image();
      map.src = place(`attention/${index}`);
      await map.decode();
      if (hit.dataset.shown === what) { img.dataset.map = "1"; img.src = map.src; }
    }
  } catch { hit.firstChild.title = "nothing can be said of this picture"; }
  hit.classList.remove("seeking");
  busy--;
  seek();
}

const soon = oncePerFrame(layOut);

export function showRows(found, scroll) {
  order = found.map(([index]) => index);
  facts = new Map(found.map((row) => [row[0], row]));
  cells.forEach((hit) => hit.remove());
  cells = new Map();
  layOut();
  $("grid").scrollTop = scroll;
  draw();
}

export function setShown(what) {
  shown = what;
  seek();
}

$("grid").addEventListener("scroll", () => soon(draw));
new ResizeObserver(() => soon(layOut)).observe($("grid"));
$("canvas").addEventListener("keydown", (event) => {
  const index = Number(event.target.closest(".hit")?.dataset.index ?? NaN);
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (Number.isNaN(index) || !by) return;
  const next = order[order.indexOf(index) + by];
  if (next === undefined) return;
  event.preventDefault();
  cells.get(next)?.firstChild.focus();
});
