// Pictures as rows of cells, of which only those in sight exist: 50,000 scroll as lightly as 500.

// Sections [title, members] laid out in columns as wide as `side` allows: rows with their places, all members, the height.
export function flowRows(sections, { width, side, gap, head, foot = 0 }) {
  const columns = Math.max(1, Math.floor((width + gap) / (side + gap)));
  const real = Math.floor((width + gap) / columns) - gap;
  const rows = [], order = [];
  let y = 0;
  for (const [title, members] of sections) {
    rows.push({ y, height: head, title, members });
    y += head;
    for (let start = 0; start < members.length; start += columns) {
      rows.push({ y, height: real + foot + gap, side: real, members: members.slice(start, start + columns) });
      y += real + foot + gap;
    }
    for (const member of members) order.push(member);
  }
  return { rows, order, height: y };
}

// Does work once a frame, the last that was asked for; `fullest` does all that other work does, and is not put off by it.
export function oncePerFrame(fullest) {
  let wanted = null;
  return (work) => {
    if (wanted === fullest) return;
    if (!wanted) requestAnimationFrame(() => { const next = wanted; wanted = null; next(); });
    wanted = work;
  };
}

function findRow(rows, y) { // the last row that begins above y
  let low = 0, high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle].y <= y) low = middle; else high = middle - 1;
  }
  return low;
}

// The rows between two heights, each with its place in the list.
export function* rowsBetween(rows, top, bottom) {
  for (let place = findRow(rows, Math.max(top, 0)); place < rows.length && rows[place].y < bottom; place++) yield [place, rows[place]];
}
