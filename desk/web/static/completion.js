// A field for a name, with the names in use below it: arrows choose, Tab takes the first, Enter hands over what stands there.
import { store } from "./store.js";

const SHOWN = 8;

export function rank(typed, names) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return [];
  const order = (name) => (name.startsWith(wanted) ? 0 : name.split(/[\s_-]+/).some((word) => word.startsWith(wanted)) ? 1 : 2);
  return names.filter((name) => name.toLowerCase().includes(wanted))
    .sort((a, b) => order(a.toLowerCase()) - order(b.toLowerCase()) || a.localeCompare(b)).slice(0, SHOWN);
}

export function completeField(input, onEnter) {
  const list = document.getElementById(input.getAttribute("aria-controls"));
  let chosen = -1;

  function show(names) {
    list.replaceChildren(...names.map((name, place) => {
      const line = document.createElement("li");
      line.id = `${list.id}-${place}`;
      line.role = "option";
      line.textContent = name;
      line.addEventListener("pointerdown", (event) => { event.preventDefault(); take(name); });
      return line;
    }));
    choose(-1);
    list.hidden = !names.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  function choose(place) {
    chosen = place;
    [...list.children].forEach((line, other) => line.setAttribute("aria-selected", String(other === place)));
    if (place >= 0) input.setAttribute("aria-activedescendant", list.children[place].id);
    else input.removeAttribute("aria-activedescendant");
    list.children[place]?.scrollIntoView({ block: "nearest" });
  }

  function take(name) {
    input.value = name;
    show([]);
    input.focus();
  }

  input.addEventListener("input", () => show(rank(input.value, store.state?.names ?? [])
    .filter((name) => name !== input.value.trim())));
  input.addEventListener("blur", () => show([]));
  input.addEventListener("keydown", (event) => {
    const count = list.hidden ? 0 : list.children.length;
    if (count && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      event.preventDefault();
      choose((chosen + (event.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1) + count) % count);
    } else if (count && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      take(list.children[Math.max(chosen, 0)].textContent);
    } else if (event.key === "Escape" && count) {
      event.stopPropagation();
      show([]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const text = chosen >= 0 && count ? list.children[chosen].textContent : input.value.trim();
      show([]);
      onEnter(text);
    }
  });
  return { clear: () => { input.value = ""; show([]); } };
}
