// The small things that every page is made of.
import { html, useState, useEffect } from "./html.js";
import { t, word, time, ago, bytes, number } from "./i18n.js";
import { hear } from "./bus.js";
import { may } from "./who.js";

/** An address, name of a key or other code: left to right in every language. */
export const Code = ({ children, plain }) =>
  html`<bdi dir="ltr" class=${plain ? "" : "code"}>${children}</bdi>`;

/** What a stranger wrote: a name, a note. Its direction is its own. */
export const Name = ({ children }) => html`<bdi>${children}</bdi>`;

/** A sentence of the node, which speaks English. */
export const Said = ({ children }) => html`<bdi lang="en" dir="ltr" class="said">${children}</bdi>`;

const icons = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  threats: "M12 3 2 20h20zM12 10v4M12 17v.1",
  users: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21c0-4 3-6 7-6s7 2 7 6M17 4a4 4 0 0 1 0 7M19 15c2 1 3 3 3 6",
  keys: "M15 9a5 5 0 1 1-9.900 1A5 5 0 0 1 15 9zM14 12l7 7M18 16l-2 2",
  policy: "M4 6h10M18 6h2M4 12h2M10 12h10M4 18h8M16 18h4M14 4v4M6 10v4M12 16v4",
  access: "M5 11h14v10H5zM8 11V7a4 4 0 0 1 8 0v4",
  audit: "M9 4H5v17h14V4h-4M9 3h6v4H9zM8.500 14l2.500 2.500 5-5",
  tokens: "M3 7h18v10H3zM3 11h18M7 14h3",
  system: "M4 4h16v6H4zM4 14h16v6H4zM8 7v.1M8 17v.1",
  menu: "M4 6h16M4 12h16M4 18h16",
  close: "M6 6l12 12M18 6 6 18",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  pause: "M8 5v14M16 5v14",
  play: "M7 4v16l13-8z",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 18v.1",
  more: "M9 5l7 7-7 7",
  check: "M5 12l5 5 9-10",
};

/** A picture beside words, never instead of them. */
export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${icons[name]} /></svg>`;

/** A word on a coloured ground; tone: ok, warn, bad, info or none. */
export const Tag = ({ tone = "", children }) => html`<span class=${"tag " + tone}>${children}</span>`;

const tones = {
  ok: "ok", active: "ok", enforce: "ok", "in force": "ok", resolved: "ok", fixed: "ok", done: "ok", approved: "ok",
  monitor: "info", pending: "info", acknowledged: "info", retiring: "warn", "not yet": "info", accepted: "info",
  disabled: "", off: "", over: "", retired: "", expired: "", "false-positive": "",
  over_quota: "warn", no_access: "warn", contained: "warn", "to be confirmed": "warn", medium: "warn", low: "info",
  open: "bad", new: "bad", high: "bad", critical: "bad", revoked: "bad", failed: "bad", refused: "warn",
};

/** A state by its name in the API. */
export const State = ({ of }) => html`<${Tag} tone=${tones[of] ?? ""}>${word("state.", of)}<//>`;

export const Level = ({ of }) => html`<span class="level">${word("level.", of)}</span>`;

/** A point in time: how far from now, and in full for who wants to know. */
export function Time({ at, exact }) {
  if (!at) return html`<span class="none">–</span>`;
  return html`<time datetime=${at} title=${time(at, "second")}>${exact ? time(at) : ago(at)}</time>`;
}

/** A number that is the only content of its place; 0 stays back. */
export const Count = ({ n, of }) => html`<span class=${n ? "" : "none"}>${n && of === "bytes" ? bytes(n) : number(n)}</span>`;

export const Tile = ({ label, value, note, href, tone = "" }) => html`<li class=${"tile " + tone}>
  <span class="tile-label">${label}</span>
  <strong class="tile-value">${value}</strong>
  ${note && html`<span class="tile-note">${href ? html`<a href=${href}>${note}</a>` : note}</span>`}
</li>`;

/** Part of a page with a heading of its own and what can be done there. */
export const Panel = ({ title, actions, children, id, className = "" }) => html`<section class=${"panel " + className} aria-labelledby=${id}>
  <header><h2 id=${id}>${title}</h2>${actions && html`<div class="actions">${actions}</div>`}</header>
  ${children}
</section>`;

export const Heading = ({ title, children, back }) => html`<div class="heading">
  ${back && html`<a class="back" href=${back.href}><${Icon} name="more" />${back.label}</a>`}
  <h1 tabindex="-1">${title}</h1>
  ${children && html`<div class="actions">${children}</div>`}
</div>`;

/** What is pressed. op: the operations of the API that it is there for; who may use none of them does not see it. */
export const Button = ({ op, onClick, kind = "", disabled, children, label, pressed, type = "button", expanded }) =>
  may(op) && html`<button type=${type} class=${kind} disabled=${disabled} onClick=${onClick} aria-label=${label} aria-pressed=${pressed} aria-expanded=${expanded}>${children}</button>`;

/** Pairs of what and how much. Entries without a value are left out. */
export const Facts = ({ of }) => html`<dl class="facts">
  ${of.filter((row) => row && row[1] !== undefined && row[1] !== null && row[1] !== "").map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
</dl>`;

/** Why something was not done, and the command that mends it. */
export function Failure({ error, retry }) {
  if (!error) return null;
  const text = error.word === "unreachable" ? t("problem.unreachable") : error.word === "http" ? t("problem.http", { status: error.status }) : error.message.includes("\n") ? html`<bdi lang="en" dir="ltr" class="lined" tabindex="0">${error.message}</bdi>` : html`<${Said}>${error.message}<//>`;
  return html`<div class="failure" role="alert">
    <p>${error.title && html`<strong>${word("problem.", error.word) === error.word ? html`<${Said}>${error.title}<//>` : word("problem.", error.word)}: </strong>`}${text}</p>
    ${error.fix && html`<p>${t("problem.fix")} <code dir="ltr" lang="en">${error.fix}</code></p>`}
    ${retry && html`<p><${Button} onClick=${retry}>${t("do.again")}<//></p>`}
  </div>`;
}

export const Loading = () => html`<p class="loading" role="status">${t("loading")}</p>`;

/** An answer: what to show of it, or that it is on its way, or why it is not there. */
export function Answer({ of, children }) {
  if (of.error && !of.data) return html`<${Failure} error=${of.error} retry=${of.reload} />`;
  if (!of.data) return html`<${Loading} />`;
  const told = of.error?.word === "unreachable"; // over all pages, once
  return html`${of.error && !told && html`<${Failure} error=${of.error} retry=${of.reload} />`}${children(of.data)}`;
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/** A choice of few, as buttons that are links or set a value. */
export const Tabs = ({ label, of, value, onChange }) => html`<div class="tabs" role="group" aria-label=${label}>
  ${of.map(([key, name]) => html`<button key=${key} type="button" aria-pressed=${key === value} onClick=${() => onChange(key)}>${name}</button>`)}
</div>`;

/** A share of a whole, drawn; the words beside it say the same. */
export const Bar = ({ value, max, label, tone = "" }) =>
  html`<progress class=${tone} max=${max} value=${Math.min(value, max)} aria-label=${label}></progress>`;

/** Re-draws when something is told. */
export function useTold(name) {
  const [, set] = useState(0);
  useEffect(() => hear(name, () => set((n) => n + 1)), [name]);
}

/** The time now, again every second. */
export function useNow(active = true) {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    if (!active) return undefined;
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [active]);
  return now;
}

/** Copies a text; says so for a moment. */
export function Copy({ text, label }) {
  const [done, set] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => set(false), 2000);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = () => navigator.clipboard.writeText(text).then(() => set(true), () => set(false));
  return html`<${Button} onClick=${copy} label=${label}>${done ? t("do.copied") : t("do.copy")}<//><span class="hidden" role="status">${done ? t("do.copied") : ""}</span>`;
}
