// The page: what is asked stands in its address, so that the browser's own buttons go back and forth.
import { setShown, shownRows, showRows } from "./hits.js";
import { look, place } from "./net.js";
import { choosePart, showQuery } from "./part.js";

const $ = (id) => document.getElementById(id);
const LOOKS = ["picture", "box", "attention"];
let asked = 0; // the last question; answers to earlier ones come too late

const read = () => new URLSearchParams(location.search);

function go(values, show = read().get("show")) {
  const next = new URLSearchParams(values);
  if (show && show !== LOOKS[0]) next.set("show", show);
  const address = next.size ? `?${next}` : location.pathname;
  clearTimeout(told);
  history.replaceState({ scroll: $("grid").scrollTop }, "");
  history.pushState(null, "", address);
  answer();
}

function tell(fault) {
  $("fault").hidden = !fault;
  $("fault").textContent = fault;
}

function describe({ title, total, seconds, rows }) {
  if (!title) return `${rows.length.toLocaleString()} of ${total.toLocaleString()} photographs, from all over. Click one to find its like.`;
  return `The nearest ${rows.length.toLocaleString()} of ${total.toLocaleString()} by likeness to ${title}, in ${Math.max(1, Math.round(1000 * seconds))} ms`;
}

async function answer() {
  const values = read(), number = ++asked;
  const show = LOOKS.includes(values.get("show")) ? values.get("show") : LOOKS[0];
  document.querySelectorAll("[data-show]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.show === show)));
  setShown(show);
  values.delete("show");
  $("words").value = values.get("words") ?? "";
  $("grid").setAttribute("aria-busy", "true");
  try {
    const found = await look(`api/search?${values}`);
    if (found.error) throw new Error(found.error);
    if (number !== asked) return;
    tell("");
    $("status").textContent = describe(found);
    showQuery(values, found.title);
    showRows(found.rows, history.state?.scroll ?? 0);
  } catch (error) {
    if (number !== asked) return;
    tell(error instanceof TypeError ? "The server has stopped. Start the same command again and open the address that it prints." : error.message);
    $("status").textContent = "";
    showQuery(new URLSearchParams(), ""); // what is shown was asked before
    if (!shownRows()) showRows([], 0);
  } finally {
    if (number === asked) $("grid").setAttribute("aria-busy", "false");
  }
}

async function send(file) {
  if (!file) return;
  const largest = Number(document.body.dataset.largest);
  if (file.size > largest) {
    return tell(`${file.name} has ${file.size.toLocaleString()} bytes, and a picture may have ${largest.toLocaleString()}: take a smaller copy`);
  }
  $("status").textContent = `sending ${file.name} …`;
  try {
    const response = await fetch(place(`api/upload?${new URLSearchParams({ name: file.name })}`), {
      method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file });
    const said = await response.json();
    if (said.error) throw new Error(said.error);
    go({ upload: said.upload });
  } catch (error) {
    $("status").textContent = "";
    tell(error.message);
  }
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $("words").value.trim();
  go(words ? { words } : {});
});
$("begin").addEventListener("click", (event) => { event.preventDefault(); go({}); });
$("file").addEventListener("change", () => { send($("file").files[0]); $("file").value = ""; });
document.querySelectorAll("[data-show]").forEach((button) => button.addEventListener("click", () => {
  const values = read();
  if (button.dataset.show === LOOKS[0]) values.delete("show"); else values.set("show", button.dataset.show);
  history.replaceState(history.state, "", values.size ? `?${values}` : location.pathname);
  document.querySelectorAll("[data-show]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
  setShown(button.dataset.show);
}));
$("canvas").addEventListener("click", (event) => {
  const hit = event.target.closest(".hit button")?.parentElement;
  if (hit) go({ like: hit.dataset.index });
});
choosePart((part) => {
  const values = read();
  values.delete("show");
  if (part) values.set("part", part.map((share) => share.toFixed(4)).join()); else values.delete("part");
  go(values);
});

let told; // when the place in the grid is written down
$("grid").addEventListener("scroll", () => {
  clearTimeout(told);
  told = setTimeout(() => history.replaceState({ scroll: $("grid").scrollTop }, ""), 200);
});
addEventListener("popstate", () => { clearTimeout(told); answer(); });

let depth = 0; // of the parts of the page that a dragged picture has entered
const carries = (event) => [...event.dataTransfer?.types ?? []].includes("Files");
addEventListener("dragenter", (event) => { if (carries(event)) { depth++; $("drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (carries(event)) $("drop").hidden = --depth <= 0; });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("drop").hidden = true;
  send(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => send([...event.clipboardData?.files ?? []][0]));
history.scrollRestoration = "manual";
answer();
