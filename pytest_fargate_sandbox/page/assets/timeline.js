/* All machines by worker, on one canvas as high as what is seen of it: zoomed and moved by mouse, fingers and keys.

What a phase is can be told by its height and its pattern as well as by its colour (those of Okabe and Ito, which are told
apart by all eyes: https://jfly.uni-koeln.de/color/). */

const PHASES = {
  waits: { title: "test waits", colour: "#8a94a3", pattern: "dots", low: 0, high: 0.22 },
  shelf: { title: "ahead, nobody's yet", colour: "#8a94a3", pattern: "hatch", low: 0.3, high: 0.9 },
  prepare: { title: "image, definition", colour: "#cc79a7", pattern: "lines", low: 0.3, high: 0.9 },
  launch: { title: "launch", colour: "#0072b2", pattern: "plain", low: 0.3, high: 0.9 },
  address: { title: "address", colour: "#56b4e9", pattern: "bars", low: 0.3, high: 0.9 },
  tunnel: { title: "tunnel", colour: "#009e73", pattern: "slant", low: 0.3, high: 0.9 },
  server: { title: "server", colour: "#e3d324", pattern: "dots", low: 0.3, high: 0.9 },
  idle: { title: "ready", colour: "#8a94a3", pattern: "plain", low: 0.55, high: 0.67 },
  stop: { title: "stop", colour: "#e69f00", pattern: "cross", low: 0.3, high: 0.9 },
  passed: { title: "test, passed", colour: "#117a63", pattern: "plain", low: 0.22, high: 1 },
  failed: { title: "test, not passed", colour: "#c6460b", pattern: "plain", low: 0.22, high: 1, sign: "✗" },
};
const PHASE_OF = { image: "prepare", definition: "prepare", files: "server", place: "prepare" };
const ROW = 20;
const LEAST = 2.5; // pixels
const STRIP = 72;
const AXIS = 22;
const view = { from: 0, to: 1, rows: [], selected: null, patterns: new Map(), asked: false };

function itemsOfRun() {
  const slotted = new Set(run.slots.map(([id]) => id.split(",")[0]));
  const used = run.machines.map((machine) => machineItem(machine, slotted));
  const slots = run.slots.map(([id, worker, own, from, to]) => ({ worker, label: id, from, to: to ?? run.took, flags: [], spans: own.length ? [] : [["idle", from, to]], tests: own.map((number) => testBar(number, from, to ?? run.took)) }));
  const items = [...used, ...slots].filter((item) => item.from !== null && item.from !== undefined);
  const holders = new Map();
  for (const item of items) for (const bar of item.tests) if (!holders.has(bar.number)) holders.set(bar.number, item);
  for (const [number, from, to] of run.waits) {
    const holder = holders.get(number);
    const span = ["waits", from, to ?? run.took];
    if (holder) holder.waits = [...(holder.waits ?? []), span];
    else items.push({ worker: run.tests[number]?.[TEST.worker] ?? "", label: "no machine", from, to: span[2], flags: [], spans: [], waits: [span], tests: [], number });
  }
  for (const item of items) {
    for (const [, from] of item.waits ?? []) if (from < item.from && item.from - from < 3600) item.from = from;
  }
  return items;
}

function machineItem(machine, slotted) {
  const spans = machine[MACHINE.spans].map(([name, from, to]) => [PHASE_OF[name] ?? name, from, to ?? run.took]);
  const from = spans.length ? spans[0][1] : null;
  const to = spans.length ? Math.max(...spans.map((span) => span[2])) : null;
  const ready = spans.find(([name]) => name === "idle")?.[1] ?? to;
  const own = slotted.has(machine[MACHINE.id]) ? [] : machine[MACHINE.tests]; // those of slots have bars of their own
  const tests = own.map((number) => testBar(number, ready, to)).filter((bar) => bar.to > bar.from);
  return { worker: machine[MACHINE.worker], label: machine[MACHINE.id], image: machine[MACHINE.image], cause: machine[MACHINE.cause], flags: machine[MACHINE.flags], from, to, spans, tests, number: machine[MACHINE.tests][0] };
}

/* A test that ran again was on this machine before, perhaps: then its time is not here. */
function testBar(number, from, to) {
  const [began, callBegan, callEnded, ended] = run.tests[number][TEST.times];
  const { isAsWanted } = outcomeOf(run.tests[number][TEST.outcome]);
  return { number, name: isAsWanted ? "passed" : "failed", from: Math.max(from, callBegan ?? began ?? from), to: Math.min(to, callEnded ?? ended ?? to) };
}

/* By worker, each in as few rows as hold what it had at once. */
function lanesOf(items) {
  const workers = [...new Set(items.map((item) => item.worker))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  return workers.flatMap((worker) => {
    const rows = [];
    const own = items.filter((item) => item.worker === worker).sort((a, b) => a.from - b.from);
    for (const item of own) {
      let row = rows.find((each) => each.end <= item.from);
      if (!row) rows.push((row = { worker, items: [], end: 0, first: !rows.length }));
      row.items.push(item);
      row.end = item.to;
    }
    return rows;
  });
}

function drawTimeline() {
  const place = section("timeline");
  view.items = itemsOfRun();
  if (!view.items.length) {
    place.append(element("p", { class: "card none" }, "No machine was launched in this run."));
    return;
  }
  view.rows = lanesOf(view.items);
  view.rows.forEach((row, y) => row.items.forEach((item, x) => Object.assign(item, { row: y, place: x })));
  view.all = [Math.min(...view.items.map((item) => item.from)), Math.max(...view.items.map((item) => item.to)) + 0.01];
  [view.from, view.to] = view.all;
  view.alive = aliveOver(run.machines);
  view.most = Math.max(...view.alive.map(([, count]) => count));
  const button = (label, name, act) => element("button", { type: "button", "aria-label": name, onclick: act }, label);
  view.canvas = element("canvas", { "aria-hidden": "true" });
  view.inner = element("div", {}, view.canvas);
  view.box = element("div", { class: "lanes", tabindex: "0", role: "application", "aria-roledescription": "timeline", "aria-label": "Machines by worker", "aria-describedby": "timeline-help" }, view.inner);
  view.said = element("p", { class: "hidden", role: "status" });
  view.tip = element("div", { class: "tip", hidden: true });
  place.append(element("div", { class: "card" },
    element("div", { class: "bar" }, button("+", "Zoom in", () => zoom(0.6)), button("−", "Zoom out", () => zoom(1 / 0.6)), button("←", "Earlier", () => pan(-0.25)), button("→", "Later", () => pan(0.25)), button("Whole run", "Show the whole run", fit)),
    view.box, legend(),
    element("p", { class: "help", id: "timeline-help" }, "Drag to move; Ctrl and the wheel, or two fingers, to zoom; a click leads to the test. Keys: arrows go from machine to machine, Enter to its test, + and − zoom, Shift with arrows moves, 0 shows all."),
    view.said, view.tip));
  listen();
  new ResizeObserver(redraw).observe(view.box);
  document.addEventListener("themed", () => { view.patterns.clear(); view.palette = null; redraw(); });
}

function aliveOver(machines) {
  const steps = [];
  for (const machine of machines) {
    const spans = machine[MACHINE.spans];
    const launch = spans.find(([name]) => name === "launch") ?? spans[0];
    if (launch) steps.push([launch[1], 1], [spans[spans.length - 1][2] ?? run.took, -1]);
  }
  steps.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let count = 0;
  return steps.map(([when, change]) => [when, (count += change)]);
}

function legend() {
  const used = new Set(view.items.flatMap((item) => [...item.spans, ...(item.waits ?? [])].map(([name]) => name)).concat(view.items.flatMap((item) => item.tests.map((bar) => bar.name))));
  const entries = Object.entries(PHASES).filter(([name]) => used.has(name)).map(([name, phase]) => {
    const canvas = element("canvas", { width: 52, height: 36, "aria-hidden": "true" });
    canvas.style.width = "26px";
    canvas.style.height = "18px";
    const paint = () => {
      const context = canvas.getContext("2d");
      context.setTransform(2, 0, 0, 2, 0, 0);
      context.clearRect(0, 0, 26, 18);
      paintPhase(context, name, 0, 0, 26, 18);
    };
    paint();
    document.addEventListener("themed", () => requestAnimationFrame(paint));
    return element("li", {}, canvas, phase.title);
  });
  if (run.refusals.length) entries.push(element("li", {}, "▼ refused by the account"));
  if (run.bound) entries.push(element("li", {}, "┄ the bound on machines"));
  return element("ul", { class: "legend", "aria-label": "Legend" }, entries);
}
