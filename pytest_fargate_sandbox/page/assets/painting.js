/* How the timeline looks: what is seen of its rows, the strip above them, the axis. */

function redraw() {
  if (view.asked) return;
  view.asked = true;
  requestAnimationFrame(() => { view.asked = false; paint(); });
}

function gutter() {
  return view.width < 520 ? 44 : 68;
}

function x(when) {
  return gutter() + ((when - view.from) / (view.to - view.from)) * (view.width - gutter() - 8);
}

function when(position) {
  return view.from + ((position - gutter()) / (view.width - gutter() - 8)) * (view.to - view.from);
}

function colours() {
  if (view.palette) return view.palette;
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  view.palette = Object.fromEntries(["ink", "soft", "line", "card", "bad", "accent"].map((name) => [name, named(name)]));
  view.palette.shade = `${view.palette.accent}33`;
  return view.palette;
}

function paint() {
  const { box, canvas } = view;
  const whole = STRIP + AXIS + view.rows.length * ROW + 6;
  view.inner.style.height = `${whole}px`;
  view.width = box.clientWidth;
  view.height = Math.min(whole, Math.max(160, Math.round(innerHeight * 0.7)));
  const dots = devicePixelRatio || 1;
  if (canvas.width !== Math.round(view.width * dots) || canvas.height !== Math.round(view.height * dots)) {
    canvas.width = Math.round(view.width * dots);
    canvas.height = Math.round(view.height * dots);
    canvas.style.width = `${view.width}px`;
    canvas.style.height = `${view.height}px`;
  }
  const context = canvas.getContext("2d", { alpha: false });
  const palette = colours();
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.fillStyle = palette.card;
  context.fillRect(0, 0, view.width, view.height);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  const first = Math.max(0, Math.floor(box.scrollTop / ROW));
  const last = Math.min(view.rows.length, Math.ceil((box.scrollTop + view.height) / ROW));
  context.save();
  context.beginPath();
  context.rect(0, STRIP + AXIS, view.width, view.height);
  context.clip();
  for (let y = first; y < last; y += 1) paintRow(context, palette, y, STRIP + AXIS + y * ROW - box.scrollTop);
  context.restore();
  paintStrip(context, palette);
  paintAxis(context, palette);
}

function paintRow(context, palette, y, top) {
  const row = view.rows[y];
  context.fillStyle = palette.line;
  if (row.first) context.fillRect(0, top, view.width, 1);
  let free = -1;
  context.save();
  context.beginPath();
  context.rect(gutter(), top, view.width - gutter(), ROW);
  context.clip();
  for (let place = firstSeen(row.items); place < row.items.length && row.items[place].from <= view.to; place += 1) {
    const item = row.items[place];
    if (x(item.to) < free) continue; // less than a pixel, and there is one already
    paintSpans(context, item.spans, top);
    for (const [name, from, to] of item.waits ?? []) if (x(to) - x(from) > LEAST) paintPhase(context, name, x(from), top + 2, x(to) - x(from), ROW - 4);
    for (const bar of item.tests) paintPhase(context, bar.name, x(bar.from), top + 2, Math.max(0.75, x(bar.to) - x(bar.from)), ROW - 4);
    if (item.flags.includes("ahead") || item.flags.includes("unused")) paintAhead(context, palette, item, top);
    if (view.selected === item) {
      context.strokeStyle = palette.ink;
      context.lineWidth = 2;
      context.strokeRect(x(item.from) - 1, top + 1, Math.max(4, x(item.to) - x(item.from)) + 2, ROW - 2);
    }
    free = x(item.to) + 0.35;
  }
  context.restore();
  if (row.first) {
    context.fillStyle = palette.soft;
    context.fillText(row.worker || "–", 2, top + ROW / 2, gutter() - 6);
  }
}

/* Phases that are too narrow to be told apart are one, as the longest of them. */
function paintSpans(context, spans, top) {
  let narrow = null;
  const end = () => {
    if (narrow) paintPhase(context, narrow.name, x(narrow.from), top + 2, Math.max(0.75, x(narrow.to) - x(narrow.from)), ROW - 4);
    narrow = null;
  };
  for (const [name, from, to] of spans) {
    if (x(to) - x(from) >= LEAST) {
      end();
      paintPhase(context, name, x(from), top + 2, x(to) - x(from), ROW - 4);
    } else if (name !== "idle") {
      narrow ??= { from, most: -1 };
      if (to - from > narrow.most) Object.assign(narrow, { name, most: to - from });
      narrow.to = to;
    }
  }
  end();
}

/* The first that may still be seen: rows hold machines one after the other. */
function firstSeen(items) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].to < view.from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/* What was launched ahead is underlined by hatching; what nobody took is hatched as a whole. */
function paintAhead(context, palette, item, top) {
  const [from, width] = [x(item.from), x(item.to) - x(item.from)];
  if (width < 2) return;
  context.fillStyle = pattern(context, "over", palette.ink, "hatch");
  if (item.flags.includes("unused")) context.fillRect(from, top + 4, width, ROW - 8);
  else context.fillRect(from, top + ROW - 4, width, 2);
}

function paintPhase(context, name, left, top, width, height) {
  const phase = PHASES[name] ?? PHASES.idle;
  const y = top + height * phase.low;
  const tall = height * (phase.high - phase.low);
  context.fillStyle = width < 5 || phase.pattern === "plain" ? phase.colour : pattern(context, name, phase.colour, phase.pattern);
  context.fillRect(left, y, width, tall);
  if (width > 9 && phase.pattern !== "plain") {
    context.strokeStyle = phase.colour;
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, y + 0.5, width - 1, tall - 1);
  }
  if (phase.sign && width > 10) {
    context.fillStyle = "#fff";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = "bold 11px system-ui, sans-serif";
    const seen = context.canvas === view.canvas ? [gutter(), view.width] : [0, Infinity];
    context.fillText(phase.sign, (Math.max(left, seen[0]) + Math.min(left + width, seen[1])) / 2, y + tall / 2 + 0.5);
    context.textAlign = "left";
    context.font = "11px system-ui, sans-serif";
  }
}

const STROKES = {
  dots: (pen) => { pen.fillRect(1, 1, 1.6, 1.6); pen.fillRect(5, 5, 1.6, 1.6); },
  hatch: (pen) => slants(pen, true, false),
  slant: (pen) => slants(pen, false, true),
  cross: (pen) => slants(pen, true, true),
  lines: (pen) => { pen.fillRect(0, 1, 8, 1.5); pen.fillRect(0, 5, 8, 1.5); },
  bars: (pen) => { pen.fillRect(1, 0, 1.5, 8); pen.fillRect(5, 0, 1.5, 8); },
};

function slants(pen, rising, falling) {
  pen.lineWidth = 1.2;
  pen.beginPath();
  for (const shift of [-8, 0, 8]) {
    if (rising) { pen.moveTo(shift, 8); pen.lineTo(shift + 8, 0); }
    if (falling) { pen.moveTo(shift, 0); pen.lineTo(shift + 8, 8); }
  }
  pen.stroke();
}

function pattern(context, key, colour, kind) {
  if (!view.patterns.has(key)) {
    const tile = element("canvas", { width: 16, height: 16 });
    const pen = tile.getContext("2d");
    pen.scale(2, 2);
    if (key !== "over") {
      pen.globalAlpha = 0.35;
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 8, 8);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = pen.strokeStyle = colour;
    STROKES[kind](pen);
    const made = context.createPattern(tile, "repeat");
    made.setTransform(new DOMMatrix().scale(0.5));
    view.patterns.set(key, made);
  }
  return view.patterns.get(key);
}

/* How many machines there were at once, the bound on them, and when the account refused one more. */
function paintStrip(context, palette) {
  const most = Math.max(run.bound ?? 0, view.most, 1);
  const y = (count) => STRIP - 6 - (count / most) * (STRIP - 24);
  context.fillStyle = palette.card;
  context.fillRect(0, 0, view.width, STRIP);
  context.save();
  context.beginPath();
  context.rect(gutter(), 0, view.width - gutter(), STRIP);
  context.clip();
  for (const [left, width, count] of columnsOfStrip()) {
    context.fillStyle = palette.shade;
    context.fillRect(left, y(count), width, y(0) - y(count));
    context.fillStyle = palette.accent;
    context.fillRect(left, y(count), width, 1.5);
  }
  if (run.bound) {
    context.setLineDash([5, 4]);
    context.strokeStyle = palette.bad;
    context.beginPath();
    context.moveTo(gutter(), y(run.bound));
    context.lineTo(view.width, y(run.bound));
    context.stroke();
    context.setLineDash([]);
  }
  context.fillStyle = palette.bad;
  for (const [moment] of run.refusals) context.fillText("▼", x(moment) - 5, 8);
  context.restore();
  context.fillStyle = palette.soft;
  context.fillText(String(most), 2, y(most), gutter() - 8);
  context.fillText("alive", 2, STRIP - 12, gutter() - 8);
}

/* Of each pixel the most that there were, however many steps fall into it. */
function columnsOfStrip() {
  const columns = [];
  let [at, count] = [gutter(), 0];
  for (const [moment, next] of view.alive) {
    const here = Math.max(gutter(), Math.min(view.width, x(moment)));
    if (here - at >= 1) {
      columns.push([at, here - at, count]);
      [at, count] = [here, next];
    } else if (moment <= view.from) count = next;
    else count = here === at ? next : Math.max(count, next);
  }
  columns.push([at, Math.max(0, Math.min(view.width, x(view.all[1])) - at), count]);
  return columns;
}

function paintAxis(context, palette) {
  context.fillStyle = palette.card;
  context.fillRect(0, STRIP, view.width, AXIS);
  context.fillStyle = palette.soft;
  const step = niceStep((view.to - view.from) / Math.max(2, view.width / 110));
  for (let moment = Math.ceil(view.from / step) * step; moment <= view.to; moment += step) {
    if (x(moment) > view.width - 42) break;
    context.fillRect(x(moment), STRIP, 1, 5);
    context.fillText(axisLabel(moment, step), x(moment) + 4, STRIP + 10);
  }
  context.fillStyle = palette.line;
  context.fillRect(gutter(), STRIP, view.width, 1);
}

function niceStep(least) {
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  return steps.find((step) => step >= least) ?? 604800;
}

function axisLabel(moment, step) {
  if (step < 1) return `${moment.toFixed(step < 0.01 ? 3 : 2)} s`;
  if (step < 60 && view.to < 120) return `${Math.round(moment)} s`;
  const [hours, minutes, rest] = [Math.floor(moment / 3600), Math.floor(moment / 60) % 60, Math.round(moment) % 60];
  const short = `${String(minutes).padStart(hours ? 2 : 1, "0")}:${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${short}` : short;
}
