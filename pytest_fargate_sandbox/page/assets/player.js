/* Plays an asciicast (https://docs.asciinema.org/manual/asciicast/v2/) on a screen of ours. */

const LONGEST_PAUSE = 2; // seconds; nobody waits for a prompt

function parsed(text) {
  const events = [];
  let head = {};
  let [shown, before] = [0, 0];
  for (const line of text.split("\n")) {
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      continue; // cut, or not of ours
    }
    if (Array.isArray(value) && typeof value[0] === "number" && typeof value[2] === "string") {
      shown += Math.min(LONGEST_PAUSE, Math.max(0, value[0] - before));
      before = value[0];
      events.push({ at: shown, kind: value[1], text: value[2] });
    } else if (value && typeof value === "object") head = value;
  }
  return { head, events, length: shown };
}

class Player {
  constructor(text) {
    Object.assign(this, parsed(text));
    this.speed = 1;
    this.at = 0;
    this.rewind();
  }

  rewind() {
    this.screen = new Screen(this.head.width, this.head.height);
    this.next = 0;
  }

  seek(to) {
    if (to < this.at) this.rewind();
    this.at = Math.max(0, Math.min(this.length, to));
    for (; this.next < this.events.length && this.events[this.next].at <= this.at; this.next += 1) {
      const { kind, text } = this.events[this.next];
      if (kind === "o") this.screen.write(text);
      else if (kind === "r") this.screen.size(...text.split("x"));
    }
  }
}

function playerOf(title, text) {
  const player = new Player(text);
  const screen = element("pre", { class: "screen", tabindex: "0", role: "region", "aria-label": `${title}: the screen` });
  const play = element("button", { type: "button", "aria-label": "Play", onclick: () => (running ? pause() : start()) }, "▶");
  const range = element("input", { type: "range", min: 0, max: Math.max(0.1, player.length), step: 0.01, value: 0, "aria-label": "Position", oninput: () => { pause(); player.seek(Number(range.value)); show(); } });
  const speed = element("button", { type: "button", title: "Faster", onclick: () => { player.speed = player.speed >= 8 ? 0.5 : player.speed * 2; speed.textContent = `${player.speed}× speed`; } }, "1× speed");
  const position = element("span", { class: "mono" });
  const place = element("figure", { class: "player" }, element("figcaption", {}, `${title}, ${seconds(player.length)}`), screen, element("div", { class: "controls" }, play, range, speed, position));
  let running = 0;
  let last = 0;

  function show() {
    player.screen.show(screen);
    range.value = player.at;
    range.setAttribute("aria-valuetext", `${seconds(player.at) || "0 s"} of ${seconds(player.length)}`);
    position.textContent = `${player.at.toFixed(1)} / ${player.length.toFixed(1)} s`;
  }

  function frame(now) {
    player.seek(player.at + ((now - last) / 1000) * player.speed);
    last = now;
    show();
    if (player.at >= player.length || !place.isConnected) pause();
    else running = requestAnimationFrame(frame);
  }

  function start() {
    if (player.at >= player.length) player.seek(0);
    last = performance.now();
    running = requestAnimationFrame(frame);
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
  }

  function pause() {
    cancelAnimationFrame(running);
    running = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  }

  place.addEventListener("keydown", (event) => {
    if (event.target !== screen || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { " ": () => (running ? pause() : start()), ArrowRight: () => player.seek(player.at + 5), ArrowLeft: () => player.seek(player.at - 5), Home: () => player.seek(0), End: () => player.seek(player.length) };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
    show();
  });
  player.seek(player.length);
  show();
  return place;
}
