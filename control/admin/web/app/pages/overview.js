// The node at a glance.
import { html, useState, useMemo } from "../html.js";
import { useGet } from "../api.js";
import { Heading, Panel, Tile, Answer, Tabs, Empty, State, Code, Said, Time, Tag, Failure, useTold } from "../ui.js";
import { Chart } from "../chart.js";
import { ranges, useHistory } from "../history.js";
import { t, number, bytes } from "../i18n.js";
import { to } from "../router.js";
import { setting, keep } from "../bus.js";
import { samples } from "../live.js";

export function Overview() {
  const status = useGet("/status", {}, { every: 5 });
  const controls = useGet("/policy/controls", {}, { every: 5 });
  return html`<${Heading} title=${t("page.overview")} />
    <${Answer} of=${status}>${(s) => html`<${Warnings} status=${s} /><${Tiles} status=${s} controls=${controls.data?.items} />`}<//>
    <${Charts} />
    <div class="columns"><${Incidents} /><${Posture} status=${status.data} /></div>`;
}

/** What somebody has to know before all the rest. */
function Warnings({ status: s }) {
  const all = [
    s.draining && [t("warn.draining")],
    s.clock_held && [t("warn.clock"), s.clock_held],
    s.config_error && [t("warn.config"), s.config_error],
    s.glass && [t("warn.glass"), null, html`<${Time} at=${s.glass} />`],
    ...(s.crypto?.findings || []).map((text) => [t("warn.crypto"), text]),
  ].filter(Boolean);
  return all.length > 0 && html`<ul class="warnings">${all.map(([what, said, more]) => html`<li key=${what + said}><strong>${what}</strong> ${said && html`<${Said}>${said}<//>`} ${more}</li>`)}</ul>`;
}

const sum = (controls, field) => controls.reduce((n, c) => n + c[field], 0);

function Tiles({ status: s, controls }) {
  useTold("sample");
  const now = samples[samples.length - 1];
  const audit = s.audit;
  return html`<ul class="tiles">
    <${Tile} label=${t("tile.connections")} value=${number(now?.open ?? s.connections)} note=${t("tile.sessions", { n: s.sessions })} />
    <${Tile} label=${t("tile.handshakes")} value=${now ? number(now.served, 1) : "…"} note=${t("tile.persecond")} />
    <${Tile} label=${t("tile.users")} value=${number(s.serving)} note=${t("tile.users.of", { n: s.users })} href=${to("users")} />
    <${Tile} label=${t("tile.blocked")} value=${controls ? number(sum(controls, "refused")) : "…"} note=${t("tile.since", { n: controls?.filter((c) => c.mode === "enforce" && !c.always).length ?? 0 })} href=${to("policy")} />
    <${Tile} label=${t("tile.would")} value=${controls ? number(sum(controls, "would_refuse")) : "…"} note=${t("tile.monitoring", { n: controls?.filter((c) => c.mode === "monitor").length ?? 0 })} href=${to("policy")} />
    <${Tile} label=${t("tile.posture")} value=${audit ? number(audit.score) : "–"} tone=${audit?.high ? "bad" : ""} note=${audit ? t("tile.waiting", { n: audit.waiting }) : t("tile.unaudited")} href=${to("audit")} />
  </ul>`;
}

function Charts() {
  const [range, setRange] = useState(setting("range", "15m"));
  const choose = (r) => (keep("range", r), setRange(r));
  const history = useHistory(range);
  const decided = useMemo(() => [
    { label: t("series.handshakes"), colour: "accent", dash: "solid", values: history.of("served") },
    { label: t("series.blocked"), colour: "bad", dash: "dash", values: history.of("refused") },
    { label: t("series.would"), colour: "warn", dash: "dot", values: history.of("would") },
  ], [history]);
  const traffic = useMemo(() => [
    { label: t("series.down"), colour: "accent", values: history.of("down"), fill: true },
    { label: t("series.up"), colour: "ok", dash: "dash", values: history.of("up") },
  ], [history]);
  const note = history.error && history.error.status !== 404 ? html`<${Failure} error=${history.error} />` : t("chart.none");
  return html`<section class="panel">
    <${Chart} title=${t("chart.decided")} times=${history.times} series=${decided} marks=${history.marks} note=${note}
      actions=${html`<${Tabs} label=${t("chart.range")} of=${ranges.map(([r]) => [r, t("range." + r)])} value=${range} onChange=${choose} />`} />
    <${Chart} title=${t("chart.traffic")} times=${history.times} series=${traffic} least=${1000} format=${(v) => t("per.second", { what: bytes(v) })} tick=${(v) => (v ? bytes(v) : number(0))} note=${note} />
  </section>`;
}

function Incidents() {
  const open = useGet("/incidents", { state: "open", limit: 5 }, { every: 10 });
  return html`<${Panel} id="incidents" title=${t("incidents.open")} actions=${html`<a href=${to("threats")}>${t("do.all")}</a>`}>
    <${Answer} of=${open}>${(page) => page.items.length === 0 ? html`<${Empty}>${t("incidents.none")}<//>` : html`<ul class="lines">
      ${page.items.map((i) => html`<li key=${i.id}><a href=${to("threats", [i.id])}><${State} of=${i.severity} /> <strong>${i.detector}</strong> <${Code}>${i.subject}<//>
        <span class="sub">${t("incidents.findings", { n: i.count })} · <${Time} at=${i.last} /></span></a></li>`)}
    </ul>`}<//>
  <//>`;
}

function Posture({ status }) {
  const findings = useGet("/audits/findings", { limit: 5 }, { every: 60 });
  return html`<${Panel} id="posture" title=${t("posture")} actions=${html`<a href=${to("audit")}>${t("do.all")}</a>`}>
    ${status && !status.audit && html`<p>${t("posture.never")}</p>`}
    <${Answer} of=${findings}>${(page) => page.items.length === 0 ? html`<${Empty}>${t("posture.clean")}<//>` : html`<ul class="lines">
      ${page.items.map((f) => html`<li key=${f.id}><a href=${to("audit", [f.id])}>${f.unknown ? html`<${Tag}>${t("finding.unknown")}<//>` : html`<${State} of=${f.severity} />`} <${Said}>${f.title}<//>
        <span class="sub"><${Code} plain>${f.subject}<//></span></a></li>`)}
    </ul>`}<//>
  <//>`;
}
