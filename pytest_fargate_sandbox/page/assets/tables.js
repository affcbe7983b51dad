/* Tests in a table; tasks by agents; distributions; what is otherwise than before. */

const COLUMNS = [
  { name: "Outcome", of: (test) => test[TEST.outcome] },
  { name: "Test", of: (test) => test[TEST.name] },
  { name: "Worker", of: (test) => test[TEST.worker] },
  { name: "Took", of: tookOf, tell: seconds, number: true },
  { name: "Attempts", of: (test) => test[TEST.attempts], tell: (value) => (value > 1 ? `${value}×` : ""), number: true },
  { name: "Cost", of: (test) => test[TEST.cost], tell: money, number: true },
];
const GRAVITY = Object.keys(run.outcomes);
const AGAIN = "run again";
const ROWS_AT_ONCE = 150;
const tests = { rows: new Map(), order: [], shown: [], drawn: 0, by: null, down: false, only: new Set(), words: "" };

function drawTests() {
  const place = section("tests");
  const search = element("input", { type: "search", id: "search", placeholder: "Search tests, errors, workers ( / )", "aria-label": "Search tests", oninput: () => { tests.words = search.value.trim().toLowerCase(); refill(); } });
  const counted = GRAVITY.map((name) => [name, run.tests.filter((test) => test[TEST.outcome] === name).length]).filter(([, number]) => number);
  const again = run.tests.filter((test) => test[TEST.attempts] > 1).length;
  if (again) counted.push([AGAIN, again]);
  const chips = counted.map(([name, number]) => element("button", { type: "button", "aria-pressed": "false", onclick: (event) => choose(name, event.currentTarget) }, `${name === AGAIN ? "↻" : outcomeOf(name).glyph} ${name} ${number}`));
  const heads = COLUMNS.map((column) => element("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" },
    element("button", { type: "button", onclick: () => sortBy(column) }, column.name)));
  tests.heads = heads;
  tests.body = element("tbody");
  tests.status = element("p", { class: "none", role: "status" });
  place.append(element("div", { class: "bar" }, element("div", { class: "grow" }, search), chips),
    element("div", { class: "card" }, element("table", { class: "tests" }, element("caption", { class: "hidden" }, "Tests of the run"), element("thead", {}, element("tr", {}, heads)), tests.body), tests.status));
  tests.order = run.tests.map((_, number) => number);
  tests.order.sort((a, b) => GRAVITY.indexOf(run.tests[a][TEST.outcome]) - GRAVITY.indexOf(run.tests[b][TEST.outcome]) || a - b);
  refill();
}

function choose(name, button) {
  const pressed = !tests.only.has(name);
  if (pressed) tests.only.add(name);
  else tests.only.delete(name);
  button.setAttribute("aria-pressed", String(pressed));
  refill();
}

function sortBy(column) {
  tests.down = tests.by === column ? !tests.down : Boolean(column.number);
  tests.by = column;
  const direction = tests.down ? -1 : 1;
  tests.order.sort((a, b) => direction * compare(column.of(run.tests[a]), column.of(run.tests[b])) || a - b);
  COLUMNS.forEach((each, place) => tests.heads[place].setAttribute("aria-sort", each === column ? (tests.down ? "descending" : "ascending") : "none"));
  COLUMNS.forEach((each, place) => { tests.heads[place].firstChild.textContent = each.name + (each === column ? (tests.down ? " ↓" : " ↑") : ""); });
  refill();
}

function compare(a, b) {
  if (typeof a === "number" || typeof b === "number") return (a ?? -1) - (b ?? -1);
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function isWanted(test) {
  const only = tests.only;
  if (only.size && !only.has(test[TEST.outcome]) && !(only.has(AGAIN) && test[TEST.attempts] > 1)) return false;
  const where = `${test[TEST.name]}\n${test[TEST.infrastructure]}\n${test[TEST.worker]}`.toLowerCase();
  return tests.words.split(/\s+/).every((word) => where.includes(word));
}

function refill() {
  tests.shown = tests.order.filter((number) => isWanted(run.tests[number]));
  tests.drawn = 0;
  tests.turn = (tests.turn ?? 0) + 1;
  tests.body.replaceChildren();
  const told = run.tests.length ? `${tests.shown.length} of ${run.tests.length} tests` : "There was no test.";
  tests.status.textContent = told;
  more(tests.turn);
}

/* A few rows at once: the first are there with the first paint, and all of them soon after. */
function more(turn) {
  if (turn !== tests.turn) return;
  const next = tests.shown.slice(tests.drawn, tests.drawn + ROWS_AT_ONCE);
  tests.drawn += next.length;
  tests.body.append(...next.flatMap((number) => rowsOf(number)));
  if (tests.drawn < tests.shown.length) (window.requestIdleCallback ?? setTimeout)(() => more(turn));
}

function rowsOf(number) {
  const row = tests.rows.get(number) ?? makeRow(number);
  return row.told ? [row.line, row.told] : [row.line];
}

function makeRow(number) {
  const test = run.tests[number];
  const opens = element("button", { type: "button", class: "opens mono", "aria-expanded": "false", onclick: () => toggle(number) }, test[TEST.name]);
  const [, , ...others] = COLUMNS;
  const line = element("tr", { id: `test-${number}` }, element("td", {}, outcome(test[TEST.outcome])), element("td", {}, opens),
    others.map((column) => element("td", { class: column.number ? "number" : null }, column.tell ? column.tell(column.of(test)) : column.of(test))));
  const row = { line, opens, told: null };
  tests.rows.set(number, row);
  return row;
}

function toggle(number) {
  const row = tests.rows.get(number) ?? makeRow(number);
  const open = !row.told;
  row.opens.setAttribute("aria-expanded", String(open));
  row.line.classList.toggle("open", open);
  if (open) {
    row.told = element("tr", { class: "told" }, element("td", { colspan: COLUMNS.length }, storyOf(number)));
    row.line.after(row.told);
    history.replaceState(null, "", `#test-${number}`); // to be copied
  } else {
    row.told.remove();
    row.told = null;
  }
  return row;
}

/* Where a link or a bar leads to: whatever was sought or filtered gives way to it. */
function showTest(number) {
  if (!tests.shown.includes(number)) {
    tests.words = document.getElementById("search").value = "";
    tests.only.clear();
    document.querySelectorAll('#tests [aria-pressed="true"]').forEach((each) => each.setAttribute("aria-pressed", "false"));
    refill();
  }
  while (tests.drawn <= tests.shown.indexOf(number)) more(tests.turn);
  const row = tests.rows.get(number);
  if (!row.told) toggle(number);
  row.line.scrollIntoView({ block: "start", behavior: calm.matches ? "auto" : "smooth" });
  row.opens.focus({ preventScroll: true });
  history.replaceState(null, "", `#test-${number}`);
}

function drawGrid() {
  if (!run.grid) return;
  const { tasks, agents, cells } = run.grid;
  const found = new Map(cells.map((cell) => [`${cell[0]}/${cell[1]}`, cell]));
  const rows = tasks.map((task, y) => element("tr", {}, element("th", { scope: "row" }, task), agents.map((_, x) => element("td", {}, rate(found.get(`${y}/${x}`))))));
  const totals = agents.map((_, x) => cells.filter((cell) => cell[1] === x).reduce((sum, cell) => [sum[0] + cell[2], sum[1] + cell[3]], [0, 0]));
  rows.push(element("tr", {}, element("th", { scope: "row" }, "all"), totals.map(([passed, tried]) => element("td", {}, `${passed} of ${tried}`))));
  section("grid").append(element("div", { class: "card scrolls", tabindex: "0", role: "region", "aria-label": "Tasks by agents" },
    element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Task"), agents.map((agent) => element("th", { scope: "col" }, agent)))), element("tbody", {}, rows))),
    element("p", { class: "help" }, "Passed of those that can be evaluated; the band is where the rate is, at 95 %."));
}

function rate(cell) {
  if (!cell) return "";
  const [, , passed, tried, tries, value, low, high] = cell;
  const more = tries > tried ? ` (+${tries - tried} without verdict)` : "";
  if (value === undefined) return `–${more}`;
  const [band, mark] = [element("i"), element("b")];
  band.style.left = `${low * 100}%`;
  band.style.width = `${(high - low) * 100}%`;
  mark.style.left = `calc(${value * 100}% - 1px)`;
  const interval = `${Math.round(low * 100)} to ${Math.round(high * 100)} %`;
  return element("span", { title: interval }, `${passed}/${tried}${more}`, element("span", { class: "rate", role: "img", "aria-label": interval }, band, mark));
}

function drawFigures() {
  const place = section("figures");
  if (!run.distributions.length) place.hidden = true;
  place.append(element("div", { class: "cards" }, run.distributions.map((each) => {
    const tell = each.unit === "$" ? money : seconds;
    return element("div", { class: "card" }, element("h3", {}, `${each.name} (${each.n})`), histogram(each),
      element("div", { class: "quantiles" }, ["p50", "p95", "p99", "max"].map((name) => element("div", {}, element("span", {}, name), tell(each[name])))));
  })));
}

function histogram(each) {
  const most = Math.max(...each.bins);
  const width = 240 / each.bins.length;
  const svg = drawn("svg", { viewBox: "0 0 240 64", preserveAspectRatio: "none", role: "img", "aria-label": `Distribution of ${each.name}` });
  each.bins.forEach((count, place) => {
    const height = count ? Math.max(2, (count / most) * 58) : 0;
    svg.append(drawn("rect", { class: "bin", x: place * width + 0.5, y: 62 - height, width: width - 1, height }));
  });
  for (const name of ["p50", "p95", "p99"]) {
    const x = each.max > 0 ? (each[name] / each.max) * 238 + 1 : 1;
    svg.append(drawn("line", { class: `tick ${name}`, x1: x, x2: x, y1: 2, y2: 64 }));
  }
  return svg;
}

function drawn(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function drawCompared() {
  const found = run.compared;
  if (!found) return;
  const place = section("compared");
  place.append(element("p", { class: "help" }, `Run ${found.name}. ${found.new} tests are new, ${found.gone} are gone. Cost: ${money(found.cost[0])} → ${money(found.cost[1])}.`));
  const cards = element("div", { class: "cards wide" });
  const add = (title, rows, tell) => {
    if (!rows.length) return;
    const shown = rows.slice(0, 12).map(([name, before, now]) => element("tr", {}, element("td", {}, testLink(name)), element("td", { class: "number" }, tell(before), " → ", tell(now))));
    cards.append(element("div", { class: "card scrolls", tabindex: "0", role: "region", "aria-label": title }, element("h3", {}, `${title} (${rows.length})`), element("table", {}, element("tbody", {}, shown))));
  };
  add("Another outcome", found.outcomes, outcome);
  add("Flakier", found.flakier, (value) => `${value}×`);
  add("Slower", found.slower, seconds);
  add("Dearer", found.dearer, money);
  add("Phases of starts, at the median", found.phases.filter(([, before, now]) => before >= 0.001 || now >= 0.001), seconds);
  place.append(cards.children.length ? cards : element("p", { class: "card" }, "Nothing is otherwise."));
}

function testLink(name) {
  const number = run.tests.findIndex((test) => test[TEST.name] === name);
  return number < 0 ? name : element("a", { href: `#test-${number}` }, name);
}
