// Lines over time. A canvas says nothing to who cannot see it, so each chart is a figure with
// its sum in words, keys that walk along the line, and the same numbers as a table.
import { html, useState, useEffect, useRef, useId } from "./html.js";
import uPlot from "../vendor/uplot.mjs";
import { t, number, time } from "./i18n.js";
import { hear } from "./bus.js";
import { Empty } from "./ui.js";

const height = 220;
const tableRows = 60;

/** A colour of the style sheet, as a canvas wants it. */
function colour(element, name) {
  element.style.color = `var(--${name})`;
  const resolved = getComputedStyle(element).color;
  element.style.color = "";
  return resolved;
}

const dashes = { solid: [], dash: [7, 4], dot: [2, 3] };

/**
 * series: {label, colour: a variable of the style sheet, dash: solid, dash or dot, values, fill}; times are
 * seconds since 1970; marks: {at, label}; format writes a value, tick one beside the axis, which reaches to least at least.
 */
export function Chart({ title, times, series, marks = [], least = 1, format = (v) => number(v, 1), tick = format, actions, note }) {
  const box = useRef();
  const plot = useRef();
  const id = useId();
  const [at, setAt] = useState(null);
  const [worn, wear] = useState(0);
  const seconds = times.length > 1 && times[times.length - 1] - times[0] < 900;
  const long = times.length > 1 && times[times.length - 1] - times[0] > 2 * 86400;
  const clock = (s, style) => time(s * 1000, style);

  useEffect(() => hear("theme", () => wear((n) => n + 1)), []);
  useEffect(() => {
    const element = box.current;
    if (!element || times.length < 2) return undefined;
    const probe = document.createElement("span");
    element.append(probe);
    const ink = { text: colour(probe, "muted"), grid: colour(probe, "line") };
    const lines = series.map((s) => ({
      label: s.label, scale: "y", width: 2, stroke: colour(probe, s.colour), dash: dashes[s.dash || "solid"], spanGaps: false,
      points: { show: false }, fill: s.fill ? colour(probe, s.colour).replace(/^rgb\(/, "rgba(").replace(/\)$/, ", 0.08)") : undefined,
    }));
    const mark = colour(probe, "accent");
    probe.remove();
    const font = "12px " + getComputedStyle(element).fontFamily;
    const draw = (u) => {
      const g = u.ctx;
      g.save();
      g.strokeStyle = mark;
      g.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      for (const m of marks) {
        const x = Math.round(u.valToPos(m.at, "x", true));
        if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
        g.beginPath();
        g.moveTo(x, u.bbox.top);
        g.lineTo(x, u.bbox.top + u.bbox.height);
        g.stroke();
      }
      g.restore();
    };
    const axis = { stroke: ink.text, font, grid: { stroke: ink.grid, width: 1 }, ticks: { stroke: ink.grid, width: 1 } };
    plot.current = new uPlot({
      width: element.clientWidth, height, padding: [10, 26, 0, 0], series: [{}, ...lines], legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, least) * 1.08] } },
      axes: [
        { ...axis, space: 90, size: 34, values: (_, all) => all.map((s) => clock(s, long ? "day" : seconds ? "clocksecond" : "clock")) },
        { ...axis, size: 64, values: (_, all) => all.map((v) => tick(v)) },
      ],
      hooks: { draw: [draw], setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
    }, [times, ...series.map((s) => s.values)], element);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    watch.observe(element);
    return () => (watch.disconnect(), plot.current.destroy(), (plot.current = null));
  }, [worn, series.length, times.length < 2, long, seconds, marks.length, title]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((s) => s.values)]);
  }, [times, series]);

  const walk = (event) => {
    const u = plot.current;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!u || !step) return;
    event.preventDefault();
    const to = Math.min(times.length - 1, Math.max(0, (at ?? times.length - 1) + step));
    u.setCursor({ left: u.valToPos(times[to], "x"), top: 0 });
    setAt(to);
  };
  const told = at !== null && times[at] !== undefined;
  const values = series.map((s) => `${s.label} ${format(told ? s.values[at] ?? 0 : s.values[s.values.length - 1] ?? 0)}`).join(", ");
  return html`<figure class="chart" aria-labelledby=${id}>
    <figcaption><h2 id=${id}>${title}</h2>${actions && html`<div class="actions">${actions}</div>`}</figcaption>
    ${times.length < 2 ? html`<${Empty}>${note || t("chart.none")}<//>` : html`
      <div class="plot" dir="ltr" ref=${box} tabindex="0" role="group" aria-roledescription=${t("chart.role")} aria-label=${title + ". " + t("chart.keys")} onKeyDown=${walk}></div>
      <p class="legend">${series.map((s) => html`<span key=${s.label} class="series"><svg viewBox="0 0 24 8" aria-hidden="true"><line class=${"c-" + s.colour} x1="0" y1="4" x2="24" y2="4" stroke-dasharray=${dashes[s.dash || "solid"].join(" ")} /></svg>${s.label}
        <strong>${format((told ? s.values[at] : s.values[s.values.length - 1]) ?? 0)}</strong></span>`)}
        <span class="at" aria-hidden="true">${told ? clock(times[at], "second") : ""}</span></p>
      <p class="hidden" role="status">${told && document.activeElement === box.current ? `${clock(times[at], "second")}: ${values}` : ""}</p>
      ${marks.length > 0 && html`<ul class="marks">${marks.slice(-4).map((m) => html`<li key=${m.at + m.label}><time>${clock(m.at, long ? "short" : "clock")}</time> ${m.label}${m.n > 1 && html` × ${number(m.n)}`}</li>`)}</ul>`}
      <details><summary>${t("chart.table")}</summary><${Numbers} title=${title} times=${times} series=${series} format=${format} style=${seconds ? "clocksecond" : "short"} /></details>`}
  </figure>`;
}

/** The last numbers of a chart, the newest first. */
function Numbers({ title, times, series, format, style }) {
  const rows = [];
  for (let i = times.length - 1; i >= 0 && rows.length < tableRows; i--) rows.push(i);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${title}><table><thead><tr><th scope="col">${t("time")}</th>${series.map((s) => html`<th key=${s.label} scope="col" class="num">${s.label}</th>`)}</tr></thead>
    <tbody>${rows.map((i) => html`<tr key=${times[i]}><th scope="row">${time(times[i] * 1000, style)}</th>${series.map((s) => html`<td key=${s.label} class="num">${s.values[i] === null || s.values[i] === undefined ? "–" : format(s.values[i])}</td>`)}</tr>`)}</tbody></table></div>`;
}
