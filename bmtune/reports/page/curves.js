"use strict";
// Learning curves: one line a trial, rungs as dashed lines.

const Curves = {
  metric: data.metrics[0] ?? null,
  log: null,
  lines: [],
  drawn: [],

  start() {
    const place = document.getElementById("curve-plot");
    const select = document.getElementById("curve-metric");
    const box = document.getElementById("curve-log");
    if (this.metric === null || !this.points().length) {
      place.textContent = "No epoch of a main phase was measured yet.";
      return;
    }
    const again = Figure.host(place, (width) => Math.round(Math.min(430, Math.max(260, width * 0.45))), (svg, width, height) => this.draw(svg, width, height));
    const reset = () => {
      this.log = Figure.wide(this.points());
      box.checked = this.log;
      box.disabled = this.points().some((value) => value <= 0);
      again();
    };
    reset();
    select.addEventListener("change", () => { this.metric = select.value; reset(); });
    box.addEventListener("change", () => { this.log = box.checked; again(); });
    pickByKeys(place, `Learning curves of ${data.trials.length} trials; arrow keys go from the best to the worst`);
    pickByPointer(place, (x, y) => this.nearest(x, y));
    Picked.listen((index) => this.highlight(index));
  },

  curves() { return data.curves[this.metric]; },
  points() { return this.curves().flatMap(([, values]) => values); },

  // Values from the lowest to the highest; of many without the outer hundredth, but the best and the base are whole.
  limits() {
    const sorted = this.points().sort((one, other) => one - other);
    const outer = sorted.length < 400 ? 0 : 0.01;
    const kept = [Figure.quantile(sorted, outer), Figure.quantile(sorted, 1 - outer)];
    for (const index of [winner, baseIndex]) if (index !== null) kept.push(...this.curves()[index][1]);
    const low = Math.min(...kept);
    const high = Math.max(...kept);
    const outside = sorted.filter((value) => value < low || value > high).length;
    document.getElementById("curve-outside").textContent = outside ? `${outside} of ${sorted.length} drawn points lie outside` : "";
    if (this.log) return [low / 1.08, high * 1.08];
    const room = (high - low) * 0.04;
    return [low - room, high + room];
  },

  draw(svg, width, height) {
    const [left, right, top, bottom] = [58, width < 560 ? 54 : 92, 40, height - 40];
    const x = Figure.scale(data.maxEpochs > 1 ? 1 : 0, Math.max(1, data.maxEpochs), left, width - right);
    const y = Figure.scale(...this.limits(), bottom, top, this.log);
    Figure.valueAxis(svg, y, left, width - right);
    Figure.baseAxis(svg, x, bottom, "epoch of the main phase", true);
    Figure.add(svg, "text", { class: "ink", x: left - 8, y: 11, "text-anchor": "start" }, this.metric + (this.log ? ", logarithmic" : ""));
    let named = -Infinity;
    for (const rung of data.rungs) {
      const at = Math.round(x(rung)) + 0.5;
      Figure.add(svg, "line", { class: "rung", x1: at, x2: at, y1: top, y2: bottom });
      if (at - named < 18) continue;
      const text = at - named < 52 ? String(rung) : `rung ${rung}`;
      Figure.add(svg, "text", { x: at, y: 32, "text-anchor": "middle" }, text);
      named = at;
    }
    const clip = Figure.add(svg, "clipPath", { id: "curve-clip" });
    Figure.add(clip, "rect", { x: left, y: top - 3, width: width - left - right + 3, height: bottom - top + 6 });
    const group = Figure.add(svg, "g", { "clip-path": "url(#curve-clip)" });
    this.drawn = this.curves().map(([epochs, values]) => epochs.map((epoch, place) => [x(epoch), y(values[place])]));
    this.drawLines(group);
    this.drawEnds(group);
    this.drawLabels(svg, width - right, bottom);
    this.over = Figure.add(group, "path", { class: "trace picked", d: "" });
    this.highlight(Picked.index);
  },

  drawLines(group) {
    const many = this.drawn.length;
    const opacity = many > 400 ? 0.42 : many > 100 ? 0.4 : many > 30 ? 0.55 : 0.8;
    const faint = Figure.add(group, "g", { opacity });
    this.drawn.forEach((points, index) => {
      if (index !== winner && index !== baseIndex && points.length > 1) {
        Figure.add(faint, "path", { class: "trace", d: Figure.path(points) });
      }
    });
    for (const [index, kind] of [[baseIndex, "base"], [winner, "best"]]) {
      if (index === null || (kind === "base" && index === winner)) continue;
      Figure.add(group, "path", { class: `trace ${kind}`, d: Figure.path(this.drawn[index]) });
    }
  },

  // A dot where a trial ended or paused before its budget was used up, a cross where it failed.
  drawEnds(group) {
    const dots = [];
    const crosses = [];
    this.drawn.forEach((points, index) => {
      const end = points.at(-1);
      if (!end) return;
      const [at, on] = end.map((number) => number.toFixed(1));
      if (data.trials[index].state === "failed") crosses.push(`M${end[0] - 3} ${end[1] - 3}l6 6m0 -6l-6 6`);
      else if (data.trials[index].epochs < data.maxEpochs) dots.push(`M${at} ${on}h0`);
    });
    Figure.add(group, "path", { class: "dots", d: dots.join("") }).style.strokeWidth = dots.length > 300 ? 3 : 5;
    Figure.add(group, "path", { class: "crosses", d: crosses.join("") });
  },

  // The best epoch, and the names of the best line and of the base at their ends.
  drawLabels(svg, edge, bottom) {
    const labels = [];
    if (winner !== null) labels.push([winner, "best", `trial ${data.trials[winner].number}`]);
    if (baseIndex !== null && baseIndex !== winner) labels.push([baseIndex, "base", "base"]);
    const ends = labels.filter(([index]) => this.drawn[index].length)
      .map(([index, kind, text]) => ({ kind, text, x: this.drawn[index].at(-1)[0], y: this.drawn[index].at(-1)[1] + 4 }));
    const apart = ends.length < 2 || Math.abs(ends[0].x - ends[1].x) > 80;
    for (const end of apart ? ends : Figure.spread(ends, bottom)) {
      Figure.add(svg, "text", { class: `${end.kind} halo`, x: Math.min(end.x, edge) + 7, y: end.y }, end.text);
    }
    const curve = winner === null ? [[], []] : this.curves()[winner];
    const best = winner === null ? -1 : curve[0].indexOf(data.trials[winner].bestEpoch);
    if (best >= 0) {
      const [at, on] = this.drawn[winner][best];
      Figure.add(svg, "path", { class: "dots tenth", d: `M${at} ${on}h0` }).style.strokeWidth = 8;
    }
  },

  highlight(index) {
    if (!this.over) return;
    const points = index === null ? [] : this.drawn[index];
    this.over.setAttribute("d", points.length === 1 ? `M${points[0][0] - 3} ${points[0][1]}h6` : Figure.path(points));
  },

  // The trial whose line comes nearest to a place, within 24 pixels.
  nearest(x, y) {
    let found = null;
    let least = 24 ** 2;
    this.drawn.forEach((points, index) => {
      points.forEach(([toX, toY], place) => {
        const [fromX, fromY] = place ? points[place - 1] : [toX, toY];
        const [alongX, alongY] = [toX - fromX, toY - fromY];
        const length = alongX ** 2 + alongY ** 2;
        const share = length ? Math.min(1, Math.max(0, ((x - fromX) * alongX + (y - fromY) * alongY) / length)) : 0;
        const far = (x - fromX - share * alongX) ** 2 + (y - fromY - share * alongY) ** 2;
        if (far < least) [least, found] = [far, index];
      });
    });
    return found;
  },
};
