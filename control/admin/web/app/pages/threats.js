// Incidents: what happened, what was done, and what somebody decides about it.
import { html, useState } from "../html.js";
import { useGet, path } from "../api.js";
import { Heading, Panel, Answer, Facts, Name, Code, State, Count, Time, Button, Tabs, Tile, Said } from "../ui.js";
import { Paged, Rows } from "../table.js";
import { propose } from "../dialog.js";
import { t, number, word } from "../i18n.js";
import { to } from "../router.js";

export const Threats = ({ route }) => (route.args[0] ? html`<${Incident} key=${route.args[0]} id=${route.args[0]} />` : html`<${IncidentList} />`);

const incidentStates = ["open", "acknowledged", "contained", "resolved", "false-positive", ""];

const incidentColumns = () => [
  { title: t("incident"), main: true, cell: (i) => html`<a href=${to("threats", [i.id])}>${i.detector}</a> <${Code}>${i.subject}<//>` },
  { title: t("severity"), cell: (i) => html`<${State} of=${i.severity} />` },
  { title: t("state"), cell: (i) => html`<${State} of=${i.state} />` },
  { title: t("incident.count"), num: true, cell: (i) => number(i.count) },
  { title: t("incident.last"), cell: (i) => html`<${Time} at=${i.last} />` },
  { title: t("incident.action"), wide: true, cell: (i) => html`<${Said}>${i.action}<//>` },
];

function IncidentList() {
  const threat = useGet("/threat", {}, { every: 5 });
  const [state, choose] = useState("open");
  return html`<${Heading} title=${t("page.threats")} />
    <${Answer} of=${threat}>${(s) => html`<ul class="tiles">
      <${Tile} label=${t("threat.mode")} value=${word("state.", s.mode)} note=${t("threat.change")} href=${to("policy", ["threat.block"])} />
      <${Tile} label=${t("threat.suspects")} value=${number(s.suspects_now)} />
      <${Tile} label=${t("threat.blocked")} value=${number(s.blocked)} note=${t("threat.today", { n: s.blocks_today })} />
      <${Tile} label=${t("threat.would")} value=${number(s.would_block)} note=${t("threat.now", { n: s.blocked_now })} />
      <${Tile} label=${t("threat.hit")} value=${number(s.users_hit_today)} tone=${s.users_hit_today ? "bad" : ""} note=${t("threat.hit.note")} />
    </ul>`}<//>
    <${Panel} id="list" title=${t("incidents")} className="flush" actions=${html`<${Tabs} label=${t("state")} of=${incidentStates.map((s) => [s, s ? t("state." + s) : t("all")])} value=${state} onChange=${choose} />`}>
      <${Paged} label=${t("incidents")} url="/incidents" fields=${{ state }} columns=${incidentColumns()} id=${(i) => i.id} every=${10} empty=${t("incidents.none")} />
    <//>
    <${Findings} />`;
}

function Findings() {
  const last = useGet("/threat/findings", { limit: 20 }, { every: 10 });
  return html`<${Panel} id="findings" title=${t("threat.findings")} className="flush"><${Answer} of=${last}>${(page) => html`<${Rows} label=${t("threat.findings")} rows=${page.items} id=${(f) => f.time + f.conn + f.detector} empty=${t("threat.findings.none")} columns=${[
    { title: t("time"), cell: (f) => html`<${Time} at=${f.time} />` },
    { title: t("detector"), main: true, cell: (f) => f.detector },
    { title: t("address"), cell: (f) => html`<${Code}>${f.addr || "–"}<//>` },
    { title: t("points"), num: true, cell: (f) => number(f.points, 1) },
    { title: t("evidence"), wide: true, cell: (f) => html`<${Said}>${f.evidence}<//>` },
  ]} />`}<//><//>`;
}

const closed = ["resolved", "false-positive"];

function Incident({ id }) {
  const incident = useGet(path`/incidents/${id}`, {}, { every: 10 });
  return html`<${Answer} of=${incident}>${(i) => html`
    <${Heading} back=${{ href: to("threats"), label: t("page.threats") }} title=${html`${i.detector} <${Code}>${i.subject}<//>`}>
      ${!closed.includes(i.state) && html`
        ${i.state === "open" && html`<${Button} op="move-incident" onClick=${() => move(i, "acknowledged")}>${t("incident.acknowledge")}<//>`}
        <${Button} op="move-incident" onClick=${() => move(i, "contained")}>${t("incident.contain")}<//>
        <${Button} op="move-incident" onClick=${() => move(i, "false-positive")}>${t("incident.false")}<//>
        <${Button} op="move-incident" kind="primary" onClick=${() => move(i, "resolved")}>${t("incident.resolve")}<//>`}
    <//>
    <div class="columns">
      <${Panel} id="what" title=${t("incident.what")}><${Facts} of=${[
        [t("severity"), html`<${State} of=${i.severity} />`],
        [t("state"), html`<${State} of=${i.state} />`],
        [t("evidence"), html`<${Said}>${i.evidence}<//>`],
        [t("incident.action"), html`<${Said}>${i.action}<//>`],
        [t("incident.count"), number(i.count)],
        [t("user"), i.user && html`<a href=${to("users", [i.user])}><${Name}>${i.user}<//></a>`],
        [t("key"), i.key && html`<${Code}>${i.key}<//>`],
        [t("incident.opened"), html`<${Time} at=${i.opened} exact />`],
        [t("incident.last"), html`<${Time} at=${i.last} exact />`],
        [t("incident.closed"), i.closed && html`<${Time} at=${i.closed} exact />`],
      ]} /><//>
      <${Panel} id="timeline" title=${t("incident.timeline")}><ol class="lines">${(i.timeline || []).map((m) => html`<li key=${m.at + m.what}><${Said}>${m.what}<//><span class="sub"><${Time} at=${m.at} exact /> · <${Name}>${m.by}<//></span></li>`)}</ol><//>
    </div>
    ${i.similar?.length > 0 && html`<${Panel} id="similar" title=${t("incident.similar")} className="flush"><${Rows} label=${t("incident.similar")} columns=${incidentColumns()} rows=${i.similar} id=${(s) => s.id} /><//>`}`}<//>`;
}

const verbs = { acknowledged: "acknowledge", contained: "contain", resolved: "resolve", "false-positive": "false" };

function move(i, state) {
  const words = "incident." + verbs[state];
  const lasts = state === "contained" || state === "false-positive";
  propose({
    title: t(words), verb: t(words), reason: state === "acknowledged" ? "optional" : "required", danger: state === "contained",
    note: word("incident.note.", state),
    fields: lasts ? [{ name: "for", label: t("incident.for"), code: true, placeholder: state === "contained" ? "1d" : "30d", note: t("span.note") }] : [],
    make: (v) => ({ method: "POST", url: path`/incidents/${i.id}/${state}`, body: v.for ? { for: v.for } : {} }),
    undo: state === "contained" ? () => ({ method: "DELETE", url: "/blocks", query: { target: i.subject } })
      : state === "false-positive" ? (result) => result.exception && { method: "DELETE", url: path`/policy/exceptions/${result.exception.id}` } : undefined,
  });
}
