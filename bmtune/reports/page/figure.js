"use strict";
// What all figures share: scales, axes, the one trial that is picked, and how keys and pointers pick it.

const data = JSON.parse(document.getElementById("data").textContent);

const Figure = {
  // An SVG element with attributes, as the last child of `parent`.
  add(parent, tag, attributes = {}, text = null) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  },

  // A number with at most four significant digits, as the page's tables write it.
  text(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0 || Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
    const size = Math.abs(value);
    return size < 1e-4 || size >= 1e6 ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(4)));
  },

  // A scale from values to pixels.
  scale(low, high, from, to, log = false) {
    if (low === high) {
      const room = low === 0 ? 1 : Math.abs(low) * 0.1;
      if (!log) { low -= room; high += room; } else { low /= 2; high *= 2; }
    }
    const forth = log ? Math.log : (value) => value;
    const back = log ? Math.exp : (value) => value;
    const span = forth(high) - forth(low);
    const place = (value) => from + (forth(value) - forth(low)) / span * (to - from);
    place.invert = (pixel) => back(forth(low) + (pixel - from) / (to - from) * span);
    Object.assign(place, { low, high, log });
    return place;
  },

  // Round values within a scale, at most about `count`.
  ticks(scale, count, whole = false) {
    const { low, high } = scale;
    if (scale.log) {
      const found = [];
      const decades = Math.log10(high / low);
      const steps = decades <= 1.2 ? [1, 2, 3, 5] : decades < 3 ? [1, 3] : [1];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const step of steps) found.push(Number(`${step}e${power}`));
      }
      const within = found.filter((value) => value >= low * 0.9999 && value <= high * 1.0001);
      const stride = Math.max(1, Math.round(within.length / (count + 1)));
      if (within.length >= 2) return within.filter((value, place) => (within.length - 1 - place) % stride === 0);
    }
    const rough = (high - low) / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
    if (whole) step = Math.max(1, Math.round(step));
    const found = [];
    for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
      found.push(Number((index * step).toPrecision(12)));
    }
    return found;
  },

  // An empty drawing as wide as its place; `draw` is called again whenever that changes.
  host(element, height, draw) {
    let last = 0;
    const again = () => {
      const width = Math.floor(element.clientWidth);
      if (width < 80) return;
      last = width;
      const tall = typeof height === "function" ? height(width) : height;
      element.querySelector("svg")?.remove();
      const svg = Figure.add(null, "svg", { width, height: tall, viewBox: `0 0 ${width} ${tall}`, "aria-hidden": "true" });
      element.prepend(svg);
      draw(svg, width, tall);
    };
    new ResizeObserver(() => { if (Math.abs(Math.floor(element.clientWidth) - last) > 1) again(); }).observe(element);
    again();
    return again;
  },

  // Grid lines and labels of a vertical value axis.
  valueAxis(svg, scale, left, right, count = 5) {
    for (const value of Figure.ticks(scale, count)) {
      const y = Math.round(scale(value)) + 0.5;
      Figure.add(svg, "line", { class: "grid", x1: left, x2: right, y1: y, y2: y });
      Figure.add(svg, "text", { x: left - 8, y: y + 4, "text-anchor": "end" }, Figure.text(value));
    }
  },

  // Ticks, labels and the name of a horizontal axis.
  baseAxis(svg, scale, y, name, whole = false) {
    const right = scale(scale.high);
    const left = scale(scale.low);
    Figure.add(svg, "line", { class: "axis", x1: left, x2: right, y1: y + 0.5, y2: y + 0.5 });
    for (const value of Figure.ticks(scale, Math.max(2, Math.floor((right - left) / 64)), whole)) {
      const x = Math.round(scale(value)) + 0.5;
      Figure.add(svg, "line", { class: "axis", x1: x, x2: x, y1: y, y2: y + 4 });
      Figure.add(svg, "text", { x, y: y + 17, "text-anchor": "middle" }, Figure.text(value));
    }
    if (name) Figure.add(svg, "text", { x: right, y: y + 33, "text-anchor": "end" }, name);
  },

  // Names at the ends of lines, moved apart where they would overlap, none below `bottom`.
  spread(labels, bottom) {
    labels.sort((one, other) => one.y - other.y);
    for (let place = 1; place < labels.length; place += 1) labels[place].y = Math.max(labels[place].y, labels[place - 1].y + 14);
    let limit = bottom;
    for (const label of [...labels].reverse()) {
      label.y = Math.min(label.y, limit);
      limit = label.y - 14;
    }
    return labels;
  },

  // The worst value that a curve of best values need show: that of its first `share`, because the start is far off.
  settled(found, share) {
    const early = found.filter(([at]) => at <= share);
    return (early.at(-1) ?? found[0])[1];
  },

  path(points) {
    return points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  },

  // Whether values reach so far that only a logarithmic scale shows them all.
  wide(values) {
    let low = Infinity;
    let high = 0;
    for (const value of values) {
      if (value <= 0) return false;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return high / low > 20;
  },

  quantile(sorted, share) {
    return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))];
  },
};

// The trials, best first: those without a rank follow in their order.
const ranking = data.trials
  .map((trial, index) => index)
  .sort((one, other) => (data.trials[one].rank ?? Infinity) - (data.trials[other].rank ?? Infinity) || one - other);
const numRanked = data.trials.filter((trial) => trial.rank !== null).length;
const winner = numRanked ? ranking[0] : null;
const baseIndex = data.base === null ? null : data.trials.findIndex((trial) => trial.number === data.base);

// Which trial is picked; every figure and the table show the same one.
const Picked = {
  index: null,
  listeners: [],
  listen(listener) { this.listeners.push(listener); },
  pick(index, aloud = false) {
    if (index === this.index) return;
    this.index = index;
    for (const listener of this.listeners) listener(index);
    const bar = document.getElementById("readout");
    bar.hidden = index === null;
    if (index === null) return;
    const words = describe(index);
    document.getElementById("readout-text").replaceChildren(...words.nodes);
    if (aloud) document.getElementById("announcer").textContent = words.text;
  },
};

// A trial in words: as text for a screen reader, and as nodes for the bar below.
function describe(index) {
  const trial = data.trials[index];
  const rank = trial.rank === null ? "without a rank" : `rank ${trial.rank} of ${numRanked}`;
  const value = trial.value === null ? "no value" : `${data.objective.name} ${Figure.text(trial.value)} at epoch ${trial.bestEpoch}`;
  const head = `Trial ${trial.number}, ${rank}, ${trial.state} after ${trial.epochs} epochs: ${value}`;
  const parameters = data.parameters
    .map((axis, place) => [axis, trial.values[place]])
    .filter(([, found]) => found !== null)
    .map(([axis, found]) => `${axis.name} ${axis.choices ? axis.choices[found] : Figure.text(found)}`);
  const strong = document.createElement("span");
  strong.className = "key";
  strong.textContent = head;
  return { text: [head, ...parameters].join(", "), nodes: [strong, ` · ${parameters.join(" · ")}`] };
}

// Lets arrow keys go through the trials from best to worst while `element` has the focus.
function pickByKeys(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "slider");
  element.setAttribute("aria-label", label);
  element.setAttribute("aria-orientation", "horizontal");
  element.setAttribute("aria-valuemin", "1");
  element.setAttribute("aria-valuemax", String(ranking.length));
  const tell = (index) => {
    element.setAttribute("aria-valuenow", String(index === null ? 1 : ranking.indexOf(index) + 1));
    element.setAttribute("aria-valuetext", index === null ? "no trial is picked" : describe(index).text);
  };
  tell(null);
  Picked.listen(tell);
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return Picked.pick(null);
    const now = Picked.index === null ? -1 : ranking.indexOf(Picked.index);
    let next = null;
    if (event.key in steps) next = now + steps[event.key];
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = ranking.length - 1;
    if (next === null) return undefined;
    event.preventDefault();
    Picked.pick(ranking[Math.min(ranking.length - 1, Math.max(0, next))]);
    return undefined;
  });
}

// Picks what `find` finds under the pointer; a click keeps it when the pointer leaves.
function pickByPointer(element, find) {
  let kept = false;
  element.addEventListener("pointermove", (event) => {
    if (kept || event.buttons || event.pointerType === "touch") return;
    const box = element.getBoundingClientRect();
    Picked.pick(find(event.clientX - box.left, event.clientY - box.top));
  });
  element.addEventListener("pointerleave", () => { if (!kept) Picked.pick(null); });
  element.addEventListener("click", (event) => {
    const box = element.getBoundingClientRect();
    const found = find(event.clientX - box.left, event.clientY - box.top);
    kept = found !== null;
    Picked.pick(found);
  });
}
