// Who may come from where: rules, blocks, lists, and what would become of an address.
import { html, useState } from "../html.js";
import { useGet, path } from "../api.js";
import { Heading, Panel, Answer, Facts, Name, Code, State, Level, Count, Time, Button, Tag, Said } from "../ui.js";
import { Paged, Rows } from "../table.js";
import { propose } from "../dialog.js";
import { t, number, word } from "../i18n.js";
import { levelField } from "./users.js";

export function Access() {
  return html`<${Heading} title=${t("page.access")}><${Button} op="add-rule" onClick=${addRule}>${t("rule.add")}<//><${Button} op="block" kind="primary" onClick=${() => block()}>${t("block.add")}<//><//>
    <${Check} /><${Blocks} /><${RulesPanel} /><${Lists} />`;
}

function Check() {
  const [typed, type] = useState("");
  const [asked, ask] = useState("");
  const access = useGet(asked ? "/access/check" : null, { addr: asked });
  const limits = useGet(asked ? "/limits/check" : null, { addr: asked });
  const submit = (event) => (event.preventDefault(), ask(typed.trim()));
  return html`<${Panel} id="check" title=${t("check")}>
    <form class="filters" role="search" onSubmit=${submit}><label>${t("address")} <input type="search" dir="ltr" required value=${typed} onInput=${(e) => type(e.target.value)} placeholder="203.0.113.7" /></label><${Button} type="submit">${t("check.do")}<//></form>
    ${asked && html`<div class="columns"><${Answer} of=${access}>${(r) => html`<div><${Facts} of=${[
        [t("check.outcome"), html`<${Said}>${r.outcome}<//>`], [t("level"), html`<${Level} of=${r.level} />`], [t("control"), r.control && html`<${Code} plain>${r.control}<//>`],
        [t("check.country"), r.country], ["ASN", r.asn && number(r.asn)],
      ]} /><ol class="lines">${r.considered.map((c) => html`<li key=${c.rule}>${c.decides && html`<${Tag} tone="info">${t("check.decides")}<//> `}<${Code}>${c.match || c.rule}<//> <${Level} of=${c.level} /><span class="sub"><${Said}>${c.why}<//></span></li>`)}</ol></div>`}<//>
    <${Answer} of=${limits}>${(page) => html`<${Rows} label=${t("limits")} rows=${page.items} id=${(l) => l.control + l.of} columns=${[
      { title: t("control"), main: true, cell: (l) => html`<${Code} plain>${l.control}<//>` },
      { title: t("mode"), cell: (l) => html`<${State} of=${l.mode} />` },
      { title: t("limit"), cell: (l) => html`<${Code} plain>${l.limit}<//>` },
      { title: t("limit.left"), num: true, cell: (l) => (l.left < 0 ? "∞" : number(l.left)) },
    ]} />`}<//></div>
    <p><${Button} op="block" onClick=${() => block(asked)}>${t("block.this")}<//></p>`}<//>`;
}

function block(target = "") {
  propose({
    title: t("block.add"), verb: t("block.do"), danger: true, reason: "required",
    fields: [
      { name: "target", label: t("rule.match"), required: true, code: true, note: t("rule.match.note") },
      { name: "for", label: t("incident.for"), code: true, placeholder: "1h", note: t("span.note") },
    ],
    values: { target },
    make: (v) => ({ method: "POST", url: "/blocks", body: { target: v.target, for: v.for || undefined } }),
    undo: (result, v) => ({ method: "DELETE", url: "/blocks", query: { target: v.target } }),
  });
}

function unblock(target) {
  propose({
    title: t("block.undo"), verb: t("block.undo"), reason: "optional",
    make: () => ({ method: "DELETE", url: "/blocks", query: { target } }),
    undo: () => ({ method: "POST", url: "/blocks", body: { target } }),
  });
}

function Blocks() {
  const blocked = useGet("/blocks", {}, { every: 10 });
  return html`<${Panel} id="blocks" title=${t("blocks")} className="flush"><${Answer} of=${blocked}>${(b) => html`
    ${b.suspended && html`<p class="note"><${Said}>${b.suspended}<//></p>`}
    ${!b.prefixes?.length ? html`<p class="empty">${t("blocks.none")}</p>` : html`<${Rows} label=${t("blocks")} rows=${b.prefixes.slice(0, 200)} id=${(p) => p.prefix} columns=${[
      { title: t("address"), main: true, cell: (p) => html`<${Code}>${p.prefix}<//>` },
      { title: t("source"), cell: (p) => word("source.", p.source) },
      { title: t("until"), cell: (p) => (p.until ? html`<${Time} at=${p.until} />` : t("never")) },
      { title: "", op: "unblock", cell: (p) => html`<${Button} label=${t("block.undo") + ": " + p.prefix} onClick=${() => unblock(p.prefix)}>${t("block.undo")}<//>` },
    ]} />${b.prefixes.length > 200 && html`<p class="note">${t("blocks.more", { n: b.prefixes.length - 200 })}</p>`}`}`}<//><//>`;
}

function addRule() {
  propose({
    title: t("rule.add"), verb: t("user.add.do"), reason: "optional",
    fields: [
      { name: "match", label: t("rule.match"), required: true, code: true, note: t("rule.match.note") },
      levelField(),
      { name: "until", label: t("until"), kind: "date", note: t("user.expires.note") },
      { name: "schedule", label: t("rule.schedule"), code: true, placeholder: "mon-fri 08:00-18:00 UTC" },
      { name: "pinned", label: t("rule.pinned"), kind: "check", note: t("rule.pinned.note") },
    ],
    values: { level: "none" },
    make: (v) => ({ method: "POST", url: "/access-rules", body: { match: v.match, level: v.level, until: v.until ? v.until + "T00:00:00Z" : undefined, schedule: v.schedule || undefined, pinned: v.pinned || undefined } }),
    undo: (result) => ({ method: "DELETE", url: path`/access-rules/${result.rule.id}` }),
  });
}

function removeRule(r) {
  propose({
    title: t("rule.remove"), verb: t("do.remove"), reason: "optional", danger: true,
    make: () => ({ method: "DELETE", url: path`/access-rules/${r.id}`, revision: r.revision }),
    undo: () => ({ method: "POST", url: "/access-rules", body: { match: r.match, level: r.level, from: r.from, until: r.until, schedule: r.schedule, pinned: r.pinned } }),
  });
}

const confirmRule = (r) => propose({ title: t("rule.confirm"), verb: t("rule.confirm"), reason: "optional", make: () => ({ method: "POST", url: path`/access-rules/${r.id}/confirm` }) });

function RulesPanel() {
  return html`<${Panel} id="rules" title=${t("rules")} className="flush"><${Paged} label=${t("rules")} url="/access-rules" every=${15} id=${(r) => r.id} empty=${t("rules.none")} columns=${[
    { title: t("rule.match"), main: true, cell: (r) => html`<${Code}>${r.match}<//>${r.pinned && html` <${Tag} tone="info">${t("rule.pinned")}<//>`}` },
    { title: t("level"), cell: (r) => html`<${Level} of=${r.level} />` },
    { title: t("state"), cell: (r) => html`<${State} of=${r.state} />` },
    { title: t("source"), cell: (r) => word("source.", r.source) },
    { title: t("until"), cell: (r) => html`<${Time} at=${r.confirm_by || r.until} />` },
    { title: t("reason"), wide: true, cell: (r) => html`<span><${Name}>${r.reason}<//><span class="sub"><${Name}>${r.by}<//> · <${Time} at=${r.created} /></span></span>` },
    { title: "", op: "remove-rule confirm-rule", cell: (r) => html`<span class="actions">${r.confirm_by && html`<${Button} op="confirm-rule" onClick=${() => confirmRule(r)}>${t("rule.confirm")}<//>`}<${Button} op="remove-rule" kind="danger-text" label=${t("rule.remove") + ": " + r.match} onClick=${() => removeRule(r)}>${t("do.remove")}<//></span>` },
  ]} /><//>`;
}

function Lists() {
  const reload = (l) => propose({ title: t("list.reload"), verb: t("list.reload"), reason: "optional", make: () => ({ method: "POST", url: path`/lists/${l.name}/reload` }) });
  return html`<${Panel} id="lists" title=${t("lists")} className="flush"><${Paged} label=${t("lists")} url="/lists" pages=${false} id=${(l) => l.name} empty=${t("lists.none")} columns=${[
    { title: t("user.name"), main: true, cell: (l) => html`<${Name}>${l.name}<//><span class="sub"><${Code} plain>${l.origin}<//></span>` },
    { title: t("level"), cell: (l) => html`<${Level} of=${l.level} />` },
    { title: t("list.entries"), num: true, cell: (l) => html`<${Count} n=${l.entries} />` },
    { title: t("list.good"), cell: (l) => html`<span><${Time} at=${l.good} />${l.problem && html`<span class="sub"><${Said}>${l.problem}<//></span>`}</span>` },
    { title: "", op: "reload-list", cell: (l) => html`<${Button} label=${t("list.reload") + ": " + l.name} onClick=${() => reload(l)}>${t("list.reload")}<//>` },
  ]} /><//>`;
}
