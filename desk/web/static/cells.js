// Pictures as cells and thumbnails, the same wherever they stand.
import { place } from "./net.js";
import { make } from "./nodes.js";
import { standingOf, store } from "./store.js";

export const address = (index) => place(`thumbnail/${index}?${store.contents[index]?.slice(0, 12)}`);

export function thumb(index, text, open) {
  const picture = make("img", { src: address(index), alt: store.files[index] ?? "", title: store.files[index] ?? "", loading: "lazy" });
  const figure = make("figure", {}, picture, make("figcaption", { textContent: text }));
  figure.dataset.index = index;
  figure.addEventListener("click", () => open(index));
  return figure;
}

export function makeCell(index) {
  const cell = make("div", { className: "cell" },
    make("img", { src: address(index), alt: store.files[index] ?? "", draggable: false, decoding: "async" }),
    make("b"), make("u"), make("input", { type: "checkbox", ariaLabel: `select ${store.files[index] ?? ""}`, tabIndex: -1 }));
  cell.dataset.index = index;
  return cell;
}

export function paintCell(cell, chosen) {
  const index = Number(cell.dataset.index);
  const { kind, text, share } = standingOf(index);
  cell.className = `cell ${kind}${chosen ? " chosen" : ""}`;
  cell.title = store.files[index] ?? "";
  const [, caption, bar, box] = cell.children;
  caption.textContent = text || store.files[index] || "";
  bar.style.width = `${share}%`;
  box.checked = chosen;
}
