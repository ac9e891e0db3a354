// What is enforced, how far, and what it would do to whom.
import { html, useState } from "../html.js";
import { useGet, path, change, changeKey } from "../api.js";
import { Heading, Panel, Answer, Facts, Name, Code, State, Count, Time, Button, Said, Tag, Bar, Copy } from "../ui.js";
import { Paged, Rows } from "../table.js";
import { propose } from "../dialog.js";
import { t, number, percent, time } from "../i18n.js";
import { to } from "../router.js";
import { PolicyText } from "./policytext.js";
import { may } from "../who.js";

export const trialTime = "10m";

export const Policy = ({ route }) => (route.args[0] === "text" ? html`<${PolicyText} />` : route.args[0] ? html`<${Control} key=${route.args[0]} name=${route.args[0]} />` : html`<${PolicyHome} />`);

const Mode = ({ of: c }) => html`<span class="pair"><${State} of=${c.mode} />${c.percent ? " " + percent(c.percent / 100) : ""}${c.always ? html` <${Tag}>${t("control.always")}<//>` : ""}</span>`;

const knownHit = (c) => c.known_refused + c.known_would;

const controlColumns = () => [
  { title: t("control"), main: true, cell: (c) => html`<a href=${to("policy", [c.name])}><${Code} plain>${c.name}<//></a>` },
  { title: t("mode"), cell: (c) => html`<${Mode} of=${c} />` },
  { title: t("control.allowed"), num: true, cell: (c) => html`<${Count} n=${c.allowed} />` },
  { title: t("control.refused"), num: true, cell: (c) => html`<${Count} n=${c.refused} />` },
  { title: t("control.would"), num: true, cell: (c) => html`<${Count} n=${c.would_refuse} />` },
  { title: t("control.known"), num: true, cell: (c) => (knownHit(c) ? html`<${Tag} tone="warn">${number(knownHit(c))}<//>` : html`<${Count} n=${0} />`) },
  { title: t("exceptions"), num: true, cell: (c) => html`<${Count} n=${c.exceptions || 0} />` },
  { title: t("control.cost"), num: true, cell: (c) => t("micros", { n: number(c.cost_micros, 1) }) },
];

function PolicyHome() {
  const controls = useGet("/policy/controls", {}, { every: 10 });
  const policy = useGet("/policy");
  return html`<${Heading} title=${t("page.policy")}>${policy.data?.glass
      ? html`<${Button} op="end-break-glass" kind="primary" onClick=${wholeGlass}>${t("glass.end")}<//>`
      : html`<${Button} op="break-glass" kind="danger-text" onClick=${breakGlass}>${t("glass.break")}<//>`}<//>
    <${Rollout} controls=${controls.data?.items || []} />
    <${Panel} id="controls" title=${t("controls")} className="flush"><${Answer} of=${controls}>${(page) => html`<${Rows} label=${t("controls")} columns=${controlColumns()} rows=${page.items} id=${(c) => c.name} />`}<//><//>
    <${Exceptions} />
    <div class="columns"><${Revisions} /><${Answer} of=${policy}>${(p) => html`<${Panel} id="document" title=${t("policy.document")} actions=${html`<${Copy} text=${p.document} /><a class="button" href=${to("policy", ["text"])}>${t(may("set-policy") ? "policy.edit" : "policy.text")}</a>`}>
      <${Facts} of=${[[t("policy.revision"), "r" + p.revision], [t("policy.preset"), p.preset]]} /><pre dir="ltr" lang="en" tabindex="0"><code>${p.document}</code></pre><//>`}<//></div>`;
}

/** The five steps in which security is put into service; each says what is done and what is missing. */
function Rollout({ controls }) {
  const crypto = useGet("/crypto");
  const status = useGet("/status");
  const steps = useGet("/rollout", {}, { every: 30 });
  if (!controls.length || !status.data) return null;
  const movable = controls.filter((c) => !c.always);
  const share = (list) => [list.filter((c) => c.mode === "enforce" && !c.percent).length, list.length];
  const watched = movable.filter((c) => c.mode !== "off").length;
  const suites = (crypto.data?.inventory.suites || []);
  const sessions = status.data.users;
  const of = [
    [t("step.1"), watched, movable.length, t("step.1.note", { n: watched, all: movable.length })],
    [t("step.2"), suites.filter((s) => s.on).length, suites.length, t("step.2.note", { n: suites.filter((s) => s.on).length })],
    [t("step.3"), ...share(movable.filter((c) => /^(access|geo)\./.test(c.name))), null],
    [t("step.4"), ...share(movable.filter((c) => /\.(user|key)$/.test(c.name))), null],
    [t("step.5"), ...share(movable), null],
  ];
  const ready = (steps.data?.items || []).filter((s) => s.next && !s.waits && s.mode !== "off");
  return html`<${Panel} id="rollout" title=${t("rollout")}><ol class="steps">${of.map(([name, done, all, note], i) => html`<li key=${i} class=${all && done === all ? "done" : ""}>
      <strong>${name}</strong><${Bar} value=${done} max=${all || 1} label=${name} /><span class="sub">${note || t("step.note", { n: done, all })}</span></li>`)}</ol>
    <p>${ready.length ? html`${t("rollout.ready")} ${ready.map((s) => html`<a key=${s.control} class="pair" href=${to("policy", [s.control])}><${Code} plain>${s.control} → ${s.next}<//></a> `)}` : t("rollout.wait", { n: sessions })}</p><//>`;
}

function Control({ name }) {
  const controls = useGet("/policy/controls", {}, { every: 10 });
  const steps = useGet("/rollout", {}, { every: 10 });
  const [since, choose] = useState("24h");
  const preview = useGet("/policy/preview", {}, { body: { control: name, mode: "enforce", since } });
  const step = steps.data?.items.find((s) => s.control === name);
  return html`<${Answer} of=${controls}>${(page) => {
    const c = page.items.find((one) => one.name === name);
    if (!c) return html`<${Heading} back=${{ href: to("policy"), label: t("page.policy") }} title=${html`<${Code} plain>${name}<//>`} /><p>${t("page.none")}</p>`;
    return html`<${Heading} back=${{ href: to("policy"), label: t("page.policy") }} title=${html`<${Code} plain>${name}<//>`}>
      ${!c.always && html`${step && c.mode !== "off" && html`<${Button} op="step-control-back" onClick=${() => stageBack(name, c)}>${t("rollout.back")}<//>`}
        <${Button} op="set-control" onClick=${() => setMode(c)}>${t("mode.set")}<//>
        ${step?.next && html`<${Button} op="advance-control" kind="primary" onClick=${() => nextStage(name, step, c)}>${t("rollout.next", { stage: step.next })}<//>`}`}<//>
    <div class="columns"><${Panel} id="now" title=${t("control.now")}><${Facts} of=${[
      [t("mode"), html`<${Mode} of=${c} />`],
      [t("control.allowed"), number(c.allowed)], [t("control.refused"), number(c.refused)], [t("control.would"), number(c.would_refuse)],
      [t("control.known"), number(knownHit(c))],
      [t("control.cost"), t("micros", { n: number(c.cost_micros, 2) })],
      step && [t("stage.since"), html`<${Time} at=${step.since} />`],
      step && [t("stage.decisions"), number(step.decisions)],
      step?.next && [t("stage.next"), html`<${Code} plain>${step.next}<//>`],
      step && [t("stage.gate"), step.waits ? html`<${Said}>${step.waits}<//>` : html`<${Tag} tone="ok">${t("stage.open")}<//>`],
    ]} /><//>
    <${Panel} id="preview" title=${t("preview")} actions=${html`<label><span class="hidden">${t("preview.since")}</span><select onChange=${(e) => choose(e.target.value)}>${["1h", "24h", "7d"].map((r) => html`<option key=${r} value=${r} selected=${r === since}>${t("range." + r)}</option>`)}</select></label>`}>
      <${Answer} of=${preview}>${(report) => html`<${Effect} report=${report} name=${name} />`}<//><//></div>`;
  }}<//>`;
}

/** What enforcing would have done to the connections that came lately. */
function Effect({ report, name }) {
  const c = report.controls.find((one) => one.control === name);
  if (report.not_judged?.includes(name) || !c) return html`<p>${t("preview.not")}</p>`;
  return html`<dl class="numbers">${[[t("preview.connections"), report.connections], [t("preview.refused"), c.refused], [t("preview.addresses"), c.addresses], [t("preview.known"), c.known_refused], [t("preview.users"), c.users_refused]].map(([label, n]) => html`<div key=${label}><dt>${label}</dt><dd>${number(n)}</dd></div>`)}</dl>
    ${c.users?.length > 0 && html`<p>${c.users.slice(0, 12).map((u) => html`<a key=${u.user} class="pair" href=${to("users", [u.user])}><${Name}>${u.user}<//> ${number(u.refused)}</a> `)}</p>`}
    ${report.connections > 0 && html`<p class="sub">${t("preview.span", { from: time(report.from), to: time(report.to) })}</p>`}
    ${(report.notes || []).map((note) => html`<p key=${note} class="sub"><${Said}>${note}<//></p>`)}`;
}

function Ahead({ body }) {
  const preview = useGet("/policy/preview", {}, { body });
  return html`<section class="preview"><h3>${t("preview")}</h3><${Answer} of=${preview}>${(r) => html`<${Effect} report=${r} name=${body.control} />`}<//></section>`;
}

const was = (c) => ({ method: "PATCH", url: path`/policy/controls/${c.name}`, body: { mode: c.mode, percent: c.percent || undefined } });

// What bites more reverts by itself, unless somebody keeps it.
const trial = (mode) => (mode === "enforce" ? { revert_after: trialTime } : {});

function nextStage(name, step, c) {
  const [mode, share] = step.next.split(" ");
  propose({
    title: t("rollout.next", { stage: step.next }), verb: t("rollout.do"), reason: "required", note: mode === "enforce" ? t("trial.note") : undefined,
    make: () => ({ method: "POST", url: path`/rollout/${name}/next`, query: trial(mode) }),
    more: () => html`<${Ahead} body=${{ control: name, mode, percent: parseInt(share) || undefined }} />`,
    undo: () => was(c),
  });
}

function stageBack(name, c) {
  propose({
    title: t("rollout.back"), verb: t("rollout.back"), reason: "optional",
    make: () => ({ method: "POST", url: path`/rollout/${name}/back` }),
    undo: c.mode === "enforce" ? () => ({ ...was(c), query: trial("enforce") }) : () => was(c),
  });
}

function setMode(c) {
  propose({
    edits: true, title: t("mode.set"), verb: t("do.save"), reason: "required", note: t("trial.note"),
    fields: [
      { name: "mode", label: t("mode"), kind: "select", options: ["off", "monitor", "enforce"].map((m) => [m, t("state." + m)]) },
      { name: "percent", label: t("mode.percent"), kind: "number", min: 1, max: 100, when: (v) => v.mode === "enforce" },
    ],
    values: { mode: c.mode, percent: c.percent || 100 },
    make: (v) => ({ method: "PATCH", url: path`/policy/controls/${c.name}`, query: trial(v.mode), body: { mode: v.mode, percent: v.mode === "enforce" && Number(v.percent) < 100 ? Number(v.percent) : undefined } }),
    more: (v) => v.mode === "enforce" && html`<${Ahead} body=${{ control: c.name, mode: "enforce", percent: Number(v.percent) < 100 ? Number(v.percent) : undefined }} />`,
    undo: () => was(c),
  });
}

function breakGlass() {
  propose({
    title: t("glass.break"), verb: t("glass.break"), danger: true, reason: "required", note: t("glass.note"),
    fields: [{ name: "for", label: t("incident.for"), code: true, placeholder: "4h", note: t("span.note") }],
    make: (v) => ({ method: "POST", url: "/policy/break-glass", body: v.for ? { for: v.for } : {} }),
    undo: () => ({ method: "DELETE", url: "/policy/break-glass" }),
  });
}

function wholeGlass() {
  propose({ title: t("glass.end"), verb: t("glass.end"), reason: "optional", make: () => ({ method: "DELETE", url: "/policy/break-glass" }) });
}

function Exceptions() {
  const remove = (e) => propose({
    title: t("exception.remove"), verb: t("do.remove"), reason: "optional",
    make: () => ({ method: "DELETE", url: path`/policy/exceptions/${e.id}`, revision: e.revision }),
    undo: () => ({ method: "POST", url: "/policy/exceptions", body: { controls: e.controls, prefix: e.prefix, user: e.user, country: e.country, until: e.until } }),
  });
  const add = () => propose({
    title: t("exception.add"), verb: t("user.add.do"), reason: "required",
    fields: [
      { name: "control", label: t("control"), required: true, code: true },
      { name: "user", label: t("user"), note: t("exception.note") },
      { name: "prefix", label: t("address"), code: true },
      { name: "until", label: t("exception.until"), kind: "date", required: true },
    ],
    make: (v) => ({ method: "POST", url: "/policy/exceptions", body: { controls: v.control.split(/[\s,]+/).filter(Boolean), user: v.user || undefined, prefix: v.prefix || undefined, until: v.until + "T00:00:00Z" } }),
    undo: (result) => ({ method: "DELETE", url: path`/policy/exceptions/${result.exception.id}` }),
  });
  return html`<${Panel} id="exceptions" title=${t("exceptions")} className="flush" actions=${html`<${Button} op="add-exception" onClick=${add}>${t("exception.add")}<//>`}>
    <${Paged} label=${t("exceptions")} url="/policy/exceptions" pages=${false} id=${(e) => e.id} empty=${t("exceptions.none")} columns=${[
      { title: t("control"), main: true, cell: (e) => html`<${Code} plain>${e.controls.join(", ")}<//>` },
      { title: t("exception.who"), cell: (e) => html`<span>${e.user && html`<${Name}>${e.user}<//> `}${e.prefix && html`<${Code}>${e.prefix}<//> `}${e.country}</span>` },
      { title: t("state"), cell: (e) => html`<${State} of=${e.state} />` },
      { title: t("exception.until"), cell: (e) => html`<${Time} at=${e.until} />` },
      { title: t("hits"), num: true, cell: (e) => html`<${Count} n=${e.hits} />` },
      { title: t("reason"), wide: true, cell: (e) => html`<span><${Name}>${e.reason}<//><span class="sub"><${Name}>${e.owner}<//></span></span>` },
      { title: "", op: "remove-exception", cell: (e) => html`<${Button} kind="danger-text" label=${t("exception.remove") + ": " + e.controls.join(", ")} onClick=${() => remove(e)}>${t("do.remove")}<//>` },
    ]} /><//>`;
}

function Revisions() {
  const policy = useGet("/policy");
  const current = policy.data?.revision ?? 0;
  const rollBack = (revision) => propose({
    wide: true, title: t("policy.rollback", { revision: "r" + revision }), verb: t("policy.rollback.do"), reason: "required", note: t("trial.note"),
    make: () => ({ method: "POST", url: "/policy/rollback", body: { revision }, query: trial("enforce") }),
    more: () => html`<${Difference} from=${current} to=${revision} />`,
    undo: () => ({ method: "POST", url: "/policy/rollback", body: { revision: current } }),
  });
  return html`<${Panel} id="revisions" title=${t("policy.history")} className="flush"><${Paged} label=${t("policy.history")} url="/policy/history" size=${10} id=${(p) => p.revision} empty=${t("policy.none")} columns=${[
    { title: t("policy.revision"), main: true, cell: (p) => html`r${p.revision}${p.revision === current ? html` <${Tag} tone="ok">${t("state.in force")}<//>` : ""}` },
    { title: t("time"), cell: (p) => html`<${Time} at=${p.at} />` },
    { title: t("by"), cell: (p) => html`<span><${Name}>${p.actor}<//><span class="sub"><${Name}>${p.reason}<//></span></span>` },
    { title: "", op: "roll-back-policy", cell: (p) => p.revision !== current && html`<${Button} label=${t("policy.rollback", { revision: "r" + p.revision })} onClick=${() => rollBack(p.revision)}>${t("policy.rollback.do")}<//>` },
  ]} /><//>`;
}

/** Values that differ: {path, was, value, loosens}. */
export const valueColumns = () => [
  { title: t("value"), main: true, cell: (v) => html`<${Code} plain>${v.path}<//>` },
  { title: t("value.was"), cell: (v) => html`<${Code}>${v.was || "–"}<//>` },
  { title: t("value.is"), cell: (v) => html`<${Code}>${v.value || "–"}<//>${v.loosens ? html` <${Tag} tone="warn">${t("value.loosens")}<//>` : ""}` },
];

export function Difference({ from, to }) {
  const diff = useGet("/policy/diff", { from, to });
  return html`<${Answer} of=${diff}>${(page) => html`<${Rows} label=${t("policy.diff")} rows=${page.items} id=${(v) => v.path} columns=${valueColumns()} />`}<//>`;
}
