"use strict";
// The parts of the page that answer: sliders that choose an epoch, two selects for the trade-off, filters.
// Names and numbers of the run come as JSON and reach the page as text only.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  const node = (kind, attributes, ...inside) => {
    const made = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const fixed = (value, places = 3) => (value === null ? "–" : value.toFixed(places).replace(/^-(0\.?0*)$/, "$1").replace("-", "−"));
  const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
  const short = (name, most) => ([...name].length > most ? [...name].slice(0, most - 1).join("") + "…" : name);

  // The weighted mean of what is defined; null where nothing is. Weights are parts of the largest, one of 0 leaves out.
  const mean = (skills, weights) => {
    const most = Math.max(...weights);
    let sum = 0, total = 0;
    skills.forEach((skill, i) => {
      const weight = weights[i] / most;
      if (weight > 0 && skill !== null) { sum += skill * weight; total += weight; }
    });
    return total > 0 ? sum / total : null;
  };
  // The place of the highest, the first of equals; -1 where there is none.
  const highest = (values) =>
    values.reduce((best, value, i) => (value !== null && (best < 0 || value > values[best]) ? i : best), -1);

  // Round numbers between two, about so many.
  const ticks = (low, high, count) => {
    const rough = (high - low) / count, size = 10 ** Math.floor(Math.log10(rough));
    const step = size * [1, 2, 5, 10].find((part) => part * size >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return { step, found };
  };
  const range = (values, margin) => {
    const known = values.filter((value) => value !== null && Math.abs(value) < 1e100);
    if (!known.length) return [0, 1];
    const low = Math.min(...known), high = Math.max(...known), wide = high - low || Math.abs(high) || 1;
    return [low - wide * margin, high + wide * margin];
  };

  // Axes with their labels; places for numbers.
  const frame = (place, title, x, y, labels, whole) => {
    const width = Math.max(place.clientWidth || 640, 280), height = Math.min(340, Math.max(250, width * 0.5));
    const box = { left: 52, right: width - 16, top: labels[1] ? 50 : 30, bottom: height - 42 };
    const at = {
      x: (value) => box.left + ((value - x[0]) / (x[1] - x[0])) * (box.right - box.left),
      y: (value) => box.bottom - ((value - y[0]) / (y[1] - y[0])) * (box.bottom - box.top),
    };
    const svg = node("svg", { class: "pc-picture live", role: "img", width, height, viewBox: `0 0 ${width} ${height}` });
    const words = (text, px, py, more = {}) => {
      const made = node("text", { x: px, y: py, ...more }, text);
      svg.append(made);
      return made;
    };
    const decimals = (step) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    words(title, 0, 16, { class: "pc-title" });
    const many = Math.max(3, Math.floor(width / 110)), across = ticks(...x, whole ? Math.min(many, x[1] - x[0]) || many : many);
    const up = ticks(...y, 5);
    for (const value of up.found) {
      svg.append(node("path", { class: "pc-grid", d: `M${box.left} ${at.y(value)}H${box.right}` }));
      words(fixed(value, decimals(up.step)), box.left - 7, at.y(value) + 4, { class: "pc-mute", "text-anchor": "end" });
    }
    for (const value of across.found) {
      if (whole && value % 1) continue;
      svg.append(node("path", { class: "pc-axis", d: `M${at.x(value)} ${box.bottom}v4` }));
      words(fixed(value, decimals(across.step)), at.x(value), box.bottom + 18, { class: "pc-mute", "text-anchor": "middle" });
    }
    svg.append(node("path", { class: "pc-axis", d: `M${box.left} ${box.bottom}H${box.right}` }));
    words(labels[0], box.right, box.bottom + 36, { class: "pc-mute", "text-anchor": "end" });
    if (labels[1]) words(labels[1], 0, 38, { class: "pc-mute" });
    return { svg, at, box, words };
  };

  const show = (place, svg, said) => {
    svg.setAttribute("aria-label", said);
    for (const old of place.querySelectorAll("svg")) old.remove();
    place.append(svg);
  };

  // Polyline of the numbers there are; a gap where there is none.
  const line = (at, xs, ys) => {
    let path = "", open = false;
    xs.forEach((x, i) => {
      if (ys[i] === null || Math.abs(ys[i]) > 1e100) { open = false; return; }
      path += `${open ? "L" : "M"}${at.x(x).toFixed(1)} ${at.y(ys[i]).toFixed(1)}`;
      open = true;
    });
    return path;
  };

  class Run {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector("script.data").textContent);
      if (!this.data) return;
      this.sliders = [...root.querySelectorAll(".slider input")];
      this.joint = root.querySelector('[data-live="joint"]');
      this.tradeoff = root.querySelector('[data-live="tradeoff"]');
      this.axes = [...root.querySelectorAll("select[data-axis]")];
      for (const slider of this.sliders) slider.addEventListener("input", () => this.choose());
      for (const select of this.axes) select.addEventListener("change", () => this.drawTradeoff());
      root.querySelector(".reset")?.addEventListener("click", () => {
        for (const slider of this.sliders) slider.value = slider.defaultValue;
        this.choose();
      });
      let width = 0;
      new ResizeObserver(() => { // also when a folded run is opened
        if (root.clientWidth && root.clientWidth !== width) { width = root.clientWidth; this.choose(); }
      }).observe(root);
    }

    get weights() { return this.sliders.map((slider) => Number(slider.value)); }
    ofEpoch(i) { return this.data.skills.map((own) => own[i]); }
    out(name) { return this.root.querySelector(`#${CSS.escape(this.root.dataset.prefix + name)}`); }

    choose() {
      const { epochs, kept, tasks } = this.data, weights = this.weights, any = Math.max(...weights) > 0;
      for (const slider of this.sliders) slider.parentElement.querySelector("output").textContent = Number(slider.value).toFixed(2);
      this.scores = epochs.map((_, i) => (any ? mean(this.ofEpoch(i), weights) : null));
      const scores = kept.map((one) => (any ? mean(one.skills, weights) : null)), best = highest(this.scores), place = highest(scores);
      this.best = best < 0 ? null : epochs[best];
      this.chosen = place < 0 ? null : kept[place].epoch;
      this.tell("chosen", this.chosen);
      this.tell("best", this.best);
      const skills = place < 0 ? (best < 0 ? null : this.ofEpoch(best)) : kept[place].skills;
      const shown = skills ? tasks.map((task, i) => `\u2068${short(task, 40)}\u2069 ${fixed(skills[i])}`).slice(0, 12) : [];
      const more = tasks.length > 12 ? `; ${tasks.length - 12} more` : "";
      this.out("reached").textContent = !any ? "Give at least one task a weight above 0."
        : skills ? `Skills there: ${shown.join("; ")}${more}.` : "No epoch has a value for what these weights name.";
      const flags = tasks.map((task, i) => (weights[i] > 0 ? ` --score-weight ${quoted(`${task}=${weights[i]}`)}` : "")).join("");
      this.root.querySelector(".command").textContent = place < 0 ? "" : short(`polycera pick ${this.data.run}${flags}`, 600);
      this.drawJoint();
      this.drawTradeoff();
    }

    tell(name, epoch) {
      const output = this.out(name);
      output.textContent = epoch ?? "–";
      if (epoch === null) delete output.dataset.epoch; else output.dataset.epoch = epoch;
    }

    drawJoint() {
      const { epochs, kept } = this.data, place = this.joint;
      if (!epochs.length || !place?.clientWidth) return;
      const last = epochs.at(-1) > epochs[0] ? epochs.at(-1) : epochs[0] + 1;
      const f = frame(place, "Joint score under these weights", [epochs[0], last], range(this.scores, 0.08), ["epoch", ""], true);
      const known = new Map(epochs.map((epoch, i) => [epoch, this.scores[i]]));
      f.svg.append(node("path", { class: "pc-line pc-c0", d: line(f.at, epochs, this.scores) }));
      for (const { epoch } of kept) {
        const score = known.get(epoch) ?? null;
        if (score !== null) f.svg.append(node("circle", { class: "pc-hollow pc-c0", cx: f.at.x(epoch), cy: f.at.y(score), r: 4 }));
      }
      this.mark(f, known, this.best, "best", "pc-mark", 0);
      this.mark(f, known, this.chosen, "chosen", "pc-mark", this.best === this.chosen ? -1 : 15);
      const says = (epoch) => (epoch === null ? "none" : `epoch ${epoch}`);
      show(place, f.svg, `Joint score of ${epochs.length} epochs; best of all: ${says(this.best)}; of those kept: ${says(this.chosen)}.`);
    }

    mark(f, known, epoch, what, kind, lower) {
      const score = epoch === null ? null : known.get(epoch) ?? null;
      if (score === null) return;
      const x = f.at.x(epoch), right = x > (f.box.left + f.box.right) / 2;
      if (lower >= 0) {
        f.svg.append(node("path", { class: kind, d: `M${x} ${f.box.top}V${f.box.bottom}` }));
        f.words(`${what}: epoch ${epoch}`, x + (right ? -6 : 6), f.box.bottom - 8 - lower, { class: "pc-halo", "text-anchor": right ? "end" : "start" });
      }
      if (what === "chosen") f.svg.append(node("circle", { class: "pc-chosen", cx: x, cy: f.at.y(score), r: 8 }));
    }

    drawTradeoff() {
      const { epochs, kept, tasks, skills } = this.data, place = this.tradeoff;
      if (!place?.clientWidth) return;
      const [a, b] = this.axes.map((select) => Number(select.value));
      const xs = skills[a], ys = skills[b];
      if (!xs || !ys) return;
      const there = epochs.map((_, i) => i).filter((i) => xs[i] !== null && ys[i] !== null && Math.abs(xs[i]) < 1e100 && Math.abs(ys[i]) < 1e100);
      const f = frame(place, "Every epoch by its skills in two tasks", range(there.map((i) => xs[i]), 0.06), range(there.map((i) => ys[i]), 0.08),
        [`skill in \u2068${short(tasks[a], 34)}\u2069 →`, `↑ skill in \u2068${short(tasks[b], 34)}\u2069`]);
      const ringed = new Set(kept.map((one) => one.epoch));
      const front = there.filter((i) => !there.some((j) => xs[j] >= xs[i] && ys[j] >= ys[i] && (xs[j] > xs[i] || ys[j] > ys[i] || j < i)));
      front.sort((i, j) => xs[i] - xs[j]);
      f.svg.append(node("path", { class: "pc-thin pc-neutral", d: line(f.at, front.map((i) => xs[i]), front.map((i) => ys[i])) }));
      for (const i of there) {
        const kind = ringed.has(epochs[i]) ? "pc-hollow pc-c1" : "pc-dot pc-c0";
        const dot = node("circle", { class: kind, cx: f.at.x(xs[i]), cy: f.at.y(ys[i]), r: ringed.has(epochs[i]) ? 5 : 3 });
        dot.append(node("title", {}, `epoch ${epochs[i]}: ${fixed(xs[i])}, ${fixed(ys[i])}${ringed.has(epochs[i]) ? ", kept" : ""}`));
        f.svg.append(dot);
      }
      const shown = there.find((i) => epochs[i] === (this.chosen ?? this.best));
      if (shown !== undefined) {
        const x = f.at.x(xs[shown]), y = f.at.y(ys[shown]), right = x > (f.box.left + f.box.right) / 2;
        f.svg.append(node("circle", { class: "pc-chosen", cx: x, cy: y, r: 9 }));
        f.words(`${this.chosen === null ? "best" : "chosen"}: epoch ${epochs[shown]}`, x + (right ? -14 : 14), y + 4, { class: "pc-halo", "text-anchor": right ? "end" : "start" });
      }
      show(place, f.svg, `${there.length} epochs by their skill in ${short(tasks[a], 60)} and ${short(tasks[b], 60)}; ${front.length} of them no other epoch beats on both.`);
    }
  }

  const filter = (box) => {
    const field = box.querySelector("input"), count = box.querySelector("output");
    const parts = [...box.parentElement.querySelectorAll("[data-name]")];
    field.addEventListener("input", () => {
      const sought = field.value.trim().toLowerCase();
      for (const part of parts) part.hidden = !part.dataset.name.includes(sought);
      count.textContent = sought ? `${parts.filter((part) => !part.hidden).length} of ${parts.length}` : "";
    });
  };

  // What scrolls sideways can be reached with the keyboard, what does not is not stopped at.
  const reach = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0; else target.removeAttribute("tabindex");
    }
  });

  // What is folded and is not too much is printed too.
  const unfold = () => {
    for (const part of document.querySelectorAll('[data-print="open"] > details:not([open]), details.whole-run:not([open])')) {
      part.dataset.closed = "";
      part.open = true;
    }
  };
  const fold = () => {
    for (const part of document.querySelectorAll("details[data-closed]")) {
      part.open = false;
      delete part.dataset.closed;
    }
  };

  // A link into a folded run opens it.
  const reveal = () => {
    const aim = document.getElementById(location.hash.slice(1));
    for (let part = aim?.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  };

  for (const root of document.querySelectorAll(".run")) new Run(root);
  for (const box of document.querySelectorAll(".filter")) filter(box);
  for (const place of document.querySelectorAll(".drawing")) reach.observe(place);
  addEventListener("beforeprint", unfold);
  addEventListener("afterprint", fold);
  addEventListener("hashchange", reveal);
  reveal();
})();
