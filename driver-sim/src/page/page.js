"use strict";
// Shows the record of a run: what happened as a chart of nodes over time, and the state of every node at the cursor.
// Texts of the record only ever become text: textContent and fillText, never markup.

const record = JSON.parse(document.getElementById("record").textContent);
const run = record[0];
const end = record[record.length - 1];
const element = (id) => document.getElementById(id);

// ---- what there is to see

const KINDS = {
  violation: { title: "Broken rules", shape: "cross", about: "A promise of the node was broken." },
  refusal: { title: "Refusals", shape: "diamond", about: "A message or a stream was refused." },
  attack: { title: "Attacker's messages", shape: "arrow", about: "Sent by the attacker, Mallory." },
  fault: { title: "Faults", shape: "triangle", about: "Something broke: a stream, a disk, a clock, the power." },
  delivery: { title: "Texts stored", shape: "dot", about: "A text reached the session it was for." },
  "text-message": { title: "Texts and answers", shape: "arrow", about: "log, inject, response, ack." },
  access: { title: "Invites and keys", shape: "arrow", about: "claim, key-rotation and what belongs to them." },
  handshake: { title: "Handshakes", shape: "arrow", about: "hello, hello-ack." },
  owner: { title: "Owners' orders", shape: "square", about: "What a person told the own node to do, and was told." },
  event: { title: "Other events", shape: "tick", about: "Connections, grants, keys." },
};
const HIDDEN_AT_FIRST = ["event"];

/** Which kind a line of the record is of; undefined for what only helps the page. */
function kindOf(line) {
  const type = (line.detail || "").split(/[ ,]/)[0];
  switch (line.kind) {
    case "VIOLATION": return "violation";
    case "fault": case "crashes": case "starts": return "fault";
    case "stores": return "delivery";
    case "owner": case "told": return "owner";
    case "event": return type.endsWith(".rejected") ? "refusal" : "event";
    case "opens": case "closes": return "event";
    case "sends":
      if (line.party === "mallory") return "attack";
      if (type === "reject") return "refusal";
      if (type === "hello" || type === "hello-ack") return "handshake";
      return ["log", "inject", "response", "ack"].includes(type) ? "text-message" : "access";
    default: return undefined;
  }
}

const arrivals = new Map();
for (const line of record) if (line.kind === "receives") arrivals.set(line.message, line.at);

const events = [];
for (const line of record) {
  const kind = kindOf(line);
  if (kind) events.push({ ...line, type: kind, arrives: arrivals.get(line.message) });
}
const parties = run.parties;
const shownKinds = new Set(Object.keys(KINDS).filter((kind) => !HIDDEN_AT_FIRST.includes(kind)));
const shownParties = new Set(parties);

/** For each node, when its state changed and what it was from then on. */
const states = new Map(parties.map((party) => [party, []]));
for (const line of record) {
  if (line.kind !== "state") continue;
  const list = states.get(line.party);
  const before = list.length ? list[list.length - 1].state : {};
  list.push({ at: line.at, state: { ...before, ...line.state }, changed: Object.keys(line.state) });
}

const isShown = (event) =>
  shownKinds.has(event.type) && shownParties.has(event.party) && (!event.other || shownParties.has(event.other));
let visible = [];
const filter = () => { visible = events.filter(isShown); };

// ---- words

const seconds = (at) => {
  const total = at / 1e6;
  const minutes = Math.floor(total / 60);
  return `${minutes}:${(total - minutes * 60).toFixed(3).padStart(6, "0")}`;
};
const name = (text) => text.replace(/\bmallory\b/g, "Mallory");

function sentence(event) {
  const detail = name(event.detail || "");
  const other = event.other ? name(event.other) : "";
  const who = event.party ? name(event.party) : "";
  switch (event.kind) {
    case "sends": {
      const fate = event.arrives === undefined ? "never arrives" : `arrives after ${((event.arrives - event.at) / 1000).toFixed(0)} ms`;
      return `${who} → ${other || "nobody"}: ${detail}; ${fate}`;
    }
    case "stores": return `${who} stores ${detail}, from ${other}`;
    case "owner": return `${who}'s owner orders: ${detail}`;
    case "told": return `${who}'s owner is told: ${detail}`;
    case "crashes": return `${who} loses power`;
    case "starts": return `${who} starts (${detail})`;
    case "fault": return `fault at ${who}${other ? ` towards ${other}` : ""}: ${detail}`;
    case "VIOLATION": return `BROKEN RULE at ${who}: ${detail}`;
    case "opens": return `${who} opens a stream to ${other}`;
    case "closes": return `${who} closes a stream to ${other}`;
    default: return `${who}${other ? ` (because of ${other})` : ""}: ${detail.replace(/^p2p\./, "")}`;
  }
}

// ---- where things are

const chart = element("chart");
const overview = element("overview");
const LEFT = 68, TOP = 26, LANE = 54;
let lanes = [];
let width = 0, height = 0;
let view = { from: 0, to: end.at };
let cursor = 0;
let selected = null;

const x = (at) => LEFT + ((at - view.from) / (view.to - view.from)) * (width - LEFT - 12);
const timeAt = (px) => view.from + ((px - LEFT) / (width - LEFT - 12)) * (view.to - view.from);
const laneOf = (party) => TOP + 22 + lanes.indexOf(party) * laneHeight();
const laneHeight = () => (lanes.length > 8 ? Math.max(24, 430 / lanes.length) : LANE);

/** Index of the first visible event at or after a time. */
function firstFrom(list, at) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at < at) low = middle + 1; else high = middle;
  }
  return low;
}

// ---- drawing

let colour = {};
const COLOURS = [...Object.keys(KINDS), "ground", "panel", "text", "faint", "rule", "lane", "window", "cursor"];
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const key of COLOURS) colour[key] = style.getPropertyValue(`--${key}`).trim();
}

function prepare(canvas, cssHeight) {
  const ratio = window.devicePixelRatio || 1;
  const cssWidth = canvas.clientWidth;
  canvas.style.height = `${cssHeight}px`;
  canvas.width = Math.round(cssWidth * ratio);
  canvas.height = Math.round(cssHeight * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, cssWidth, cssHeight);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  return [pen, cssWidth];
}

function mark(pen, shape, px, py, size) {
  pen.beginPath();
  switch (shape) {
    case "dot": pen.arc(px, py, size * 0.8, 0, 7); pen.fill(); break;
    case "square": pen.rect(px - size * 0.55, py - size * 0.55, size * 1.1, size * 1.1); pen.stroke(); break;
    case "diamond":
      pen.moveTo(px, py - size); pen.lineTo(px + size, py); pen.lineTo(px, py + size); pen.lineTo(px - size, py);
      pen.closePath(); pen.fill(); break;
    case "triangle":
      pen.moveTo(px, py - size); pen.lineTo(px + size, py + size * 0.8); pen.lineTo(px - size, py + size * 0.8);
      pen.closePath(); pen.fill(); break;
    case "cross":
      pen.lineWidth = 3;
      pen.moveTo(px - size, py - size); pen.lineTo(px + size, py + size);
      pen.moveTo(px + size, py - size); pen.lineTo(px - size, py + size); pen.stroke();
      pen.lineWidth = 1; break;
    case "arrow":
      pen.moveTo(px - size, py + size * 0.6); pen.lineTo(px + size, py - size * 0.6);
      pen.moveTo(px + size * 0.2, py - size * 0.75); pen.lineTo(px + size, py - size * 0.6); pen.lineTo(px + size * 0.65, py + size * 0.2);
      pen.stroke(); break;
    default: pen.moveTo(px, py - size * 0.7); pen.lineTo(px, py + size * 0.7); pen.stroke();
  }
}

function head(pen, fromX, fromY, toX, toY) {
  const angle = Math.atan2(toY - fromY, toX - fromX);
  pen.beginPath();
  pen.moveTo(toX, toY);
  pen.lineTo(toX - 7 * Math.cos(angle - 0.4), toY - 7 * Math.sin(angle - 0.4));
  pen.lineTo(toX - 7 * Math.cos(angle + 0.4), toY - 7 * Math.sin(angle + 0.4));
  pen.closePath();
  pen.fill();
}

const STEPS = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 3e7, 6e7, 1.2e8, 3e8, 6e8, 1.2e9, 3.6e9];
function drawTime(pen) {
  const step = STEPS.find((candidate) => x(view.from + candidate) - LEFT > 85) || 7.2e9;
  pen.fillStyle = colour.faint;
  pen.strokeStyle = colour.rule;
  pen.textAlign = "center";
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    const px = Math.round(x(at)) + 0.5;
    pen.beginPath(); pen.moveTo(px, TOP - 6); pen.lineTo(px, height); pen.stroke();
    const label = step >= 1e6 ? seconds(at).slice(0, -4) : step >= 1e5 ? seconds(at).slice(0, -2) : seconds(at);
    if (px > LEFT + 20 && px < width - 20) pen.fillText(label, px, 12);
  }
  const heals = x(run.healsAt);
  if (heals > LEFT && heals < width) {
    pen.strokeStyle = colour.delivery;
    pen.setLineDash([6, 4]);
    pen.beginPath(); pen.moveTo(heals, TOP - 6); pen.lineTo(heals, height); pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = colour.delivery;
    pen.textAlign = "left";
    pen.fillText("the trouble ends", heals + 5, height - 9);
  }
}

function drawLanes(pen) {
  for (const party of lanes) {
    const py = laneOf(party);
    pen.strokeStyle = party === "mallory" ? colour.attack : colour.lane;
    pen.lineWidth = 1.5;
    pen.beginPath(); pen.moveTo(LEFT, py); pen.lineTo(width, py); pen.stroke();
    let down = null;
    for (const { at, state } of states.get(party)) {
      if (state.up === false && down === null) down = at;
      if (state.up !== false && down !== null) { drawDown(pen, py, down, at); down = null; }
    }
    if (down !== null) drawDown(pen, py, down, end.at);
    pen.lineWidth = 1;
  }
}

function drawDown(pen, py, from, to) {
  if (to < view.from || from > view.to) return;
  const left = Math.max(LEFT, x(from)), right = Math.max(left + 2, x(to));
  pen.fillStyle = colour.panel;
  pen.fillRect(left, py - 3, right - left, 6);
  pen.strokeStyle = colour.fault;
  pen.setLineDash([2, 3]);
  pen.beginPath(); pen.moveTo(left, py); pen.lineTo(right, py); pen.stroke();
  pen.setLineDash([]);
  if (right - left > 60) {
    pen.fillStyle = colour.fault;
    pen.textAlign = "center";
    pen.fillText("off", (left + right) / 2, py - 10);
  }
}

function drawNames(pen) {
  pen.fillStyle = colour.panel;
  pen.fillRect(0, 0, LEFT - 4, height);
  pen.textAlign = "left";
  pen.font = "600 13px system-ui, sans-serif";
  for (const party of lanes) {
    pen.fillStyle = party === "mallory" ? colour.attack : colour.text;
    pen.fillText(name(party), 8, laneOf(party));
  }
  pen.font = "12px system-ui, sans-serif";
}

/** Messages take seconds at most, or as long as a partition: look back this far for arrows that still fly. */
const LOOK_BACK = 130e6;

function drawEvents(pen) {
  const start = firstFrom(visible, view.from - LOOK_BACK), stop = firstFrom(visible, view.to);
  const inView = firstFrom(visible, view.to) - firstFrom(visible, view.from);
  const crowded = inView > width / 2.2, labels = inView < width / 28;
  const taken = new Map();
  for (let at = start; at < stop; at += 1) if (visible[at].kind === "sends") drawArrow(pen, visible[at], crowded, labels, taken);
  for (let at = firstFrom(visible, view.from); at < stop; at += 1) {
    const event = visible[at];
    if (event.kind === "sends" || !event.party) continue;
    const kind = KINDS[event.type], px = x(event.at), py = laneOf(event.party);
    pen.fillStyle = pen.strokeStyle = colour[event.type];
    if (event.type === "violation") {
      pen.globalAlpha = 0.5;
      pen.beginPath(); pen.moveTo(px, TOP); pen.lineTo(px, height); pen.stroke();
      pen.globalAlpha = 1;
    }
    mark(pen, kind.shape, px, py, crowded ? 3.5 : 5.5);
    if (labels) label(pen, event, px, py, taken);
  }
}

function drawArrow(pen, event, crowded, labels, taken) {
  if (!event.other || event.other === event.party) return;
  const lost = event.arrives === undefined;
  const fromX = x(event.at), fromY = laneOf(event.party), aimY = laneOf(event.other);
  const toX = lost ? fromX + 14 : x(event.arrives), toY = lost ? fromY + (aimY - fromY) * 0.45 : aimY;
  if (toX < LEFT - 20 || fromX > width) return;
  pen.strokeStyle = pen.fillStyle = colour[event.type];
  pen.globalAlpha = selected === event ? 1 : crowded ? 0.35 : 0.85;
  pen.lineWidth = selected === event ? 3 : event.type === "handshake" ? 1 : 1.4;
  if (lost) pen.setLineDash([4, 3]);
  pen.beginPath(); pen.moveTo(fromX, fromY); pen.lineTo(toX, toY); pen.stroke();
  pen.setLineDash([]);
  if (!crowded || selected === event) {
    if (lost) mark(pen, "cross", toX, toY, 3.5); else head(pen, fromX, fromY, toX, toY);
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 1;
  if (labels) label(pen, event, fromX, fromY + Math.sign(aimY - fromY) * 2, taken, Math.sign(aimY - fromY));
}

const SHORT = { delivery: () => "stored" };
function label(pen, event, px, py, taken, side = -1) {
  if (px < LEFT) return;
  const text = (SHORT[event.type] ? SHORT[event.type](event) : name(event.detail || event.kind).replace(/^p2p\./, "").split(/[,{]/)[0]).slice(0, 34);
  const row = Math.round(py + side * 12), key = `${row}`;
  const from = taken.get(key) || -1e9;
  if (px < from) return;
  pen.textAlign = "left";
  pen.fillStyle = colour[event.type];
  pen.fillText(text, px + 5, row);
  taken.set(key, px + 12 + pen.measureText(text).width);
}

function drawCursor(pen) {
  const px = x(cursor);
  if (px < LEFT || px > width) return;
  pen.strokeStyle = colour.cursor;
  pen.globalAlpha = 0.7;
  pen.beginPath(); pen.moveTo(px, 20); pen.lineTo(px, height); pen.stroke();
  pen.globalAlpha = 1;
}

function drawChart() {
  lanes = parties.filter((party) => shownParties.has(party));
  height = TOP + 14 + Math.max(1, lanes.length) * laneHeight();
  let pen;
  [pen, width] = prepare(chart, height);
  drawTime(pen);
  drawLanes(pen);
  drawEvents(pen);
  drawCursor(pen);
  drawNames(pen);
}

/** The whole run as a band: how much happens when, and where faults, refusals and broken rules are. */
function drawOverview() {
  const [pen, wide] = prepare(overview, 34);
  const inner = wide - LEFT - 12;
  const buckets = new Float64Array(Math.max(1, Math.floor(inner / 2)));
  const at = (time) => LEFT + (time / end.at) * inner;
  for (const event of visible) buckets[Math.min(buckets.length - 1, Math.floor((event.at / end.at) * buckets.length))] += 1;
  const most = Math.max(1, ...buckets);
  pen.fillStyle = colour.handshake;
  buckets.forEach((count, bucket) => {
    const tall = count ? 2 + 20 * Math.sqrt(count / most) : 0;
    pen.fillRect(LEFT + bucket * 2, 30 - tall, 1.5, tall);
  });
  for (const type of ["fault", "refusal", "violation"]) {
    pen.fillStyle = colour[type];
    const row = { fault: 1, refusal: 4, violation: 1 }[type];
    for (const event of visible) if (event.type === type) pen.fillRect(at(event.at), row, type === "violation" ? 3 : 1.5, type === "violation" ? 32 : 3);
  }
  pen.fillStyle = colour.window;
  pen.fillRect(at(view.from), 0, Math.max(3, at(view.to) - at(view.from)), 34);
  pen.strokeStyle = colour["text-message"];
  pen.strokeRect(at(view.from) + 0.5, 0.5, Math.max(3, at(view.to) - at(view.from)) - 1, 33);
  pen.fillStyle = colour.faint;
  pen.fillText("whole run", 6, 17);
}

// ---- beside the chart

function showList() {
  const middle = selected ? visible.indexOf(selected) : firstFrom(visible, cursor);
  const rows = visible.slice(Math.max(0, middle - 12), middle + 25).map((event) => {
    const row = document.createElement("li"), button = document.createElement("button");
    const time = document.createElement("span"), text = document.createElement("span");
    time.className = "time";
    time.textContent = seconds(event.at);
    text.textContent = sentence(event);
    button.append(time, swatch(event.type), text);
    if (event === selected) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => select(event));
    row.append(button);
    return row;
  });
  if (!rows.length) {
    const row = document.createElement("li");
    row.textContent = "Nothing is shown: choose kinds and nodes above.";
    rows.push(row);
  }
  const list = element("list");
  const held = list.contains(document.activeElement);
  list.replaceChildren(...rows);
  const current = list.querySelector("[aria-current]");
  if (current) {
    list.scrollTop = current.offsetTop - list.offsetTop - 120;
    if (held) current.focus({ preventScroll: true });
  }
}

/** What a state's members are called, and how each is put in words. */
const MEMBERS = [
  ["peers", "knows", (names) => names.map(name).join(", ")],
  ["grants", "lets in", (grants) => grants.map(grantText).join("\n")],
  ["streams", "streams", (streams) => tally(streams.map((s) => name(s.with) + (s.open ? "" : " (not yet known)")))],
  ["bans", "bans", (bans) => tally(bans.map((ban) => `${name(ban.who)} (${ban.from})`)), true],
  ["sessions", "stored", (sessions) => Object.entries(sessions).map(([key, count]) => `${key}: ${count}`).join(", ")],
  ["outbox", "outbox", (count) => (count ? `${count} waiting` : "")],
  ["invites", "invites", (count) => (count ? String(count) : "")],
  ["keysInGrace", "old keys", (count) => (count ? `${count} still valid` : "")],
  ["diskFull", "disk", (full) => (full ? "full" : ""), true],
  ["clockAheadMs", "clock", (ms) => (Math.abs(ms) > 60000 ? `${ms > 0 ? "ahead" : "behind"} by ${span(Math.abs(ms))}` : ""), true],
];
function grantText(grant) {
  const sessions = grant.sessions.join(" ") === "*" ? "all" : grant.sessions.join(" ");
  const except = grant.except.length ? ` except ${grant.except.join(" ")}` : "";
  return `${name(grant.peer)} → ${sessions}${except} (${grant.capabilities.join(", ")})`;
}
function tally(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) || 0) + 1);
  return [...counts].map(([word, count]) => (count > 1 ? `${word} ×${count}` : word)).join(", ");
}
function span(ms) {
  const units = [["years", 3.15576e10], ["days", 8.64e7], ["hours", 3.6e6], ["minutes", 6e4]];
  const [unit, length] = units.find(([, each]) => ms >= each) || ["seconds", 1000];
  return `${(ms / length).toFixed(1)} ${unit}`;
}

function showStates() {
  const cards = parties.filter((party) => shownParties.has(party) && states.get(party).length).map((party) => {
    const list = states.get(party), at = firstFrom(list, cursor + 1) - 1;
    const card = document.createElement("article"), title = document.createElement("h3"), members = document.createElement("dl");
    card.className = "node";
    title.textContent = name(party);
    card.append(title, members);
    if (at < 0) { title.append(small("not started yet")); return card; }
    const { state, changed } = list[at];
    card.classList.toggle("down", !state.up);
    title.append(small(state.up ? `key ${state.key}` : "without power"));
    for (const [key, title, words, warn] of MEMBERS) {
      const text = state[key] === undefined || (!state.up && !["sessions", "diskFull"].includes(key)) ? "" : words(state[key]);
      if (!text) continue;
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = title;
      value.textContent = text;
      if (warn) value.className = "warn";
      if (changed.includes(key) && list[at].at === cursor) value.classList.add("changed");
      members.append(term, value);
    }
    return card;
  });
  element("states").replaceChildren(...cards);
}
function small(text) {
  const part = document.createElement("span");
  part.className = "key";
  part.textContent = text;
  return part;
}

function swatch(type) {
  const canvas = document.createElement("canvas");
  canvas.className = "swatch";
  canvas.width = canvas.height = 36;
  canvas.style.cssText = "width:18px;height:18px;border:0;background:none";
  canvas.setAttribute("aria-hidden", "true");
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.lineWidth = 1.5;
  pen.fillStyle = pen.strokeStyle = colour[type];
  mark(pen, KINDS[type].shape, 9, 9, 6);
  return canvas;
}

// ---- doing

let due = false;
function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    drawChart();
    drawOverview();
    element("where").textContent = `${seconds(view.from)} to ${seconds(view.to)} of ${seconds(end.at)} · cursor ${seconds(cursor)}`;
  });
}

function look(from, to) {
  const least = 2e3, most = end.at;
  const long = Math.min(most, Math.max(least, to - from));
  const start = Math.min(Math.max(0, from), most - long);
  view = { from: start, to: start + long };
  draw();
}
function zoom(factor, around = cursor >= view.from && cursor <= view.to ? cursor : (view.from + view.to) / 2) {
  look(around - (around - view.from) * factor, around + (view.to - around) * factor);
}
function pan(share) {
  const by = (view.to - view.from) * share;
  look(view.from + by, view.to + by);
}

function setCursor(at, event = null) {
  cursor = Math.min(end.at, Math.max(0, at));
  selected = event;
  const long = view.to - view.from;
  if (cursor < view.from || cursor > view.to) look(cursor - long / 2, cursor + long / 2);
  element("now").textContent = event ? `${seconds(event.at)} ${sentence(event)}` : "";
  showList();
  showStates();
  draw();
}
const select = (event) => setCursor(event.at, event);

/** The event `by` places from the selected one, or the nearest one in that direction of the cursor. */
function step(by, fits = () => true) {
  let at = selected ? visible.indexOf(selected) + by : firstFrom(visible, by > 0 ? cursor + 1 : cursor) + (by > 0 ? 0 : -1);
  while (visible[at] && !fits(visible[at])) at += by;
  if (visible[at]) select(visible[at]);
  return Boolean(visible[at]);
}
const TROUBLE = ["violation", "refusal", "fault"];
function nextTrouble() {
  const broken = visible.filter((event) => event.type === "violation");
  const fits = broken.length ? (event) => event.type === "violation" : (event) => TROUBLE.includes(event.type) && event.kind !== "starts";
  const wide = view.to - view.from > 20e6;
  if (!step(1, fits)) {
    const first = visible.find(fits);
    if (first) select(first);
  }
  if (wide) look(cursor - 1e6, cursor + 2e6);
}

/** What a point of the chart is nearest to. */
function pick(px, py) {
  let best = null, least = 9;
  for (let at = firstFrom(visible, view.from - LOOK_BACK); at < visible.length && visible[at].at <= view.to; at += 1) {
    const event = visible[at];
    if (!event.party) continue;
    let away;
    if (event.kind === "sends" && event.other && event.other !== event.party) {
      const lost = event.arrives === undefined;
      const ax = x(event.at), ay = laneOf(event.party), aim = laneOf(event.other);
      const bx = lost ? ax + 14 : x(event.arrives), by = lost ? ay + (aim - ay) * 0.45 : aim;
      const along = Math.max(0, Math.min(1, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 || 1)));
      away = Math.hypot(px - ax - along * (bx - ax), py - ay - along * (by - ay)) + 2;
    } else {
      away = Math.hypot(px - x(event.at), py - laneOf(event.party));
    }
    if (away < least) [best, least] = [event, away];
  }
  return best;
}

function drag(canvas, move, click) {
  let held = null;
  canvas.addEventListener("pointerdown", (pointer) => {
    held = { x: pointer.offsetX, view: { ...view }, moved: false };
    canvas.setPointerCapture(pointer.pointerId);
  });
  canvas.addEventListener("pointermove", (pointer) => {
    if (!held) return;
    held.moved ||= Math.abs(pointer.offsetX - held.x) > 3;
    if (held.moved) move(pointer, held);
  });
  canvas.addEventListener("pointerup", (pointer) => {
    if (held && !held.moved) click(pointer);
    held = null;
  });
  canvas.addEventListener("pointercancel", () => { held = null; });
}

function chips(into, keys, title, shown, picture) {
  for (const key of keys) {
    const chip = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.checked = shown.has(key);
    box.addEventListener("change", () => {
      if (box.checked) shown.add(key); else shown.delete(key);
      filter();
      if (selected && !isShown(selected)) selected = null;
      setCursor(cursor, selected);
    });
    chip.append(box, ...picture(key), ...title(key));
    into.append(chip);
  }
}

function legend() {
  const counts = {};
  for (const event of events) counts[event.type] = (counts[event.type] || 0) + 1;
  const count = (number) => {
    const text = document.createElement("span");
    text.className = "count";
    text.textContent = (number || 0).toLocaleString("en");
    return text;
  };
  element("kinds").replaceChildren();
  element("parties").replaceChildren();
  chips(element("kinds"), Object.keys(KINDS), (key) => [KINDS[key].title, count(counts[key])], shownKinds, (key) => [swatch(key)]);
  [...element("kinds").children].forEach((chip, at) => { chip.title = Object.values(KINDS)[at].about; });
  chips(element("parties"), parties, (party) => [name(party)], shownParties, () => []);
}

function begin() {
  readColours();
  const nodes = parties.filter((party) => party.startsWith("n")).length;
  const originals = parties.filter((party) => party.startsWith("o")).length;
  element("seed").textContent = `(seed ${run.seed})`;
  const verdict = element("verdict");
  verdict.className = end.violations ? "bad" : "good";
  verdict.textContent = end.violations ? `${end.violations} broken rule${end.violations > 1 ? "s" : ""}.` : "No rule was broken.";
  const older = originals ? ` and ${originals} of the original kind (o…)` : "";
  const attack = run.attack ? ` Mallory attacks, by "${run.attack}": ${run.about.replace(/^./, (c) => c.toLowerCase())}` : " Nobody attacks.";
  element("about").textContent = `This run has ${nodes} nodes (n0, n1, …)${older}.${attack}`;
  filter();
  legend();
  const start = events.find((event) => event.type === "violation") || events.find((event) => event.at > 30e6 && event.kind === "sends" && event.party.startsWith("n") && event.type !== "refusal") || events[0];
  if (start) {
    // So close that the arrow slants: the way of a message takes about a tenth of the width.
    const flight = Math.min(1e6, Math.max(2e4, (start.arrives || start.at + 1e5) - start.at));
    look(start.at - 4 * flight, start.at + 10 * flight);
    select(start);
  } else {
    draw();
  }
}

drag(chart, (pointer, held) => {
  const by = ((held.x - pointer.offsetX) / (width - LEFT - 12)) * (held.view.to - held.view.from);
  look(held.view.from + by, held.view.to + by);
}, (pointer) => {
  const event = pick(pointer.offsetX, pointer.offsetY);
  if (event) select(event); else setCursor(timeAt(pointer.offsetX));
});
const jump = (pointer) => {
  const long = view.to - view.from;
  const at = ((pointer.offsetX - LEFT) / (overview.clientWidth - LEFT - 12)) * end.at;
  look(at - long / 2, at + long / 2);
};
drag(overview, jump, jump);
chart.addEventListener("wheel", (wheel) => {
  wheel.preventDefault();
  if (wheel.shiftKey || Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY)) pan((wheel.deltaX || wheel.deltaY) / 1000);
  else zoom(Math.exp(wheel.deltaY / 400), timeAt(wheel.offsetX));
}, { passive: false });

const KEYS = {
  ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15),
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.7), "−": () => zoom(1.7),
  ",": () => step(-1), ".": () => step(1), n: nextTrouble, 0: () => look(0, end.at),
};
document.addEventListener("keydown", (key) => {
  if (key.ctrlKey || key.altKey || key.metaKey || !KEYS[key.key]) return;
  key.preventDefault();
  KEYS[key.key]();
});
for (const [id, act] of [["in", () => zoom(0.5)], ["out", () => zoom(2)], ["all", () => look(0, end.at)],
  ["back", () => step(-1)], ["next", () => step(1)], ["trouble", nextTrouble]]) element(id).addEventListener("click", act);
window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); legend(); setCursor(cursor, selected); });
begin();
