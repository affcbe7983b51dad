/* What a browser shows and runs nothing of. All else that a sandbox has left is saved, as its script would be of where this page is. */
const INERT = /\.(txt|log|cast|jsonl?|csv|md|png|jpe?g|gif|webp)$/i;

/* What one wants to know of a test: its times and machines, and where it failed, each attempt with all that was said. */

function storyOf(number) {
  const test = run.tests[number];
  const place = element("div", { class: "story" });
  const machines = run.machines.filter((machine) => machine[MACHINE.tests].includes(number));
  const [began, , , ended] = test[TEST.times];
  const links = (run.links[number] ?? []).map(([name, where]) => element("a", { href: where, download: !INERT.test(name) }, name));
  place.append(pairs([
    ["Ran", began === null ? "" : `${clock(began)}${ended === null ? "" : ` to ${clock(ended)}`}${test[TEST.worker] ? `, in ${test[TEST.worker]}` : ""}`],
    ["Met", test[TEST.infrastructure]],
    ["Machines", machines.map((machine) => element("div", { class: "mono" }, `${machine[MACHINE.id]} · ${machine[MACHINE.image]}${machine[MACHINE.cause] ? ` · ended: ${machine[MACHINE.cause]}` : ""}`))],
    ["Saved", links.flatMap((link, place) => (place ? [" · ", link] : [link]))],
  ]));
  if (machines.length) place.append(element("p", {}, element("button", { type: "button", onclick: () => revealInTimeline(number) }, "Show in the timeline")));
  if (test[TEST.story] >= 0) {
    const waits = element("p", { class: "help" }, "Unpacking…");
    place.append(waits);
    unpacked(`story-${test[TEST.story]}`).then((text) => waits.replaceWith(...reportsOf(JSON.parse(text), test)),
      () => { waits.textContent = "This browser cannot unpack the story: it takes one of 2023 or later."; });
  }
  return place;
}

function reportsOf(story, test) {
  const attempts = Math.max(test[TEST.attempts], ...story.reports.map((report) => report.attempt ?? 1));
  const reports = story.reports.map((report) => reportOf(report, attempts, test));
  return [...reports, ...playersOf(story, test[TEST.story])];
}

function reportOf(report, attempts, test) {
  const place = element("div", { class: "attempt" });
  const which = attempts > 1 ? `Attempt ${report.attempt} of ${attempts}, ` : "";
  place.append(element("h3", {}, `${which}${report.when} (${clock(report.began - run.began)}, ${seconds(report.ended - report.began)})`));
  if (report.infrastructure) {
    const next = report.attempt < attempts ? `It was run again, and ${test[TEST.outcome]}.` : attempts > 1 ? "It had been run again already." : "";
    place.append(element("p", {}, `Infrastructure, not the test: ${report.infrastructure.cause || report.infrastructure.type}. ${next}`));
  }
  if (report.error) place.append(element("pre", { tabindex: "0", role: "region", "aria-label": "Error" }, report.error));
  for (const sandbox of report.sandboxes ?? []) place.append(...sandboxOf(sandbox));
  return place;
}

function sandboxOf(sandbox) {
  const phases = Object.entries(sandbox.phases ?? {}).filter(([, value]) => value >= 0.0005).map(([name, value]) => `${name} ${seconds(value)}`);
  const parts = [element("h3", {}, `Sandbox ${sandbox.task_id}`),
    pairs([["Task", sandbox.task_arn ?? ""], ["Image", sandbox.image ?? ""], ["Start", phases.join(", ")], ["Ended", sandbox.cause ?? ""]])];
  parts.push(...(sandbox.commands ?? []).map(commandOf));
  for (const [name, text] of Object.entries(sandbox.screens ?? {})) parts.push(folded(`Screen of ${name}`, text));
  if (sandbox.log) parts.push(folded("Container log (end)", sandbox.log));
  return parts;
}

function commandOf(command) {
  const wrong = command.return_code !== 0;
  const state = element("span", { class: wrong ? "wrong" : "" }, `${wrong ? "✗" : "✓"} ${command.state}`);
  const said = [["", command.stdout], ["stderr", command.stderr]].filter(([, text]) => text);
  return element("div", { class: "command" },
    element("p", {}, element("code", {}, `$ ${command.command}`), element("span", { class: "meta" }, state, `, ${seconds(command.duration_sec)}, at ${clock(command.began - run.began)}`)),
    said.map(([name, text]) => element("pre", { tabindex: "0", role: "region", "aria-label": name || "Output" }, name ? `${name}:\n` : "", text)));
}

function folded(title, text) {
  return element("details", { open: text.length < 2000 }, element("summary", {}, title), element("pre", { tabindex: "0", role: "region", "aria-label": title }, text));
}

function playersOf(story, number) {
  return story.recordings.map((recording, place) => {
    const title = `Recording of ${recording.terminal}${recording.cut ? " (its beginning: it is too large)" : ""}`;
    if (!recording.is_here) return element("p", { class: "help" }, `${title}: not in this page, which would be too large.`);
    const holder = element("div", {});
    unpacked(`recording-${number}-${place}`).then((text) => holder.append(playerOf(title, text)));
    return holder;
  });
}
