// Questions to the server; every address lies below the page's own, which holds the token.
const base = new URL(".", location.href);

export const place = (path) => new URL(path, base).href;
export const tab = Array.from(crypto.getRandomValues(new Uint8Array(8)), (n) => n.toString(16).padStart(2, "0")).join("");

export class Refused extends Error {}

async function check(response) {
  if (response.ok) return response;
  let said = response.statusText;
  try { said = (await response.json()).error ?? said; } catch { /* no sentence came with it */ }
  throw new Refused(said);
}

export async function look(path) {
  return (await check(await fetch(place(path)))).json();
}

// A line of JSON that tells names, types and lengths, then the arrays, each padded to 8 bytes.
export async function unpack(path) {
  const content = await (await check(await fetch(place(path)))).arrayBuffer();
  const bytes = new Uint8Array(content);
  let at = bytes.indexOf(10) + 1;
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, at)));
  const kinds = { "<i2": Int16Array, "<u2": Uint16Array, "<i4": Int32Array, "<u4": Uint32Array, "|u1": Uint8Array };
  for (const [name, [kind, length]] of Object.entries(head.arrays)) {
    const array = new kinds[kind](content, at, length);
    head[name] = array;
    at += Math.ceil(array.byteLength / 8) * 8;
  }
  return head;
}

export async function ask(name, question) {
  const response = await fetch(place(`api/${name}`), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
  });
  return (await check(response)).json();
}
