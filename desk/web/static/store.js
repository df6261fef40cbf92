// What this page knows of the desk; it follows the server and tells those who listen.
import { ask, look, tab, unpack } from "./net.js";

export const NOTHING = 0, NAMED = 1, UNKNOWN = 2, UNUSABLE = 3; // what a person said of a picture
const SAID = { name: NAMED, unknown: UNKNOWN, unusable: UNUSABLE, clear: NOTHING };

export const store = { state: null, columns: null, landscape: null, files: [], contents: [], places: new Map() };
const ahead = new Map(); // what this tab said of pictures and the sorting has not followed yet: [state, line]
const listeners = [];
export const listen = (listener) => listeners.push(listener);
const tell = (what) => listeners.forEach((listener) => listener(what));

export const sure = Number(document.body.dataset.sure) * 100;
export const disagrees = Number(document.body.dataset.disagrees) * 100;

let told; // the toast's timer
export function toast(text) {
  const box = document.getElementById("toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(told);
  told = setTimeout(() => box.classList.remove("on"), Math.max(2500, 60 * text.length));
}

export function nameOf(index) {
  const label = store.columns?.labels?.[index] ?? -1;
  return label < 0 ? "" : store.columns.names[label];
}

export function standingOf(index) {
  const said = store.columns?.states?.[index] ?? NOTHING;
  if (said === UNKNOWN) return { kind: "unlike", text: "unknown kind", share: 100 };
  if (said === UNUSABLE) return { kind: "unlike", text: "no such object", share: 100 };
  const name = nameOf(index);
  if (said === NAMED) return { kind: "given", text: `✓ ${name}`, share: 100 };
  if (!name) return { kind: "none", text: "", share: 0 };
  const share = store.columns.confidence[index];
  const kind = share >= sure ? "sure" : store.columns.unlike[index] >= 50 ? "unlike" : "unsure";
  return { kind, text: `${(share / 100).toFixed(2)} ${name}`, share };
}

// Say something of pictures. The promise is kept when it is on the server's disk.
export async function say(deed, indices, name = "") {
  const pictures = [...new Set(indices.map((index) => store.contents[index]))];
  const answer = { do: deed, pictures, name, tab, seen: store.state.version };
  try {
    const { version, ...piles } = await ask("answer", answer);
    for (const content of pictures) for (const index of store.places.get(content)) ahead.set(index, [SAID[deed], version]);
    learnPiles(piles);
  } catch (error) {
    toast(`not saved: ${error.message}`);
    return false;
  }
  runAhead();
  return true;
}

function learnPiles(piles) { // what can be undone and redone now
  Object.assign(store.state, piles);
  tell(store.state);
}

function runAhead() { // answers show at once, before the sorting has followed
  for (const [index, [said, version]] of ahead) {
    if (store.columns.version >= version) ahead.delete(index);
    else store.columns.states[index] = said;
  }
}

export async function rename(old, name) {
  return attempt(() => ask("answer", { do: "rename", old, name, tab, seen: store.state.version }));
}

export async function undo(deed) {
  const last = store.state?.[deed];
  if (!last) return;
  const answer = await attempt(() => ask("undo", { do: deed, of: last.number, tab }));
  if (answer) {
    const { version, ...piles } = answer;
    for (const [index, [, said]] of ahead) if (said <= version) ahead.delete(index);
    learnPiles(piles);
    toast(`${deed === "undo" ? "taken back" : "done again"}: ${last.text}`);
  }
}

export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message);
    return null;
  }
}

async function learnCaptions() {
  const { files, contents } = await look("api/captions");
  Object.assign(store, { files, contents, places: new Map() });
  contents.forEach((content, index) => {
    if (store.places.has(content)) store.places.get(content).push(index);
    else store.places.set(content, [index]);
  });
}

function sketch(state) { // the landscape's key: when it changes, it is asked for again
  return JSON.stringify([state.landscape, state.seat]);
}

async function take(state) {
  const before = store.state;
  if (state.sorted && store.files.length !== state.pictures) await learnCaptions();
  if (state.sorted && (state.sorted.version !== store.columns?.version || state.seat !== store.columns.seat)) {
    store.columns = await unpack("api/columns");
    runAhead();
  }
  if (state.landscape && sketch(state) !== (before && sketch(before))) store.landscape = await unpack("api/landscape");
  store.state = state;
  tell(before);
}

export async function follow() {
  const gone = document.getElementById("gone");
  for (let since = "", pause = 0; ; ) {
    try {
      const state = await look(`api/state?since=${since}`);
      await take(state);
      gone.hidden = true;
      [since, pause] = [state.tick, state.stage ? 300 : 0];
    } catch (error) {
      if (!(error instanceof TypeError)) console.error(error); // a TypeError: nobody answers there
      gone.hidden = false;
      pause = 1500;
    }
    if (pause) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
