// What audits found, what is enforced to show for it, and the log of who did what.
import { html, useState } from "../html.js";
import { useGet, ask, path, query } from "../api.js";
import { Heading, Panel, Answer, Facts, Name, Code, State, Count, Time, Button, Tile, Tag, Said, Tabs, Failure } from "../ui.js";
import { Paged, Rows } from "../table.js";
import { propose } from "../dialog.js";
import { t, number, percent, word } from "../i18n.js";
import { to } from "../router.js";
import { tell } from "../bus.js";
import { may } from "../who.js";

export const Audit = ({ route }) => (route.args[0] ? html`<${Finding} key=${route.args[0]} id=${route.args[0]} />` : html`<${AuditHome} />`);

const severity = (f) => (f.unknown ? html`<${Tag}>${t("finding.unknown")}<//>` : html`<${State} of=${f.severity} />`);

function AuditHome() {
  const status = useGet("/status", {}, { every: 30 });
  const [running, run] = useState({});
  const [all, showAll] = useState("");
  const start = () => (run({ on: true }), ask("/audits", {}).then(() => (run({}), tell("changed")), (error) => run({ error })));
  const a = status.data?.audit;
  return html`<${Heading} title=${t("page.audit")}><${Button} op="run-audit" kind="primary" disabled=${running.on} onClick=${start}>${t(running.on ? "audit.running" : "audit.run")}<//><//>
    <${Failure} error=${running.error} />
    <ul class="tiles">
      <${Tile} label=${t("tile.posture")} value=${a ? number(a.score) : "–"} tone=${a?.high ? "bad" : "ok"} note=${t("audit.of")} />
      <${Tile} label=${t("audit.high")} value=${number(a?.high || 0)} tone=${a?.high ? "bad" : ""} />
      <${Tile} label=${t("audit.waiting")} value=${number(a?.waiting || 0)} />
      <${Tile} label=${t("audit.last")} value=${a?.last ? html`<${Time} at=${a.last} />` : "–"} note=${a?.next && html`${t("audit.next")} <${Time} at=${a.next} />`} />
    </ul>
    <${Panel} id="findings" title=${t("findings")} className="flush" actions=${html`<${Tabs} label=${t("state")} of=${[["", t("findings.open")], ["true", t("all")]]} value=${all} onChange=${showAll} />`}>
      <${Paged} label=${t("findings")} url="/audits/findings" size=${20} fields=${{ all }} id=${(f) => f.id} empty=${t("posture.clean")} columns=${[
        { title: t("finding"), main: true, cell: (f) => html`<a href=${to("audit", [f.id])}><${Said}>${f.title}<//></a><span class="sub"><${Code} plain>${f.subject}<//></span>` },
        { title: t("severity"), cell: severity },
        { title: t("state"), cell: (f) => html`<${State} of=${f.state} />` },
        { title: t("group"), cell: (f) => word("group.", f.group) },
        { title: t("finding.since"), cell: (f) => html`<${Time} at=${f.first_seen} />` },
        { title: t("finding.remedy"), wide: true, cell: (f) => html`<${Said}>${f.remedy}<//>` },
      ]} /><//>
    <${Compliance} /><${Reports} /><${Log} /><${Runs} />`;
}

function Finding({ id }) {
  const finding = useGet(path`/audits/findings/${id}`);
  return html`<${Answer} of=${finding}>${(f) => html`<${Heading} back=${{ href: to("audit"), label: t("page.audit") }} title=${html`<${Said}>${f.title}<//>`}>
      ${f.state !== "fixed" && html`<${Button} op="ack-finding" onClick=${() => say(f, "ack")}>${t("finding.ack")}<//><${Button} op="accept-finding" onClick=${() => say(f, "accept")}>${t("finding.accept")}<//>`}<//>
    <${Panel} id="what" title=${t("incident.what")}><${Facts} of=${[
      [t("severity"), severity(f)], [t("state"), html`<${State} of=${f.state} />`], [t("finding.subject"), html`<${Code}>${f.subject}<//>`],
      [t("evidence"), html`<${Said}>${f.evidence}<//>`], [t("finding.remedy"), f.remedy && html`<code dir="ltr" lang="en">${f.remedy}</code>`],
      [t("finding.check"), html`<${Code}>${f.check}<//>`], [t("finding.since"), html`<${Time} at=${f.first_seen} exact />`], [t("finding.seen"), html`<${Time} at=${f.last_seen} exact />`],
      [t("finding.returned"), f.returned && number(f.returned)], [t("by"), f.by && html`<${Name}>${f.by}<//>`], [t("reason"), f.reason && html`<${Name}>${f.reason}<//>`],
      [t("until"), f.until && html`<${Time} at=${f.until} exact />`],
    ]} /><//>`}<//>`;
}

function say(f, what) {
  propose({
    title: t("finding." + what), verb: t("finding." + what), reason: "required", note: t("finding." + what + ".note"),
    fields: [{ name: "until", label: t("until"), kind: "date", required: true }],
    make: (v) => ({ method: "POST", url: path`/audits/findings/${f.id}/${what}`, body: { until: v.until + "T00:00:00Z" } }),
  });
}

/** A file of the node, which the browser keeps: the cookie goes along, and nothing of it is shown here. */
const File = ({ op, href, children }) => may(op) && html`<a class="button" download href=${href}>${children}</a>`;

const reportKinds = ["compliance", "security", "usage"];

function Reports() {
  const [form, set] = useState({ kind: "compliance", profile: "baseline", days: 30 });
  const choice = (name, label, options) => html`<label>${label} <select onChange=${(e) => set({ ...form, [name]: e.target.value })}>${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === form[name]}>${text}</option>`)}</select></label>`;
  const since = new Date(Date.now() - form.days * 86400_000).toISOString();
  return html`<${Panel} id="reports" title=${t("reports")}><p class="note">${t("reports.note")}</p><div class="filters">
    ${choice("kind", t("report"), reportKinds.map((k) => [k, t("report." + k)]))}
    ${form.kind === "compliance" && choice("profile", t("report.profile"), ["baseline", "asvs", "host"].map((p) => [p, t("profile." + p)]))}
    ${choice("days", t("report.days"), [7, 30, 90].map((d) => [d, t("days", { n: d })]))}
    <span class="actions">${[["html", "HTML"], ["md", "Markdown"], ["json", "JSON"], ["csv", "CSV"]].map(([format, name]) => html`<${File} key=${format} op="get-report" href=${path`/api/v1/reports/${form.kind}` + query({ profile: form.kind === "compliance" && form.profile, since, format })}>${name}<//>`)}</span>
  </div><//>`;
}

/** What is configured, what is in force, and what shows that it is. */
function Compliance() {
  const controls = useGet("/policy/controls");
  const values = useGet("/policy/explain");
  const from = (name) => values.data?.items.find((v) => v.path.includes(`"${name}"`) || v.path === "controls." + name)?.origin;
  return html`<${Panel} id="compliance" title=${t("compliance")} className="flush"><p class="note">${t("compliance.note")}</p><${Answer} of=${controls}>${(page) => html`<${Rows} label=${t("compliance")} rows=${page.items} id=${(c) => c.name} columns=${[
    { title: t("control"), main: true, cell: (c) => html`<a href=${to("policy", [c.name])}><${Code} plain>${c.name}<//></a>` },
    { title: t("compliance.effective"), cell: (c) => html`<${State} of=${c.mode} />${c.percent ? " " + percent(c.percent / 100) : ""}` },
    { title: t("compliance.origin"), cell: (c) => html`<${Said}>${from(c.name) || "–"}<//>` },
    { title: t("compliance.evidence"), cell: (c) => t("compliance.decisions", { n: c.allowed + c.refused + c.would_refuse }) },
    { title: t("control.refused"), num: true, cell: (c) => html`<${Count} n=${c.refused} />` },
    { title: t("exceptions"), num: true, cell: (c) => html`<${Count} n=${c.exceptions || 0} />` },
  ]} />`}<//><//>`;
}

function Log() {
  const [report, set] = useState(null);
  const verify = () => (set({ on: true }), ask("/auditlog/verify").then((r) => set({ r }), (error) => set({ error })));
  return html`<${Panel} id="log" title=${t("log")} className="flush" actions=${html`<${Button} disabled=${report?.on} onClick=${verify}>${t("log.verify")}<//><${File} op="export-audit-log" href="/api/v1/auditlog/export">${t("log.export")}<//>`}>
    <div role="status">${report?.r && html`<p class="note">${report.r.ok ? html`<${Tag} tone="ok">${t("log.whole")}<//> ${t("log.rows", { n: report.r.rows, signed: report.r.witnessed })}` : html`<${Tag} tone="bad">${t("log.broken")}<//> <${Said}>${report.r.problem}<//>`}</p>`}</div>
    <${Failure} error=${report?.error} />
    ${may("list-audit-rows") && html`<${Paged} label=${t("log")} url="/auditlog" newest size=${20} every=${30} id=${(r) => r.seq} empty=${t("key.none")} columns=${[
      { title: t("time"), cell: (r) => html`<${Time} at=${r.time} />` },
      { title: t("log.action"), main: true, cell: (r) => html`<${Code} plain>${r.action}<//> ${r.object && html`<${Name}>${r.object}<//>`}` },
      { title: t("by"), cell: (r) => html`<${Name}>${r.actor}<//>` },
      { title: t("log.outcome"), cell: (r) => html`<${State} of=${r.outcome} />` },
      { title: t("reason"), wide: true, cell: (r) => html`<${Name}>${r.reason}<//>` },
    ]} />`}<//>`;
}

const Runs = () => html`<${Panel} id="runs" title=${t("audit.runs")} className="flush"><${Paged} label=${t("audit.runs")} url="/audits" size=${10} id=${(a) => a.number} empty=${t("posture.never")} columns=${[
  { title: t("time"), main: true, cell: (a) => html`<${Time} at=${a.started} exact />` },
  { title: t("by"), cell: (a) => html`<${Name}>${a.actor}<//>` },
  { title: t("audit.checks"), num: true, cell: (a) => number(a.asked) },
  { title: t("tile.posture"), num: true, cell: (a) => number(a.score) },
  { title: t("findings"), cell: (a) => Object.entries(a.counts).map(([s, n]) => html`<span key=${s} class="pair"><${State} of=${s} /> ${number(n)} </span>`) },
]} /><//>`;
