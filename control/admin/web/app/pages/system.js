// The node itself: what runs, what it is made of, what is configured and why.
import { html, useState } from "../html.js";
import { useGet, ask } from "../api.js";
import { Heading, Panel, Answer, Facts, Code, State, Count, Time, Button, Tag, Said, Name, Failure } from "../ui.js";
import { Rows } from "../table.js";
import { t, number, time } from "../i18n.js";
import { tell } from "../bus.js";

export function System() {
  const status = useGet("/status", {}, { every: 10 });
  return html`<${Heading} title=${t("page.system")} />
    <div class="columns"><${Panel} id="node" title=${t("system.node")}><${Answer} of=${status}>${(s) => html`<${Facts} of=${[
      [t("system.version"), html`<${Code}>${s.version}<//>`],
      [t("system.started"), html`<${Time} at=${s.started} exact />`],
      [t("system.listening"), html`<${Code}>${s.listening.join(" ")}<//>`],
      [t("tile.connections"), number(s.connections)],
      [t("system.revision"), number(s.revision)],
      [t("system.master"), html`<${Code} plain>${s.master_key}<//>`],
      [t("system.backup"), html`<${Time} at=${s.last_backup} />`],
      [t("log"), t("log.rows", { n: s.audit_rows, signed: s.audit_signed })],
      [t("warn.config"), s.config_error && html`<${Said}>${s.config_error}<//>`],
    ]} />`}<//><//><${Crypto} /></div>
    <${Alerts} /><${Values} />`;
}

function Crypto() {
  const crypto = useGet("/crypto");
  const [state, set] = useState({});
  const check = () => (set({ on: true }), ask("/crypto/check").then(() => (set({}), tell("changed")), (error) => set({ error })));
  return html`<${Panel} id="crypto" title=${t("system.crypto")} actions=${html`<${Button} op="check-crypto" disabled=${state.on} onClick=${check}>${t("system.check")}<//>`}><${Failure} error=${state.error} /><${Answer} of=${crypto}>${(c) => html`
    <${Facts} of=${[
      ["Go", html`<${Code}>${c.inventory.go}<//>`],
      ["TLS", html`<${Code} plain>${c.inventory.tls.least}+<//>`],
      ["FIPS 140", t(c.inventory.fips.enabled ? "yes" : "no")],
      [t("system.suites"), c.inventory.suites.map((s) => html`<${Tag} key=${s.name} tone=${s.on ? "ok" : ""}><${Code} plain>${s.name}<//><//> `)],
      [t("system.modules"), t("system.modules.n", { n: c.inventory.modules.length, crypto: c.inventory.modules.filter((m) => m.crypto).length })],
      [t("system.checked"), c.last ? html`<span><${State} of=${c.last.verdict} /> <${Time} at=${c.last.time} /></span>` : t("never")],
    ]} />
    ${c.last?.findings?.length > 0 && html`<ul class="lines">${c.last.findings.map((f) => html`<li key=${f}><${Said}>${f}<//></li>`)}</ul>`}`}<//><//>`;
}

function Alerts() {
  const alerts = useGet("/alerts", {}, { every: 30 });
  return html`<${Panel} id="alerts" title=${t("alerts")} className="flush"><${Answer} of=${alerts}>${(r) => html`
    ${r.alerts.length === 0 ? html`<p class="empty">${t("alerts.none")}</p>` : html`<${Rows} label=${t("alerts")} rows=${r.alerts} id=${(a) => a.id} columns=${[
      { title: t("alert"), main: true, cell: (a) => html`<${Said}>${a.title}<//><span class="sub"><${Said}>${a.detail}<//></span>` },
      { title: t("severity"), cell: (a) => html`<${State} of=${a.severity} />` },
      { title: t("state"), cell: (a) => html`<${State} of=${a.state} />` },
      { title: t("time"), cell: (a) => html`<${Time} at=${a.since} />` },
      { title: t("finding.remedy"), wide: true, cell: (a) => html`<${Said}>${a.fix}<//>` },
    ]} />`}
    ${r.receivers.length === 0 ? html`<p class="note">${t("receivers.none")} <code dir="ltr">[[alert]]</code></p>` : html`<${Rows} label=${t("receivers")} rows=${r.receivers} id=${(x) => x.name} columns=${[
      { title: t("receiver"), main: true, cell: (x) => html`<${Name}>${x.name}<//><span class="sub"><${Code} plain>${x.kind} ${x.target}<//></span>` },
      { title: t("receiver.delivered"), num: true, cell: (x) => html`<${Count} n=${x.delivered} />` },
      { title: t("receiver.waiting"), num: true, cell: (x) => html`<${Count} n=${x.waiting} />` },
      { title: t("receiver.problem"), cell: (x) => html`<${Said}>${x.problem || "–"}<//>` },
    ]} />`}`}<//><//>`;
}

function Values() {
  const values = useGet("/policy/explain");
  const [find, set] = useState("");
  return html`<${Panel} id="values" title=${t("system.values")} className="flush" actions=${html`<label>${t("system.find")} <input type="search" value=${find} onInput=${(e) => set(e.target.value)} /></label>`}>
    <${Answer} of=${values}>${(page) => html`<${Rows} label=${t("system.values")} rows=${page.items.filter((v) => v.path.includes(find.trim()))} id=${(v) => v.path} columns=${[
      { title: t("value"), main: true, cell: (v) => html`<${Code} plain>${v.path}<//>` },
      { title: t("value.is"), wide: true, cell: (v) => html`<${Code}>${v.value}<//>` },
      { title: t("compliance.origin"), cell: (v) => html`<${Said}>${v.origin}<//>` },
    ]} />`}<//><//>`;
}
