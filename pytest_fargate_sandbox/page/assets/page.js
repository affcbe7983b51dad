/* The head of the page, its theme, and what a link leads to. */

const THEMES = ["auto", "light", "dark"];
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function rememberedTheme() {
  try {
    return THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto";
  } catch {
    return "auto"; // a browser that stores nothing for files
  }
}

function applyTheme(name) {
  const dark = name === "dark" || (name === "auto" && systemDark.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const button = document.getElementById("theme");
  button.textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[name];
  button.setAttribute("aria-label", `Theme: ${name}. Change it`);
  document.dispatchEvent(new Event("themed"));
}

function startTheme() {
  let theme = rememberedTheme();
  applyTheme(theme);
  systemDark.addEventListener("change", () => applyTheme(theme));
  document.getElementById("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // it is for this time, then
    }
    applyTheme(theme);
  });
}

const STATES = {
  interrupted: "This run was interrupted: what stands here is what there was until then.",
  killed: "This run was killed: the page was made of what it had written down.",
  running: "This run was still going on when the page was made.",
};

function fact(name, value, more = "") {
  return element("div", { class: "card fact" }, element("dt", {}, name), element("dd", {}, value, more ? element("small", {}, more) : ""));
}

function drawHead() {
  document.title = `${run.name || "Sandboxes"} · ${run.run}`;
  document.getElementById("title").textContent = run.name || "Sandboxes";
  const where = run.place.engine ? "the engine on this machine" : `cluster ${run.place.cluster}${run.place.region ? `, ${run.place.region}` : ""}`;
  const began = run.began ? `${new Date(run.began * 1000).toLocaleString()} · ` : "";
  document.getElementById("where").textContent = `${began}${where} · run ${run.run}`;
  const head = section("head");
  if (STATES[run.state]) head.append(element("p", { class: "card notice" }, STATES[run.state]));
  const counted = new Map();
  for (const test of run.tests) counted.set(test[TEST.outcome], (counted.get(test[TEST.outcome]) ?? 0) + 1);
  const [said, all] = run.evaluable;
  const counts = run.counts;
  const extra = [[counts.prelaunched_unused, "unused"], [counts.reused, "taken over"], [counts.kept, "kept"], [counts.leaked, "may still run"]];
  const more = extra.filter(([number]) => number).map(([number, word]) => `${number} ${word}`).join(", ");
  head.append(element("dl", { class: "facts" },
    fact("Tests", String(run.tests.length), [...counted].map(([name, number]) => `${number} ${name}`).join(", ")),
    fact("Evaluable", `${said} of ${all}`, said < all ? "the others met trouble that says nothing of them" : "all outcomes are the tests' own"),
    fact("Machines", String(counts.launched), more || (counts.launched ? "launched" : "no sandbox was asked for")),
    fact("Wall time", seconds(run.took ?? 0) || "–"),
    fact("Task time", seconds(run.task_seconds), "of all machines together"),
    fact("Cost", money(run.cost), run.place.engine ? "on AWS; nothing here" : run.unused ? `${money(run.unused)} of it unused` : "about"),
    fact("Run again", String(counts.retried), "after infrastructure errors")));
  if (run.tests.length) {
    const bar = element("div", { class: "share", "aria-hidden": "true" });
    for (const [name, number] of counted) {
      const part = element("i", { class: outcomeOf(name).hue });
      part.style.flexGrow = number;
      bar.append(part);
    }
    head.append(bar);
  }
  if (run.sentences.length) head.append(element("ul", { class: "sentences" }, run.sentences.map((each) => element("li", {}, each))));
}

function follow() {
  const found = /^#test-(\d+)$/.exec(location.hash);
  if (found && Number(found[1]) < run.tests.length) showTest(Number(found[1]));
}

startTheme();
drawHead();
drawCompared();
drawTimeline();
drawGrid();
drawTests();
drawFigures();
addEventListener("hashchange", follow);
follow();
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});
