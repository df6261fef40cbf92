// One picture, large: its file, its box, its nearest others, and why it got its name.
import { completeField } from "./completion.js";
import { thumb } from "./cells.js";
import { look, place } from "./net.js";
import { make } from "./nodes.js";
import { listen, nameOf, say, standingOf, store } from "./store.js";

const $ = (id) => document.getElementById(id);
const viewer = $("viewer");
let shown = null, order = [], standing = "";

const field = completeField($("viewer-input"), (text) => {
  if (text === "?") answer("unknown");
  else if (text === "x") answer("unusable");
  else if (text) answer("name", text);
});

async function answer(deed, name = "") {
  if (await say(deed, [shown], name)) field.clear();
}

export function openViewer(index, among) {
  order = among?.length ? [...among] : order.includes(index) ? order : [index];
  show(index);
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const next = order[order.indexOf(shown) + by];
  if (next !== undefined) show(next);
}

function show(index) {
  shown = index;
  $("viewer-picture").src = place(`photograph/${index}?${store.contents[index].slice(0, 12)}`);
  $("viewer-picture").alt = store.files[index];
  $("viewer-box").hidden = true;
  field.clear();
  paint();
  look(`api/box/${index}`).then(({ box }) => shown === index && paintBox(box), () => null);
}

function paintBox(box) {
  $("viewer-box").hidden = !box;
  if (!box) return;
  const [left, top, right, bottom] = box.map((share) => share * 100);
  $("viewer-box").style.cssText = `left:${left}%;top:${top}%;width:${right - left}%;height:${bottom - top}%`;
}

const FIXES = { name: "You named it.", unknown: "You said it is of an unknown kind.", unusable: "You said it shows no such object." };

function explain(facts) {
  const lines = [];
  if (facts.answer) lines.push(FIXES[facts.answer]);
  else if (facts.name) {
    lines.push(`It is most like ${facts.because.length > 1 ? "these, which" : "this one, which"} you named. The name is right with a `
      + `probability of ${facts.confidence.toFixed(2)}; that it shows a kind nobody has named, ${facts.unlike.toFixed(2)}.`);
  } else if (facts.because) lines.push("Nothing is named yet.");
  if (facts.disagrees) lines.push("Its neighbours carry other names: one of them may be wrong.");
  if (facts.odd) lines.push("It is odd: unlike all other pictures.");
  return lines.map((text) => make("p", { textContent: text }));
}

const tellStanding = () => `${store.state.seat} ${store.state.sorted?.version}`;

async function paint() {
  const index = shown;
  standing = tellStanding();
  const { text } = standingOf(index);
  $("viewer-name").textContent = text || "no name yet";
  const facts = await look(`api/picture/${index}`).catch(() => null);
  if (!facts || shown !== index) return;
  const because = (facts.because ?? []).map((one) => thumb(one.index, one.name, (other) => openViewer(other, null)));
  const instead = facts.instead ? [make("p", { textContent: `The nearest of another name: ${facts.instead.name}` }),
    make("div", { className: "thumbs" }, thumb(facts.instead.index, "", (other) => openViewer(other, null)))] : [];
  $("viewer-why").replaceChildren(...explain(facts), make("div", { className: "thumbs" }, ...because), ...instead);
  const told = { file: facts.file, [facts.taken ? "taken" : "written"]: facts.date, size: `${facts.width} × ${facts.height}, ${Math.ceil(facts.size / 1024)} KB` };
  if (facts.copies.length) told["same file"] = facts.copies.map((other) => store.files[other]).join(", ");
  $("viewer-facts").replaceChildren(...Object.entries(told).flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  $("viewer-near").replaceChildren(...(facts.nearest ?? []).map((one) => thumb(one.index, nameOf(one.index), (other) => openViewer(other, null))));
}

viewer.addEventListener("click", (event) => {
  const deed = event.target.closest("button[data-do]")?.dataset.do;
  if (deed) answer(deed);
  if (event.target === viewer) viewer.close(); // beside it
});
$("viewer-picture").addEventListener("load", (event) => {
  const { naturalWidth, naturalHeight } = event.target;
  event.target.parentElement.style.setProperty("--ratio", naturalWidth / naturalHeight);
});
$("viewer-close").addEventListener("click", () => viewer.close());
$("viewer-back").addEventListener("click", () => step(-1));
$("viewer-next").addEventListener("click", () => step(1));
viewer.addEventListener("keydown", (event) => {
  if (event.target === $("viewer-input") && $("viewer-input").value) return;
  if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
});
listen(() => { if (viewer.open && tellStanding() !== standing) paint(); });
