/* What mouse, fingers and keys do to the timeline. */

function look(from, to) {
  const [least, most] = view.all;
  const span = Math.min(most - least, Math.max(0.01, to - from));
  view.from = Math.max(least, Math.min(from, most - span));
  view.to = view.from + span;
  redraw();
}

function zoom(factor, around = (view.from + view.to) / 2) {
  look(around - (around - view.from) * factor, around + (view.to - around) * factor);
}

function pan(share) {
  const by = (view.to - view.from) * share;
  look(view.from + by, view.to + by);
}

function fit() {
  look(...view.all);
}

function itemAt(event) {
  const place = view.canvas.getBoundingClientRect();
  const down = event.clientY - place.top;
  if (down < STRIP + AXIS) return null;
  const row = view.rows[Math.floor((down - STRIP - AXIS + view.box.scrollTop) / ROW)];
  const [moment, slack] = [when(event.clientX - place.left), (3 * (view.to - view.from)) / view.width];
  const item = row?.items.find((each) => each.from - slack <= moment && moment <= each.to + slack);
  if (!item) return null;
  const bar = item.tests.find((each) => each.from - slack <= moment && moment <= each.to + slack);
  return { item, number: bar?.number ?? item.tests[0]?.number ?? item.number };
}

function told(item) {
  const marks = item.flags.includes("unused") ? ", launched ahead and never used" : item.flags.includes("ahead") ? ", launched ahead" : "";
  const sums = new Map();
  for (const [name, from, to] of item.spans) sums.set(name, (sums.get(name) ?? 0) + to - from);
  const phases = [...sums].filter(([, took]) => took >= 0.001).map(([name, took]) => `${PHASES[name]?.title ?? name} ${seconds(took)}`);
  const waits = (item.waits ?? []).map(([, from, to]) => `waited ${seconds(to - from)}`);
  const own = item.tests.slice(0, 6).map((bar) => `${outcomeOf(run.tests[bar.number][TEST.outcome]).glyph} ${run.tests[bar.number][TEST.name]} ${seconds(bar.to - bar.from)}`);
  const more = item.tests.length > 6 ? [`and ${item.tests.length - 6} tests more`] : [];
  const only = item.number === undefined || item.tests.length ? [] : [run.tests[item.number]?.[TEST.name] ?? ""];
  return [`${item.label}${marks} (${item.worker || "–"})`, [...waits, ...phases].join(", "), ...own, ...more, ...only, item.cause ? `ended: ${item.cause}` : ""].filter(Boolean).join("\n");
}

function select(item) {
  if (!item) return;
  view.selected = item;
  view.said.textContent = told(item);
  const top = item.row * ROW;
  if (top < view.box.scrollTop || top + STRIP + AXIS + ROW > view.box.scrollTop + view.height) view.box.scrollTop = Math.max(0, top - view.height / 2);
  const span = view.to - view.from;
  if (item.from > view.to || item.to < view.from) look(item.from - span / 3, item.from + (span * 2) / 3);
  redraw();
}

function revealInTimeline(number) {
  const item = view.items.find((each) => each.tests.some((bar) => bar.number === number) || each.number === number);
  if (!item) return;
  const room = Math.max(0.5, item.to - item.from) * 1.5;
  look(item.from - room, item.to + room);
  select(item);
  document.getElementById("timeline").scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
  view.box.focus({ preventScroll: true });
}

function step(across, down) {
  const { rows, selected } = view;
  if (!selected) return select(rows[0].items[firstSeen(rows[0].items)] ?? rows[0].items[0]);
  if (across) return select(rows[selected.row].items[selected.place + across]);
  const row = rows[selected.row + down];
  return select(row?.items.reduce((best, each) => (Math.abs(each.from - selected.from) < Math.abs(best.from - selected.from) ? each : best)));
}

function open(item, number = item?.tests[0]?.number ?? item?.number) {
  if (number !== undefined && number >= 0) showTest(number);
}

const KEYS = {
  ArrowLeft: (event) => (event.shiftKey ? pan(-0.2) : step(-1, 0)), ArrowRight: (event) => (event.shiftKey ? pan(0.2) : step(1, 0)),
  ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1), "+": () => zoomAtSelected(0.6), "=": () => zoomAtSelected(0.6),
  "-": () => zoomAtSelected(1 / 0.6), 0: fit, Home: fit, Enter: () => open(view.selected),
};

function zoomAtSelected(factor) {
  const item = view.selected;
  zoom(factor, item && item.from >= view.from && item.from <= view.to ? item.from : undefined);
}

function listen() {
  const { box } = view;
  box.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
  box.addEventListener("scroll", redraw);
  box.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * 0.004))), when(event.clientX - view.canvas.getBoundingClientRect().left));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      pan((event.deltaX || event.deltaY) / view.width);
    }
  }, { passive: false });
  box.addEventListener("dblclick", (event) => zoom(0.4, when(event.clientX - view.canvas.getBoundingClientRect().left)));
  listenToPointers(box);
}

function listenToPointers(box) {
  const down = new Map();
  let moved = 0;
  box.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event.clientX);
    moved = 0;
    view.tip.hidden = true;
  });
  box.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return showTip(event);
    const before = [...down.values()];
    const by = event.clientX - down.get(event.pointerId);
    moved += Math.abs(by);
    down.set(event.pointerId, event.clientX);
    if (moved > 4 && !box.hasPointerCapture(event.pointerId)) {
      box.setPointerCapture(event.pointerId);
      box.classList.add("dragged");
    }
    const now = [...down.values()];
    if (now.length === 2) zoom(Math.abs(before[0] - before[1]) / Math.max(1, Math.abs(now[0] - now[1])), when((now[0] + now[1]) / 2 - view.canvas.getBoundingClientRect().left));
    else pan(-by / (view.width - gutter()));
    return undefined;
  });
  const up = (event) => {
    const click = down.delete(event.pointerId) && moved <= 4 && event.type === "pointerup";
    box.classList.remove("dragged");
    const found = click ? itemAt(event) : null;
    if (found) {
      select(found.item);
      open(found.item, found.number);
    }
  };
  box.addEventListener("pointerup", up);
  box.addEventListener("pointercancel", up);
  box.addEventListener("pointerleave", () => { view.tip.hidden = true; });
}

function showTip(event) {
  const found = itemAt(event);
  view.tip.hidden = !found;
  if (!found) return;
  view.tip.textContent = told(found.item);
  const { offsetWidth: wide, offsetHeight: tall } = view.tip;
  view.tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - wide - 8))}px`;
  view.tip.style.top = `${event.clientY + 18 + tall > innerHeight ? Math.max(4, event.clientY - tall - 12) : event.clientY + 18}px`;
}
