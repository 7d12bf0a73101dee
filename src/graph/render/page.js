"use strict";
// The page's own data; texts reach the document by textContent alone.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const canvas = byId("canvas"), scene = byId("scene"), details = byId("details"), search = byId("search");
const nodes = data.nodes.map((node) => ({ ...node, element: byId("n" + node.id), before: [], behind: [] }));
const wires = data.wires.map(([from, to], at) => ({ from: data.items[from], to: data.items[to], element: byId("w" + at) }));
for (const edge of data.edges) {
  nodes[edge.from].behind.push({ id: edge.to, kind: edge.kind });
  nodes[edge.to].before.push({ id: edge.from, kind: edge.kind });
}

// ---------------------------------------------------------------- what belongs to a node
function reach(start, side) {
  const found = new Set([start]), stack = [start];
  while (stack.length) {
    for (const next of nodes[stack.pop()][side]) {
      if (!found.has(next.id)) { found.add(next.id); stack.push(next.id); }
    }
  }
  return found;
}
let chosen = null, lit = null;
function light(id) {
  if (id === lit) return;
  lit = id;
  canvas.classList.toggle("lit", id !== null);
  if (id === null) return;
  const up = reach(id, "before"), down = reach(id, "behind");
  for (const node of nodes) node.element.classList.toggle("on", up.has(node.id) || down.has(node.id));
  for (const wire of wires) {
    const inside = (set) => wire.from.some((at) => set.has(at)) && wire.to.some((at) => set.has(at));
    const isUp = inside(up), isDown = inside(down);
    wire.element.classList.toggle("up", isUp);
    wire.element.classList.toggle("down", isDown && !isUp);
    wire.element.classList.toggle("on", isUp || isDown);
  }
}
function choose(id, move) {
  if (chosen !== null) nodes[chosen].element.classList.remove("chosen");
  chosen = id;
  details.hidden = id === null;
  if (id === null) {
    history.replaceState(null, "", location.pathname + location.search);
  } else {
    nodes[id].element.classList.add("chosen");
    history.replaceState(null, "", "#" + encodeURIComponent(nodes[id].label));
    describe(nodes[id]);
    if (move && !seen(id)) centre(id);
  }
  light(id);
  drawMap();
}

// ---------------------------------------------------------------- details
function add(parent, tag, text, name) {
  const element = parent.appendChild(document.createElement(tag));
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}
function describe(node) {
  details.replaceChildren();
  const close = add(details, "button", "×", "close");
  close.title = "Close (Esc)";
  close.onclick = () => choose(null);
  add(details, "h2", node.label);
  if (node.desc) add(details, "p", node.desc, "desc");
  if (node.place) add(details, "p", node.place, "place");
  const tags = [
    node.kind !== "task" && node.kind, node.env && "environment " + node.env,
    node.target && "asked for", node.group && "group", node.follow_up && "runs only when called",
    node.mutates && "mutates", node.interactive && "interactive", node.pool && "pool " + node.pool,
    !node.group && node.kind === "task" && (node.cacheable ? "cached" : "always runs"), node.heading,
  ].filter(Boolean);
  if (tags.length) {
    const list = add(details, "ul", undefined, "tags");
    for (const tag of tags) add(list, "li", tag);
  }
  if (node.commands) {
    add(details, "h3", "Commands" + (node.dir && node.dir !== "." ? " in " + node.dir : ""));
    for (const command of node.commands) add(details, "pre", command);
  }
  for (const [title, texts] of [["Inputs", node.inputs], ["Outputs", node.outputs], ["Reads", node.reads], ["Tools", node.tools]]) {
    if (!texts || !texts.length) continue;
    add(details, "h3", title);
    const list = add(details, "ul", undefined, "words");
    for (const text of texts) add(add(list, "li"), "code", text);
  }
  const groups = [
    ["Needs", node.before, "needs"], ["After", node.before, "after"], ["Called when this fails", node.before, "on-fail"],
    ["Called when this succeeds", node.before, "on-success"], ["Needed by", node.behind, "needs"], ["Before", node.behind, "after"],
    ["Calls when it fails", node.behind, "on-fail"], ["Calls when it succeeds", node.behind, "on-success"],
  ];
  for (const [title, side, kind] of groups) {
    const found = side.filter((edge) => edge.kind === kind);
    if (!found.length) continue;
    add(details, "h3", found.length > 1 ? title + " (" + found.length + ")" : title);
    const list = add(details, "ul", undefined, "words");
    for (const edge of found) {
      const link = add(add(list, "li"), "button", nodes[edge.id].label);
      link.onclick = () => choose(edge.id, true);
    }
  }
  details.scrollTop = 0;
}

// ---------------------------------------------------------------- moving about
const [width, height] = data.size;
let view = { x: 0, y: 0, k: 1 };
const room = () => canvas.getBoundingClientRect();
canvas.removeAttribute("viewBox");
let gliding = 0;
function show(next, glide) {
  if (glide === undefined) gliding++;
  view = next;
  scene.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  drawMap();
}
const limit = (k) => Math.min(3, Math.max(0.02, k));
function zoom(factor, x, y) {
  const k = limit(view.k * factor), by = k / view.k;
  show({ k, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
}
const still = matchMedia("(prefers-reduced-motion: reduce)");
function glide(to) {
  if (still.matches) return show(to);
  const from = view, begun = performance.now(), mine = ++gliding;
  const step = (now) => {
    // Whatever else moves the view meanwhile wins.
    if (mine !== gliding) return;
    const t = Math.min(1, Math.max(0, (now - begun) / 220)), ease = 1 - (1 - t) ** 3;
    const at = (name) => from[name] + (to[name] - from[name]) * ease;
    show({ x: at("x"), y: at("y"), k: at("k") }, mine);
    if (t < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
function whole() {
  const { width: w, height: h } = room(), pad = 34;
  const k = Math.min((w - 2 * pad) / width, (h - 2 * pad - 30) / height, 1.4);
  return { k, x: (w - width * k) / 2, y: (h - 30 - height * k) / 2 };
}
function around(id, k) {
  const { width: w, height: h } = room(), [x, y, bw, bh] = data.boxes[id];
  const side = details.hidden ? 0 : Math.min(400, w / 2);
  return { k, x: (w - side) / 2 - (x + bw / 2) * k, y: h / 2 - (y + bh / 2) * k };
}
function seen(id) {
  const { width: w, height: h } = room(), [x, y, bw, bh] = data.boxes[id], side = details.hidden ? 0 : Math.min(420, w / 2);
  const left = view.x + x * view.k, top = view.y + y * view.k;
  return view.k >= 0.5 && left > 8 && top > 8 && left + bw * view.k < w - side && top + bh * view.k < h - 60;
}
const centre = (id) => glide(around(id, Math.max(view.k, 0.8)));
const middle = (factor) => { const { width: w, height: h } = room(); zoom(factor, w / 2, h / 2); };
byId("in").onclick = () => middle(1.3);
byId("out").onclick = () => middle(1 / 1.3);
byId("fit").onclick = () => glide(whole());
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = room(), lines = event.deltaMode === 1 ? 18 : 1;
  zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

const fingers = new Map();
let moved = 0;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (!fingers.size) moved = 0;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});
addEventListener("pointermove", (event) => {
  const finger = fingers.get(event.pointerId);
  if (!finger) return;
  const dx = event.clientX - finger.x, dy = event.clientY - finger.y;
  if (fingers.size === 1) {
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > 4) {
      canvas.classList.add("moving");
      show({ ...view, x: view.x + dx, y: view.y + dy });
    }
  } else if (fingers.size === 2) {
    moved = 99;
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1], box = room();
    const span = (x, y) => Math.hypot(x - other.x, y - other.y) || 1;
    zoom(span(event.clientX, event.clientY) / span(finger.x, finger.y), (finger.x + other.x) / 2 - box.left, (finger.y + other.y) / 2 - box.top);
    show({ ...view, x: view.x + dx / 2, y: view.y + dy / 2 });
  }
  finger.x = event.clientX; finger.y = event.clientY;
});
for (const name of ["pointerup", "pointercancel"]) {
  addEventListener(name, (event) => { fingers.delete(event.pointerId); if (!fingers.size) canvas.classList.remove("moving"); });
}
const nodeAt = (event) => { const element = event.target.closest(".n"); return element ? Number(element.id.slice(1)) : null; };
canvas.addEventListener("pointerover", (event) => { if (!fingers.size && !seeking()) light(nodeAt(event) ?? chosen); });
canvas.addEventListener("pointerleave", () => { if (!seeking()) light(chosen); });
canvas.addEventListener("click", (event) => { if (moved <= 4) choose(nodeAt(event)); });
canvas.addEventListener("focusin", (event) => { if (event.target.matches(":focus-visible")) { light(nodeAt(event)); centre(nodeAt(event)); } });

// ---------------------------------------------------------------- search
let hits = [], hit = -1;
const seeking = () => search.value.trim() !== "";
function seek() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (node) => [node.label, node.desc, node.heading, ...(node.commands ?? []), ...(node.outputs ?? [])].join("\n").toLowerCase();
  const named = (node) => words.every((word) => node.label.toLowerCase().includes(word));
  hits = words.length ? nodes.filter((node) => words.every((word) => text(node).includes(word))) : [];
  hits.sort((a, b) => named(b) - named(a) || a.id - b.id);
  hit = -1;
  const found = new Set(hits);
  canvas.classList.toggle("seeking", words.length > 0);
  for (const node of nodes) node.element.classList.toggle("hit", found.has(node));
  byId("hits").textContent = words.length ? hits.length + " found" : "";
  if (words.length) light(null); else light(chosen);
}
search.addEventListener("input", seek);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !hits.length) return;
  hit = (hit + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
  if (hit < 0) hit = 0;
  byId("hits").textContent = hit + 1 + " of " + hits.length;
  choose(hits[hit].id, true);
  light(null);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (seeking()) { search.value = ""; seek(); } else choose(null);
    search.blur();
  }
  if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && event.target.closest?.(".n")) choose(nodeAt(event));
  else if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === "+" || event.key === "=") middle(1.3);
  else if (event.key === "-") middle(1 / 1.3);
  else if (event.key === "0") glide(whole());
});

// ---------------------------------------------------------------- the map, where there is much to see
const map = byId("map"), frame = byId("map-view");
let mapped = 0;
if (nodes.length > 40) {
  mapped = Math.min(220 / width, 150 / height);
  const pad = 8;
  map.setAttribute("width", width * mapped + 2 * pad);
  map.setAttribute("height", height * mapped + 2 * pad);
  map.setAttribute("viewBox", `${-pad / mapped} ${-pad / mapped} ${width + 2 * pad / mapped} ${height + 2 * pad / mapped}`);
  for (const [id, [x, y, w, h]] of data.boxes.entries()) {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const least = 1.6 / mapped;
    for (const [name, value] of [["x", x], ["y", y], ["width", Math.max(w, least)], ["height", Math.max(h, least)]]) box.setAttribute(name, value);
    if (nodes[id].target) box.setAttribute("class", "target");
    byId("map-nodes").append(box);
  }
  const go = (event) => {
    if (!event.buttons) return;
    const box = map.getBoundingClientRect(), { width: w, height: h } = room();
    const x = (event.clientX - box.left - 9) / mapped, y = (event.clientY - box.top - 9) / mapped;
    show({ ...view, x: w / 2 - x * view.k, y: h / 2 - y * view.k });
  };
  map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); go(event); });
  map.addEventListener("pointermove", go);
}
function drawMap() {
  if (!mapped) return;
  const { width: w, height: h } = room();
  const sees = { x: -view.x / view.k, y: -view.y / view.k, width: w / view.k, height: h / view.k };
  const all = sees.x <= 0 && sees.y <= 0 && sees.x + sees.width >= width && sees.y + sees.height >= height;
  map.toggleAttribute("hidden", all || !details.hidden);
  for (const [name, value] of Object.entries(sees)) frame.setAttribute(name, value);
}

// ---------------------------------------------------------------- the first sight
function begin() {
  const all = whole(), wanted = decodeURIComponent(location.hash.slice(1));
  const named = nodes.find((node) => node.label === wanted), targets = nodes.filter((node) => node.target);
  // Everything, if it can be read; else its end, from where the rest can be followed back.
  const last = targets.length && targets.length < nodes.length ? targets[targets.length - 1] : null;
  if (all.k >= 0.5 || !last) {
    show(all);
  } else {
    const near = around(last.id, 0.75), { width: w } = room();
    show({ ...near, x: Math.max(near.x, w - 40 - width * near.k) });
  }
  if (named) choose(named.id, true);
}
addEventListener("resize", drawMap);
begin();
