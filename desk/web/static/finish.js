// "Finish": folders, the table, and the two steps that may follow.
import { ask } from "./net.js";
import { make } from "./nodes.js";
import { attempt, listen, NAMED, NOTHING, store, toast, UNKNOWN, UNUSABLE } from "./store.js";

const $ = (id) => document.getElementById(id);
const HOWS = ["link", "copy", "none"];

function count(threshold) {
  const { states, labels, confidence, unlike } = store.columns;
  const counts = { named: 0, unsure: 0, unknown: 0, no_object: 0 }, folders = new Set();
  states.forEach((said, index) => {
    if (said === UNUSABLE) counts.no_object++;
    else if (said === UNKNOWN) counts.unknown++;
    else if (said === NAMED || (labels[index] >= 0 && confidence[index] >= Math.round(threshold * 100))) {
      counts.named++;
      folders.add(labels[index]);
    } else if (said === NOTHING && unlike[index] >= 50) counts.unknown++;
    else counts.unsure++;
  });
  return { ...counts, folders: folders.size };
}

function paintFolders() {
  if (!store.columns?.states) return;
  const threshold = Number($("threshold").value), told = count(threshold);
  $("threshold-text").textContent = threshold.toFixed(2);
  $("folders").textContent = `${told.named} pictures in ${told.folders} folders, ${told.unsure} in unsure/, ${told.unknown} in unknown/`
    + `${told.no_object ? `, ${told.no_object} in no_object/` : ""}.`;
}

async function finish(how) {
  const buttons = HOWS.map((one) => $(`finish-${one}`));
  buttons.forEach((button) => { button.disabled = true; });
  $("finished").textContent = "at work …";
  const done = await attempt(() => ask("finish", { how, threshold: Number($("threshold").value) }));
  buttons.forEach((button) => { button.disabled = false; });
  if (!done) { $("finished").textContent = ""; return; }
  const where = how === "none" ? [] : ["Everything is in ", make("code", { textContent: done.folder }), ", and "];
  $("finished").replaceChildren(...where, how === "none" ? "The table is " : "the table is ", make("code", { textContent: done.table }));
}

function paintStep(name, told) {
  const card = $(`step-${name}`), state = told?.state ?? "";
  const running = state === "running", done = state === "done";
  const [bar, line] = [card.querySelector("progress"), card.querySelector(".told")];
  for (const button of card.querySelectorAll("button")) {
    const deed = button.dataset.do;
    button.hidden = deed === "start" ? running : deed === "stop" ? !running : deed === "leave" ? !done || !told.used : !done || told.used;
  }
  const start = card.querySelector("[data-do=start]");
  start.textContent = state === "stopped" || state === "failed" ? "Go on" : done ? "Once more" : "Start";
  start.classList.toggle("main", !done);
  card.querySelector("a").hidden = !done;
  bar.hidden = !running;
  bar.value = told?.share ?? 0;
  line.classList.toggle("bad", state === "failed");
  line.textContent = running ? `${told.at + 1} of ${told.of}: ${told.title}${told.bar ? ` — ${told.bar}` : ""}${told.left ? `, ${told.left} left of this` : ""}`
    : state === "failed" ? told.error : state === "stopped" ? "Stopped; what was learnt so far is kept." : done ? told.text ?? "Done." : "";
}

document.querySelectorAll("article[id^=step-]").forEach((card) => {
  const step = card.id.replace("step-", "");
  card.addEventListener("click", (event) => {
    const deed = event.target.closest("button")?.dataset.do;
    if (deed) attempt(() => ask("step", { step, do: deed }));
  });
});
$("threshold").addEventListener("input", paintFolders);
for (const how of HOWS) $(`finish-${how}`).addEventListener("click", () => finish(how));
$("table").addEventListener("change", async () => {
  const file = $("table").files[0];
  if (!file) return;
  const done = await attempt(async () => ask("table", { text: await file.text() }));
  $("table-told").textContent = done ? `${done.named} pictures were named by ${file.name}.` : "";
  if (done) toast(`${done.named} names taken over`);
  $("table").value = "";
});

function paint() {
  if ($("finish").hidden) return;
  paintFolders();
  paintStep("better", store.state?.steps?.better);
  paintStep("classifier", store.state?.steps?.classifier);
}

listen(paint);
export const showFinish = paint;
