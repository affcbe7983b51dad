/* What all parts use: the run, elements whose text is only ever text, numbers as people read them. */

const run = JSON.parse(document.getElementById("run").textContent);
const TEST = { name: 0, outcome: 1, worker: 2, times: 3, attempts: 4, infrastructure: 5, cost: 6, story: 7 };
const MACHINE = { id: 0, worker: 1, image: 2, flags: 3, tests: 4, spans: 5, cost: 6, cause: 7 };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function section(name) {
  const found = document.getElementById(name);
  found.hidden = false;
  return found;
}

function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 99.95) return `${value.toFixed(value < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(value);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours} h ${String(minutes).padStart(2, "0")} min` : `${minutes} min ${String(rest).padStart(2, "0")} s`;
}

function money(value) {
  return value === null || value === undefined ? "" : `$${value > 0 && value < 0.001 ? value.toFixed(6) : value.toFixed(value < 1 ? 4 : 2)}`;
}

function clock(offset) {
  return new Date((run.began + offset) * 1000).toLocaleTimeString();
}

/* Those first that want to be seen first. A report of another version may have words of its own. */
function outcomeOf(name) {
  return Object.hasOwn(run.outcomes, name) ? run.outcomes[name] : { glyph: "?", hue: "odd", isAsWanted: false };
}

function outcome(name) {
  return element("span", { class: `outcome ${outcomeOf(name).hue}` }, `${outcomeOf(name).glyph} ${name}`);
}

function pairs(rows) {
  const told = rows.filter(([, value]) => value !== "" && value !== null && value !== undefined && value.length !== 0);
  return element("dl", { class: "pairs" }, told.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function tookOf(test) {
  const [began, callBegan, callEnded, ended] = test[TEST.times];
  if (callBegan !== null && callEnded !== null) return callEnded - callBegan;
  return began !== null && ended !== null ? ended - began : null;
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (each) => each.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
