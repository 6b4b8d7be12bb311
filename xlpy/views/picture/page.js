"use strict";
// Draws what is in view, at the level of detail that pixels allow; everything else is arithmetic on the data.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 4096, SVG = "http://www.w3.org/2000/svg", MOST = 1500, ROWS = 500;
const hex = (n) => "0x" + n.toString(16);
const size = (n) => {
  for (const [unit, bytes] of [["T", 2 ** 40], ["G", 2 ** 30], ["M", 2 ** 20], ["K", 1024]])
    if (n >= bytes && n % bytes === 0) return n / bytes + unit;
  return n + " bytes";
};

// --- data: segments by space, extents with running sums -------------------------------------------------------
const segments = [];
data.columns.forEach((column, index) => column.spaces.forEach((space) => space.segments.forEach((segment) =>
  segments.push({ ...segment, column: index, space }))));
const spaceOf = (id, address) => segments.find((s) => s.space.id === id && s.start <= address && address < s.end);
for (const backing of data.backings) {
  const count = backing.extents.length / 2;
  backing.spa = new Float64Array(count);
  backing.length = new Float64Array(count);
  backing.offset = new Float64Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    backing.spa[i] = backing.extents[2 * i] * PAGE;
    backing.length[i] = backing.extents[2 * i + 1] * PAGE;
    backing.offset[i] = at;
    at += backing.length[i];
  }
  backing.bySpa = Uint32Array.from(backing.spa.keys()).sort((a, b) => backing.spa[a] - backing.spa[b]);
}
const lastAtMost = (count, key, wanted) => {
  let low = 0, high = count;
  while (low < high) { const middle = (low + high) >> 1; if (key(middle) <= wanted) low = middle + 1; else high = middle; }
  return low - 1;
};
const extentAt = (backing, offset) => lastAtMost(backing.spa.length, (i) => backing.offset[i], offset);

// --- where a byte lives ------------------------------------------------------------------------------------------
function cell(spa) {
  const region = data.regions.find((r) => r.start <= spa && spa < r.start + r.size);
  if (!region || !region.dimms.length) return null;         // a range of the memory map alone
  const line = Math.floor((spa - region.start) / region.line), ways = region.dimms.length, way = line % ways;
  return { region, dimm: region.dimms[way],
    dpa: region.starts[way] + Math.floor(line / ways) * region.line + (spa - region.start) % region.line };
}
function spaOfCell(dimm, dpa) {
  for (const region of data.regions) {
    const way = region.dimms.indexOf(dimm), at = dpa - region.starts[way];
    if (way < 0 || at < 0 || at >= region.size / region.dimms.length) continue;
    const line = Math.floor(at / region.line) * region.dimms.length + way;
    return region.start + line * region.line + at % region.line;
  }
  return null;
}
function ownerOf(spa) {
  for (const backing of data.backings) {
    const at = lastAtMost(backing.bySpa.length, (i) => backing.spa[backing.bySpa[i]], spa);
    const i = at < 0 ? -1 : backing.bySpa[at];
    if (i >= 0 && spa < backing.spa[i] + backing.length[i])
      return { backing, offset: backing.offset[i] + spa - backing.spa[i] };
  }
  return null;
}
const ramOf = (spa) => segments.find((s) => s.column === 0 && s.spa !== null && s.spa <= spa && spa < s.spa + s.end - s.start);
function wayOf(spa) {
  const way = [], owner = ownerOf(spa), place = cell(spa), ram = owner ? null : ramOf(spa);
  if (ram) way.push(`${ram.space.id.slice(6)}: guest address ${hex(ram.start + spa - ram.spa)}, ${ram.label}`);
  if (owner) way.push(`${owner.backing.space.slice(6)}: guest address ${hex(owner.backing.gpa + owner.offset)}`,
    `vNVDIMM ${owner.backing.slot}, ${owner.backing.path}+${hex(owner.offset)}`);
  const host = spaceOf("host", spa);
  for (const [start, end, , label] of host ? host.bands : [])
    if (start <= spa && spa < end) way.push(`${label}+${hex(spa - start)}`);
  way.push(`host address ${hex(spa)}, frame ${hex(Math.floor(spa / PAGE))}`);
  if (place) way.push(`${place.region.name}+${hex(spa - place.region.start)}`, `${place.dimm}, DPA ${hex(place.dpa)}`);
  if (data.poison.some(([start, end]) => start <= spa && spa < end)) way.push("poisoned");
  return way;
}
function tell(title, way) {
  document.getElementById("what").textContent = title;
  const list = document.getElementById("way");
  list.replaceChildren(...way.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

// --- drawing -------------------------------------------------------------------------------------------------------
const view = { zoom: 1, tops: [0, 0, 0] };                 // each column has a top of its own, so that ends can face each other
const picture = document.getElementById("picture");
const svg = document.createElementNS(SVG, "svg");
picture.append(svg);
let mark = null, names = [], notes = [];                    // names are drawn last, above all boxes; notes stand beside
let letter = 1;                                             // the size of letters, larger on a narrow page
const [ROW, FAR, LETTERS] = data.notes;
const widthShown = () => Math.max(svg.getBoundingClientRect().width, 1);  // on a narrow page more than can be seen
const heightShown = () => data.width * picture.clientHeight / widthShown();
const down = (column, y) => (y - view.tops[column]) * view.zoom;
const placeOf = (segment, address) => segment.y + segment.h * (address - segment.start) / (segment.end - segment.start);
const yOf = (segment, address) => down(segment.column, placeOf(segment, address));

function node(tag, kind, attributes, title, way) {
  const made = document.createElementNS(SVG, tag);
  if (kind) made.setAttribute("class", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (title) {
    made.setAttribute("tabindex", "0");
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", title);
    const show = () => tell(title, way());
    made.addEventListener("pointerenter", show);
    made.addEventListener("focus", show);
  }
  return made;
}
function box(kind, x, width, top, bottom, title, way, label) {
  const found = [], limit = heightShown();
  if (bottom < 0 || top > limit) return found;
  found.push(node("rect", kind, { x, y: top, width, height: Math.max(bottom - top, .5) }, title, way));
  const y = Math.max(top, 20) + 12 * letter;
  if (label && Math.min(bottom, limit) > y) {
    const text = node("text", "", { x: x + 6, y });
    text.textContent = label;
    names.push(text);
  }
  return found;
}
function ribbon(kind, column, a, b, c, d, title, way) {
  const left = data.columns[column].x + data.columns[column].width, right = data.columns[column + 1].x;
  const limit = heightShown();
  if (Math.max(b, d) < 0 || Math.min(a, c) > limit) return [];
  const path = `M${left} ${a}L${right} ${c}V${Math.max(d, c + .5)}L${left} ${Math.max(b, a + .5)}Z`;
  return [node("path", kind, { d: path }, title, way)];
}
// A name beside the host's column: at the height of its thing, or where that comes into view.
function note(top, bottom, edge, text) {
  if (bottom > 20 && top < heightShown()) notes.push({ at: Math.max(top, 24), edge, text });
}
function drawNotes() {
  const { x, width } = data.columns[1], found = [], step = ROW * letter;
  let last = -Infinity;
  for (const { at, edge, text } of notes.sort((a, b) => a.at - b.at)) {
    const y = Math.max(at + 4, last + step);
    if (y - at > FAR) continue;
    last = y;
    const third = Math.floor(LETTERS / 3), letters = [...text];
    const made = node("text", "note", { x: x + width + 8, y });
    made.textContent = letters.length <= LETTERS ? text
      : `${letters.slice(0, third).join("")}\u2026${letters.slice(third + 1 - LETTERS).join("")}`;
    found.push(node("path", "lead", { d: `M${edge} ${at + .5}L${x + width + 6} ${y - 4}` }), made);
  }
  return found;
}
function drawSegment(s) {
  const { x, width } = data.columns[s.column], found = [], right = x + width;
  const about = `${s.label}: ${hex(s.start)}-${hex(s.end)}, ${size(s.end - s.start)}`;
  const way = () => s.column === 1 ? wayOf(s.start) : s.column === 2
    ? wayOf(spaOfCell(s.space.title, 0) ?? -1) : s.spa === null ? [`${s.space.title}: ${about}`] : wayOf(s.spa);
  found.push(...box(s.kind, x, width, yOf(s, s.start), yOf(s, s.end), about, way,
    s.bands.length ? null : `${s.label} ${size(s.end - s.start)}`));
  if (s.bands.length) note(yOf(s, s.start), yOf(s, s.end), right, s.label);
  for (const [start, end, kind, label, depth] of s.bands) {
    const inset = depth * data.indent;
    const top = yOf(s, start), bottom = yOf(s, end);
    found.push(...box(kind, x + inset, width - 2 * inset, top, bottom,
      `${label}: ${hex(start)}-${hex(end)}, ${size(end - start)}`, () => wayOf(start)));
    if (bottom - top >= 1) note(top, bottom, right - inset, label);
  }
  return found;
}
function drawExtents(backing, pieces) {
  const guest = spaceOf(backing.space, backing.gpa), found = [];
  if (!guest) return found;
  const count = backing.spa.length;
  let named = false;
  for (let i = 0; i < count && found.length < MOST;) {
    const gpa = backing.gpa + backing.offset[i], host = spaceOf("host", backing.spa[i]);
    if (!host) { i++; continue; }
    const a = yOf(guest, gpa), c = yOf(host, backing.spa[i]);
    let next = i + 1;                                       // extents that fall on the same pixels are one
    while (next < count && yOf(guest, backing.gpa + backing.offset[next]) - a < 1
      && Math.abs(yOf(host, backing.spa[next]) - c) < 1) next++;
    const last = next - 1, end = backing.offset[last] + backing.length[last], first = i;
    const many = next - i > 1 ? `, ${next - i} extents` : "";
    found.push(...ribbon("extent", 0, a, yOf(guest, backing.gpa + end), c,
      yOf(host, backing.spa[last] + backing.length[last]),
      `${backing.path}+${hex(backing.offset[i])}: guest ${hex(gpa)}, host ${hex(backing.spa[i])}${many}`,
      () => wayOf(backing.spa[first])));
    const { x, width } = data.columns[1];
    pieces.push(...box("pmem", x + data.files, width - 2 * data.files, c,
      yOf(host, backing.spa[last] + backing.length[last]), `${backing.path}: host ${hex(backing.spa[i])}${many}`,
      () => wayOf(backing.spa[first])));
    if (!named && yOf(host, backing.spa[last] + backing.length[last]) > 20 && c < heightShown()) {
      named = true;                                         // its first piece in view
      note(c, yOf(host, backing.spa[last] + backing.length[last]), x + width - data.files, backing.path);
    }
    i = next;
  }
  return found;
}
function drawWays(region) {
  const host = spaceOf("host", region.start), found = [], share = region.size / region.dimms.length;
  for (const name of host ? region.dimms : []) {
    const dimm = spaceOf(`dimm:${name}`, 0), start = region.starts[region.dimms.indexOf(name)];
    if (dimm) found.push(...ribbon("ways", 1, yOf(host, region.start), yOf(host, region.start + region.size),
      yOf(dimm, start), yOf(dimm, start + share), `${region.name} on ${name}`, () => wayOf(spaOfCell(name, start))));
  }
  if (!host || region.dimms.length < 2) return found;
  const { x, width } = data.columns[1], pixels = yOf(host, region.start + region.line) - yOf(host, region.start);
  if (pixels < 3) return found;                             // lines of the set, once they can be told apart
  const perPixel = region.line / pixels, first = Math.max(0, Math.floor((0 - yOf(host, region.start)) * perPixel / region.line));
  for (let line = first; line * region.line < region.size && found.length < MOST; line++) {
    const top = yOf(host, region.start + line * region.line);
    if (top > heightShown()) break;
    const dimm = region.dimms[line % region.dimms.length], spa = region.start + line * region.line;
    found.push(...box("stripe", x + width - 40, 40, top, top + pixels, `line ${line} of ${region.name} on ${dimm}`,
      () => wayOf(spa), dimm));
  }
  return found;
}
function draw() {
  const limit = heightShown(), found = [], pieces = [];
  names = [];
  notes = [];
  letter = parseFloat(getComputedStyle(svg).fontSize) / 11;
  svg.setAttribute("viewBox", `0 0 ${data.width} ${limit}`);
  data.backings.forEach((backing) => found.push(...drawExtents(backing, pieces)));
  segments.forEach((segment) => found.push(...drawSegment(segment)));
  data.regions.forEach((region) => found.push(...drawWays(region)));
  found.push(...pieces);
  for (const [start, end] of data.poison) {
    const host = spaceOf("host", start);
    if (host) found.push(...box("poison", data.columns[1].x, data.columns[1].width, yOf(host, start),
      yOf(host, end), `poison ${hex(start)}-${hex(end)}`, () => wayOf(start)));
  }
  for (const [column, text, y] of data.headings) {
    const made = node("text", "space", { x: data.columns[column].x, y: down(column, y + 14) });
    made.textContent = text;
    names.push(made);
  }
  for (const { title, x } of data.columns) {
    const made = node("text", "column", { x, y: 16 });
    made.textContent = title;
    names.push(made);
  }
  if (mark) for (const { segment, address } of mark) {
    const { x, width } = data.columns[segment.column], y = yOf(segment, address);
    found.push(node("path", "found", { d: `M${x - 8} ${y}H${x + width + 8}` }));
  }
  svg.replaceChildren(...found, ...drawNotes(), ...names);
}

// --- moving about --------------------------------------------------------------------------------------------------
function zoomBy(factor, at = heightShown() / 2) {
  const before = view.zoom;
  view.zoom = Math.min(Math.max(view.zoom * factor, .1), 1e9);
  view.tops = view.tops.map((top) => top + at / before - at / view.zoom);
  draw();
}
const moveBy = (pixels) => { view.tops = view.tops.map((top) => top + pixels / view.zoom); draw(); };
const all = () => { view.zoom = Math.min(1, heightShown() / data.height); view.tops = [0, 0, 0]; mark = null; draw(); };
document.getElementById("in").onclick = () => zoomBy(2);
document.getElementById("out").onclick = () => zoomBy(.5);
document.getElementById("all").onclick = all;
picture.addEventListener("wheel", (event) => {
  event.preventDefault();
  const scale = data.width / widthShown();
  if (event.ctrlKey || event.metaKey || !event.shiftKey)
    zoomBy(Math.exp(-event.deltaY / 300), (event.clientY - picture.getBoundingClientRect().top) * scale);
  else moveBy(event.deltaY * scale);
}, { passive: false });
let held = null;
picture.addEventListener("pointerdown", (event) => { held = event.clientY; });
window.addEventListener("pointerup", () => { held = null; });
picture.addEventListener("pointermove", (event) => {
  if (held === null) return;
  moveBy((held - event.clientY) * data.width / widthShown());
  held = event.clientY;
});
const keys = { "+": () => zoomBy(2), "=": () => zoomBy(2), "-": () => zoomBy(.5), "0": all,
  ArrowDown: () => moveBy(60), ArrowUp: () => moveBy(-60) };
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || !(event.key in keys) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  keys[event.key]();
});
window.addEventListener("resize", draw);

// --- search --------------------------------------------------------------------------------------------------------
// Where a text leads: a host address (null for a register of a device), and the guest's place where it names one.
function placeNamed(text) {
  const named = text.match(/^(.*)[:+](0x[0-9a-f]+|[0-9]+)$/i), plain = text.match(/^(0x[0-9a-f]+|[0-9]+)$/i);
  if (plain) return { spa: Number(plain[1]) };
  if (!named) return null;
  const name = named[1], number = Number(named[2]);
  if (data.columns[2].spaces.some((space) => space.title === name)) return { spa: spaOfCell(name, number) };
  for (const backing of data.backings) {
    const offset = backing.path === name ? number : backing.space === `guest:${name}` ? number - backing.gpa : -1;
    if (offset < 0 || offset >= backing.size) continue;
    const i = extentAt(backing, offset);
    return { spa: backing.spa[i] + offset - backing.offset[i] };
  }
  const guest = spaceOf(`guest:${name}`, number);
  if (guest) return { spa: guest.spa === null ? null : guest.spa + number - guest.start, guest, address: number };
  for (const { bands } of segments) for (const [start, end, , label] of bands)
    if (label.split(" ")[0] === name && start + number < end) return { spa: start + number };
  const region = data.regions.find((r) => r.name === name && number < r.size);
  return region ? { spa: region.start + number } : null;
}
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("address").value.trim(), at = placeNamed(text), spa = at ? at.spa : null;
  const host = spa === null ? null : spaceOf("host", spa);
  if (!host && !(at && at.guest)) { tell(`${text || "nothing"}: no such place in the picture`, []); return; }
  const owner = host && ownerOf(spa), place = host && cell(spa), ram = host && !owner ? ramOf(spa) : null;
  mark = host ? [{ segment: host, address: spa }] : [];
  if (owner) mark.push({ segment: spaceOf(owner.backing.space, owner.backing.gpa), address: owner.backing.gpa + owner.offset });
  else if (ram) mark.push({ segment: ram, address: ram.start + spa - ram.spa });
  else if (at.guest) mark.push({ segment: at.guest, address: at.address });
  if (place) mark.push({ segment: spaceOf(`dimm:${place.dimm}`, place.dpa), address: place.dpa });
  view.zoom = Math.max(view.zoom, 1);
  for (const { segment, address } of mark)
    view.tops[segment.column] = placeOf(segment, address) - heightShown() / 2 / view.zoom;
  tell(text, host ? wayOf(spa) : [`${at.guest.space.title}: ${at.guest.label}, nothing is stored there`]);
  draw();
});

// --- the same as tables ----------------------------------------------------------------------------------------------
function tableOf(title, columns, count, row) {
  const details = document.createElement("details"), summary = document.createElement("summary");
  summary.textContent = `${title} (${count})`;
  details.append(summary);
  let shown = 0;
  const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const name of columns) head.append(Object.assign(document.createElement("th"), { textContent: name, scope: "col" }));
  const more = Object.assign(document.createElement("button"), { textContent: "more rows" });
  const fill = () => {
    for (const end = Math.min(count, shown + ROWS); shown < end; shown++) {
      const line = body.insertRow();
      for (const text of row(shown)) line.insertCell().textContent = text;
    }
    more.hidden = shown >= count;
  };
  more.onclick = fill;
  details.append(table, more);
  details.addEventListener("toggle", () => { if (details.open && !shown) fill(); });
  return details;
}
const capacity = document.getElementById("capacity");
capacity.hidden = !data.ledger.length;
for (const [name, raw, shares] of data.ledger) {
  const title = document.createElement("h3"), bar = document.createElement("div");
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  title.textContent = `${name}: ${mib(shares[shares.length - 1][1])} of ${mib(raw)} raw`;
  bar.className = "bar";
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", shares.map(([what, bytes]) => `${what}: ${bytes} bytes`).join("; "));
  for (const [what, bytes] of shares) {
    const part = document.createElement("span");
    part.style.flex = `${bytes} 0 0`;
    part.title = `${what}: ${bytes} bytes`;
    bar.append(part);
  }
  capacity.append(title, bar, tableOf("its parts", ["bytes", "for"], shares.length, (i) => [String(shares[i][1]), shares[i][0]]));
}
const tables = document.getElementById("tables");
for (const column of data.columns) for (const space of column.spaces) {
  const rows = space.segments.flatMap((s) => [[s.start, s.end, s.kind, s.label], ...s.bands]);
  tables.append(tableOf(space.title, ["start", "end", "kind", "what"], rows.length,
    (i) => [hex(rows[i][0]), hex(rows[i][1]), rows[i][2], rows[i][3]]));
}
for (const backing of data.backings)
  tables.append(tableOf(`${backing.space.slice(6)}: ${backing.path}`, ["offset", "guest", "host", "length"], backing.spa.length,
    (i) => [hex(backing.offset[i]), hex(backing.gpa + backing.offset[i]), hex(backing.spa[i]), size(backing.length[i])]));
all();
document.documentElement.dataset.ready = "yes";
