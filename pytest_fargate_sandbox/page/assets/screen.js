/* A terminal's screen: enough of what programs send for a recording to look as it did. Text is only ever text. */

const BASIC = ["#22272e", "#ff7b72", "#5fd38d", "#e3c05c", "#79b8ff", "#d2a8ff", "#56d4dd", "#d7dde4", "#768390", "#ffa198", "#8ef0b0", "#f5dc8b", "#a5d0ff", "#e2c5ff", "#92ecf2", "#ffffff"];
const MOST_CELLS = 500;

function colourOf(number) {
  if (number < 16) return BASIC[number];
  if (number >= 232) return `rgb(${Array(3).fill(8 + (number - 232) * 10).join(" ")})`;
  const level = (place) => [0, 95, 135, 175, 215, 255][Math.floor((number - 16) / place) % 6];
  return `rgb(${level(36)} ${level(6)} ${level(1)})`;
}

class Screen {
  constructor(columns, rows) {
    this.rest = "";
    this.size(columns, rows);
    this.reset();
  }

  size(columns, rows) {
    const bounded = (value, usual) => Math.max(1, Math.min(MOST_CELLS, Math.floor(Number(value)) || usual));
    [this.columns, this.rows] = [bounded(columns, 80), bounded(rows, 24)];
    if (!this.lines) return;
    while (this.lines.length > this.rows) this.lines.shift();
    while (this.lines.length < this.rows) this.lines.push([]);
    for (const line of this.lines) line.length = Math.min(line.length, this.columns);
    [this.top, this.bottom] = [0, this.rows - 1];
    this.moveTo(this.y, this.x);
  }

  reset() {
    this.lines = Array.from({ length: this.rows }, () => []);
    [this.x, this.y, this.top, this.bottom, this.style, this.saved, this.other] = [0, 0, 0, this.rows - 1, {}, null, null];
    [this.wraps, this.shows, this.graphic, this.wrapping, this.inserting, this.fromTop] = [false, true, false, true, false, false];
    this.stops = new Set(Array.from({ length: Math.ceil(MOST_CELLS / 8) }, (_, each) => each * 8));
  }

  moveTo(y, x) {
    this.y = Math.max(0, Math.min(this.rows - 1, y));
    this.x = Math.max(0, Math.min(this.columns - 1, x));
    this.wraps = false;
  }

  /* Where a program says: with origin mode from the region's top on, and not out of it. */
  place(y, x) {
    this.moveTo(this.fromTop ? Math.min(this.bottom, this.top + y) : y, x);
  }

  /* Up and down stop at the region's edge, for who is not beyond it. */
  climb(by) {
    const [least, most] = [this.y >= this.top ? this.top : 0, this.y <= this.bottom ? this.bottom : this.rows - 1];
    this.moveTo(Math.max(least, Math.min(most, this.y + by)), this.x);
  }

  tab() {
    let x = this.x + 1;
    while (x < this.columns - 1 && !this.stops.has(x)) x += 1;
    this.moveTo(this.y, x);
  }

  write(text) {
    const all = this.rest + text;
    this.rest = "";
    let place = 0;
    while (place < all.length) {
      if (all[place] === "\x1b") {
        const taken = this.escape(all, place);
        if (!taken) {
          this.rest = all.slice(place);
          return;
        }
        place += taken;
      } else {
        const character = String.fromCodePoint(all.codePointAt(place));
        this.put(character);
        place += character.length;
      }
    }
  }

  put(character) {
    const code = character.codePointAt(0);
    if (character === "\n" || character === "\v" || character === "\f") this.down();
    else if (character === "\r") this.moveTo(this.y, 0);
    else if (character === "\b") this.moveTo(this.y, this.x - 1);
    else if (character === "\t") this.tab();
    else if (code === 14 || code === 15) this.graphic = code === 14;
    else if (code >= 32 && (code < 127 || code > 159)) this.print(this.graphic ? LINES[character] ?? character : character, code);
  }

  print(character, code) {
    if (/^\p{M}$/u.test(character) || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f)) {
      const cell = this.lines[this.y][this.wraps ? this.x : Math.max(0, this.x - 1)];
      if (cell && cell[0].length < 16) cell[0] += character;
      return;
    }
    const wide = isWide(code);
    if (wide && this.x === this.columns - 1 && !this.wrapping) return;
    if (this.wrapping && (this.wraps || (wide && this.x === this.columns - 1))) {
      this.x = 0;
      this.down();
    }
    this.wraps = false;
    if (this.inserting) this.widen(wide ? 2 : 1);
    this.lines[this.y][this.x] = [character, this.style];
    if (wide && this.x + 1 < this.columns) this.lines[this.y][this.x + 1] = ["", this.style];
    const next = this.x + (wide ? 2 : 1);
    this.wraps = this.wrapping && next >= this.columns;
    this.x = Math.min(next, this.columns - 1);
  }

  widen(by) {
    const line = this.lines[this.y];
    padded(line, this.x);
    line.splice(this.x, 0, ...Array.from({ length: Math.min(by, this.columns) }, () => [" ", this.style]));
    line.length = Math.min(line.length, this.columns);
  }

  down() {
    this.wraps = false;
    if (this.y === this.bottom) this.scroll(1);
    else if (this.y < this.rows - 1) this.y += 1;
  }

  up() {
    if (this.y === this.top) this.scroll(-1);
    else if (this.y > 0) this.y -= 1;
  }

  scroll(by, top = this.top) {
    for (let each = Math.min(Math.abs(by), this.rows); each > 0; each -= 1) {
      this.lines.splice(by > 0 ? top : this.bottom, 1);
      this.lines.splice(by > 0 ? this.bottom : top, 0, []);
    }
  }

  /* How many characters the sequence has that begins there; 0 where its end is still to come. */
  escape(all, start) {
    const kind = all[start + 1];
    if (kind === undefined) return 0;
    if (kind === "[") {
      const found = /^\x1b\[([\x00-\x17\x19\x1c-?]*)([@-~\x18\x1a\x1b])/.exec(all.slice(start, start + 256));
      if (!found) return all.length - start < 256 ? 0 : 2;
      for (const each of found[1]) if (each < " ") this.put(each); // what is meant at once is done at once
      if (found[2] === "\x1b") return found[0].length - 1;
      this.control([...found[1]].filter((each) => each >= " ").join(""), found[2]);
      return found[0].length;
    }
    if ("]P_^X".includes(kind)) {
      const found = /\x07|\x1b\\/.exec(all.slice(start + 2, start + 65536));
      return found ? 2 + found.index + found[0].length : all.length - start < 65536 ? 0 : 65536; // nobody's title is that long
    }
    if ("()*+ #%".includes(kind)) {
      if (all[start + 2] === undefined) return 0;
      if (kind === "(") this.graphic = all[start + 2] === "0";
      if (kind === "#" && all[start + 2] === "8") this.align();
      return 3;
    }
    const acts = { D: () => this.down(), M: () => this.up(), E: () => { this.x = 0; this.down(); }, c: () => this.reset(), H: () => this.stops.add(this.x), 7: () => this.save(), 8: () => this.restore() };
    acts[kind]?.();
    return 2;
  }

  save() {
    this.saved = [this.y, this.x, this.style, this.graphic, this.fromTop];
  }

  restore() {
    const [y, x_, style, graphic, fromTop] = this.saved ?? [0, 0, {}, false, false];
    Object.assign(this, { style, graphic, fromTop });
    this.moveTo(y, x_);
  }

  align() {
    this.lines = Array.from({ length: this.rows }, () => Array.from({ length: this.columns }, () => ["E", {}]));
    [this.top, this.bottom] = [0, this.rows - 1];
    this.moveTo(0, 0);
  }

  control(text, final) {
    if (text === "!" && final === "p") this.soften();
    if (/^[<=>]|[ -/]/.test(text)) return;
    if (text.startsWith("?")) {
      if (final === "J") this.eraseScreen(Number(text.slice(1)) || 0);
      if (final === "K") this.eraseLine(Number(text.slice(1)) || 0);
      if (final === "h" || final === "l") for (const mode of text.slice(1).split(";")) this.mode(Number(mode), final === "h");
      return;
    }
    const numbers = text.split(/[;:]/).map((each) => Math.min(9999, Number(each) || 0));
    const n = numbers[0] || 1;
    const line = this.lines[this.y];
    const acts = {
      A: () => this.climb(-n), B: () => this.climb(n), e: () => this.climb(n), a: () => this.moveTo(this.y, this.x + n), C: () => this.moveTo(this.y, this.x + n), D: () => this.moveTo(this.y, this.x - n),
      E: () => { this.climb(n); this.moveTo(this.y, 0); }, F: () => { this.climb(-n); this.moveTo(this.y, 0); }, G: () => this.moveTo(this.y, n - 1), "`": () => this.moveTo(this.y, n - 1), d: () => this.place(n - 1, this.x),
      H: () => this.place(n - 1, (numbers[1] || 1) - 1), f: () => this.place(n - 1, (numbers[1] || 1) - 1),
      J: () => this.eraseScreen(numbers[0]), K: () => this.eraseLine(numbers[0]),
      L: () => this.insideRegion(() => this.scroll(-n, this.y)), M: () => this.insideRegion(() => this.scroll(n, this.y)),
      g: () => (numbers[0] === 3 ? this.stops.clear() : numbers[0] ? null : this.stops.delete(this.x)), h: () => { if (numbers[0] === 4) this.inserting = true; }, l: () => { if (numbers[0] === 4) this.inserting = false; },
      P: () => { padded(line, this.x); line.splice(this.x, n); }, "@": () => this.widen(n),
      X: () => this.blank(line, this.x, Math.min(this.columns, this.x + n)), S: () => this.scroll(n), T: () => this.scroll(-n),
      r: () => this.region(numbers), m: () => { this.style = styled(this.style, numbers); }, s: () => this.save(), u: () => this.restore(),
      b: () => { const cell = line[this.x - 1]; if (cell?.[0]) for (let each = Math.min(n, this.columns); each > 0; each -= 1) this.print(cell[0], cell[0].codePointAt(0)); },
    };
    acts[final]?.();
  }

  insideRegion(act) {
    if (this.y < this.top || this.y > this.bottom) return;
    act();
    this.moveTo(this.y, 0);
  }

  region(numbers) {
    const [top, bottom] = [(numbers[0] || 1) - 1, (numbers[1] || this.rows) - 1];
    if (top >= bottom || top >= this.rows) return;
    [this.top, this.bottom] = [top, Math.min(bottom, this.rows - 1)];
    this.place(0, 0);
  }

  soften() {
    Object.assign(this, { top: 0, bottom: this.rows - 1, style: {}, graphic: false, wrapping: true, inserting: false, fromTop: false, shows: true, saved: null });
  }

  blank(line, from, to) {
    padded(line, from);
    for (let place = from; place < to; place += 1) line[place] = [" ", this.style.back ? { back: this.style.back } : {}];
  }

  eraseLine(how) {
    this.blank(this.lines[this.y], how ? 0 : this.x, how === 1 ? this.x + 1 : this.columns);
    this.wraps = false;
  }

  eraseScreen(how) {
    if (how > 3) return;
    if (how < 2) this.eraseLine(how);
    for (let y = 0; y < this.rows; y += 1) if (how >= 2 || (how === 1 ? y < this.y : y > this.y)) this.lines[y] = [];
  }

  mode(number, on) {
    if (number === 25) this.shows = on;
    if (number === 7) this.wrapping = on;
    if (number === 6) {
      this.fromTop = on;
      this.place(0, 0);
    }
    if (![47, 1047, 1049].includes(number) || on === Boolean(this.other)) return;
    if (on) {
      this.other = { lines: this.lines, at: number === 1049 ? [this.y, this.x] : null };
      this.lines = Array.from({ length: this.rows }, () => []);
    } else {
      const { lines, at } = this.other;
      this.lines = Array.from({ length: this.rows }, (_, y) => lines[y] ?? []);
      this.other = null;
      if (at) this.moveTo(...at);
    }
  }

  /* Into an element: a line each, and a part of it for each style. */
  show(place) {
    place.replaceChildren(...this.lines.map((line, y) => {
      const drawnLine = document.createElement("div");
      let part = null;
      for (let column = 0; column < Math.max(line.length, this.shows && y === this.y ? this.x + 1 : 0); column += 1) {
        const [text, style] = line[column] ?? [" ", {}];
        const cursor = this.shows && y === this.y && column === this.x;
        if (!part || part.style_ !== style || part.cursor || cursor) drawnLine.append((part = spanOf(style, cursor)));
        part.textContent += text;
      }
      return drawnLine;
    }));
  }
}

const LINES = { f: "°", g: "±", h: "␤", i: "␋", o: "⎺", p: "⎻", r: "⎼", s: "⎽", y: "≤", z: "≥", "{": "π", "|": "≠", "}": "£", j: "┘", k: "┐", l: "┌", m: "└", n: "┼", q: "─", t: "├", u: "┤", v: "┴", w: "┬", x: "│", a: "▒", "`": "◆", "~": "·" };

function padded(line, to) {
  for (let place = 0; place < to; place += 1) line[place] ??= [" ", {}];
}

function spanOf(style, cursor) {
  const part = document.createElement("span");
  Object.assign(part, { style_: style, cursor });
  const swapped = Boolean(style.swapped) !== cursor;
  const [front, back] = swapped ? [style.back ?? "#101418", style.front ?? "#d7dde4"] : [style.front, style.back];
  if (front) part.style.color = front;
  if (back) part.style.backgroundColor = back;
  if (style.bold) part.style.fontWeight = "700";
  if (style.faint) part.style.opacity = "0.7";
  if (style.italic) part.style.fontStyle = "italic";
  if (style.under) part.style.textDecoration = "underline";
  return part;
}

function styled(before, numbers) {
  const style = { ...before };
  for (let place = 0; place < numbers.length; place += 1) {
    const number = numbers[place];
    const on = { 1: "bold", 2: "faint", 3: "italic", 4: "under", 7: "swapped" }[number];
    const off = { 22: ["bold", "faint"], 23: ["italic"], 24: ["under"], 27: ["swapped"], 39: ["front"], 49: ["back"] }[number];
    if (number === 0) for (const key of Object.keys(style)) delete style[key];
    else if (on) style[on] = true;
    else if (off) for (const key of off) delete style[key];
    else if (number === 38 || number === 48) {
      const key = number === 38 ? "front" : "back";
      if (numbers[place + 1] === 5) style[key] = colourOf(Math.min(255, numbers[place + 2] ?? 0));
      if (numbers[place + 1] === 2) style[key] = `rgb(${numbers.slice(place + 2, place + 5).map((each) => Math.min(255, each)).join(" ")})`;
      place += numbers[place + 1] === 5 ? 2 : 4;
    } else if (number >= 30 && number <= 37) style.front = colourOf(number - 30);
    else if (number >= 40 && number <= 47) style.back = colourOf(number - 40);
    else if (number >= 90 && number <= 97) style.front = colourOf(number - 82);
    else if (number >= 100 && number <= 107) style.back = colourOf(number - 92);
  }
  return style;
}

function isWide(code) {
  return (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) || (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd);
}
