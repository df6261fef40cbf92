// The frame: tabs, the line that says how far it is, undo, and the wait before the first question.
import { showAsking } from "./asking.js";
import { showFinish } from "./finish.js";
import { showGrid } from "./grid.js";
import { showNames } from "./names.js";
import { clearSelection } from "./selection.js";
import { follow, listen, store, undo } from "./store.js";

const $ = (id) => document.getElementById(id);
const TABS = { ask: showAsking, all: showGrid, names: () => showNames(openTab), finish: showFinish };
let open = "ask";

function openTab(name) {
  open = name;
  for (const other of Object.keys(TABS)) {
    $(`tab-${other}`).setAttribute("aria-selected", String(other === name));
    $(other).hidden = other !== name || !store.columns;
  }
  clearSelection();
  location.replace(`#${name}`);
  if (store.columns) TABS[name]();
}

for (const name of Object.keys(TABS)) $(`tab-${name}`).addEventListener("click", () => openTab(name));
$("undo").addEventListener("click", () => undo("undo"));
$("redo").addEventListener("click", () => undo("redo"));
document.addEventListener("keydown", (event) => {
  const writing = event.target instanceof HTMLInputElement && event.target.value && event.target.type !== "checkbox";
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && !writing && (key === "z" || key === "y")) {
    event.preventDefault();
    undo(key === "y" || event.shiftKey ? "redo" : "undo");
  } else if (event.key === "Escape" && !$("viewer").open) clearSelection();
});

function paintWait(stage) {
  $("wait").hidden = !stage;
  if (!stage) return;
  $("wait-text").textContent = stage.text.charAt(0).toUpperCase() + stage.text.slice(1);
  if (stage.total && stage.done) $("wait-bar").value = stage.done / stage.total;
  else $("wait-bar").removeAttribute("value");
  const left = stage.rate ? Math.ceil((stage.total - stage.done) / stage.rate) : null;
  $("wait-left").textContent = `${stage.done.toLocaleString()} of ${stage.total.toLocaleString()}`
    + (left === null ? "" : `, ${stage.rate.toFixed(0)} a second, ${left < 90 ? `${left} s` : `${Math.ceil(left / 60)} min`} left`);
}

function tellProgress({ sorted, pictures }) {
  if (!sorted.given) return `${pictures.toLocaleString()} pictures. Name the first ones: each stands for many others.`;
  const rest = pictures - sorted.answered, few = sorted.names.length < 2;
  const lines = [`${sorted.sure.toLocaleString()} of ${pictures.toLocaleString()} sorted`];
  if (rest) lines[0] += ` with ${Math.round(sorted.threshold * 100)} % confidence or more; the ${rest.toLocaleString()} you did not name have ${Math.round(sorted.confidence * 100)} % on average`;
  if (sorted.unlike) lines.push(`${sorted.unlike.toLocaleString()} are unlike anything named`);
  const gain = Math.round(sorted.gain * pictures);
  if (sorted.soon && !few) {
    lines.push(gain > sorted.soon ? `naming the next ${sorted.soon} should set about ${gain.toLocaleString()} right: worth it`
      : gain > 0 ? `naming the next ${sorted.soon} should set only about ${gain} right: you may stop here`
        : "naming more should change nothing: you may stop here");
  }
  return `${lines.join(". ")}.`.replace(/\. ./g, (found) => found.toUpperCase());
}

function paintHead(state) {
  for (const deed of ["undo", "redo"]) {
    $(deed).disabled = !state[deed];
    $(deed).title = state[deed] ? `${deed}: ${state[deed].text}` : "";
  }
  $("unreadable").hidden = !state.unreadable.length;
  $("unreadable").textContent = `${state.unreadable.length} files cannot be read and are left out: ${state.unreadable.slice(0, 3).join("; ")}${state.unreadable.length > 3 ? " …" : ""}`;
  if (!state.sorted) { $("status").textContent = `${state.pictures.toLocaleString()} pictures`; return; }
  $("status").textContent = tellProgress(state);
  const parts = { given: state.sorted.answered, sure: state.sorted.sure - state.sorted.answered, unlike: state.sorted.unlike };
  for (const [name, count] of Object.entries(parts)) document.querySelector(`#meter .${name}`).style.width = `${100 * count / state.pictures}%`;
  $("meter").setAttribute("aria-label", `${state.sorted.sure} of ${state.pictures} sorted`);
}

let ready = false;
listen(() => {
  paintWait(store.state.stage);
  paintHead(store.state);
  if (!ready && store.columns) { ready = true; openTab(open); }
});
if (location.hash.slice(1) in TABS) open = location.hash.slice(1);
openTab(open);
follow();
