// Keys: what is in use, what is on its way out, and who still uses it.
import { html, useState } from "../html.js";
import { useGet, path } from "../api.js";
import { Heading, Panel, Answer, Facts, Name, Code, State, Count, Time, Button, Tabs, Tile, Bar, Said, Tag } from "../ui.js";
import { Paged } from "../table.js";
import { propose } from "../dialog.js";
import { t, number, word, time } from "../i18n.js";
import { to } from "../router.js";
import { showLinks } from "./links.js";

/** The columns of a list of keys. */
export const keyColumns = (revoke, users) => [
  { title: t("key"), main: true, cell: (k) => html`<${Code}>${k.id}<//>${k.generation && html`<span class="sub">${t("key.generation", { n: k.generation })}</span>`}` },
  ...(users ? [{ title: t("user"), cell: (k) => (k.user ? html`<a href=${to("users", [k.user])}><${Name}>${k.user}<//></a>` : word("purpose.", k.purpose)) }] : []),
  { title: t("state"), cell: (k) => html`<${State} of=${k.state} />` },
  { title: t("key.sessions"), num: true, cell: (k) => html`<${Count} n=${k.sessions} />` },
  { title: t("key.addresses"), num: true, cell: (k) => html`<span>${k.more_than ? "> " : ""}<${Count} n=${k.addresses} /></span>` },
  { title: t("key.left"), num: true, cell: (k) => (k.not_on_new === undefined ? html`<span class="none">–</span>` : html`<${Tag} tone=${k.not_on_new ? "warn" : "ok"}>${number(k.not_on_new)}<//>`) },
  { title: t("key.used"), cell: (k) => html`<${Time} at=${k.last_used} />` },
  { title: t("key.ends"), cell: (k) => html`<${Time} at=${k.retire_by || k.not_before || k.ended} />` },
  { title: "", op: "revoke-key", cell: (k) => ["active", "retiring", "pending"].includes(k.state) && k.user && html`<${Button} kind="danger-text" label=${t("key.revoke.of", { key: k.id })} onClick=${() => revoke(k)}>${t("key.revoke")}<//>` },
];

const tabs = ["retiring", "pending", "active", "revoked", ""];

export function Keys() {
  const status = useGet("/status", {}, { every: 15 });
  const [state, choose] = useState("retiring");
  const more = tabs.map((s) => [s, s ? t("state." + s) : t("all")]);
  return html`<${Heading} title=${t("page.keys")}><${Button} op="rotate-keys" kind="primary" onClick=${rotateAll}>${t("key.rotate.all")}<//><//>
    <${Answer} of=${status}>${(s) => html`<ul class="tiles">
      <${Tile} label=${t("state.pending")} value=${number(s.keys_pending)} note=${t("key.pending.note")} />
      <${Tile} label=${t("state.active")} value=${number(s.keys_active)} note=${s.next_rotation ? t("key.next", { at: time(s.next_rotation, "date") }) : t("key.next.none")} />
      <${Tile} label=${t("state.retiring")} value=${number(s.keys_retiring)} tone=${s.keys_retiring ? "warn" : ""} note=${t("key.retiring.note")} />
      <${Tile} label=${t("state.revoked")} value=${number(s.keys_revoked)} tone=${s.tripped ? "bad" : ""} note=${t("key.tripped", { n: s.tripped })} />
    </ul>`}<//>
    <${Panel} id="list" title=${t("key.list")} className="flush" actions=${html`<${Tabs} label=${t("state")} of=${more} value=${state} onChange=${choose} />`}>
      ${state === "retiring" && html`<p class="note">${t("key.old")}</p>`}
      <${Paged} label=${t("key.list")} url="/keys" fields=${{ state, purpose: state ? "user" : "" }} columns=${keyColumns(revoke, true)} id=${(k) => k.id} every=${15} empty=${t("key.none")} />
    <//>
    <div class="columns"><${Plan} /><${History} /></div>`;
}

function Plan() {
  const schedule = useGet("/keys/schedule");
  const names = ["every", "overlap", "window", "announce", "idle", "tripwire"];
  return html`<${Panel} id="plan" title=${t("schedule")} actions=${schedule.data && html`<${Button} op="set-schedule" onClick=${() => reschedule(schedule.data, names)}>${t("do.edit")}<//>`}>
    <${Answer} of=${schedule}>${(s) => html`<${Facts} of=${names.map((n) => [t("schedule." + n), html`<${Code} plain>${s[n] === "0s" ? t("never") : s[n]}<//>`])} />`}<//>
  <//>`;
}

function reschedule(s, names) {
  propose({
    edits: true, title: t("schedule"), verb: t("do.save"), reason: "optional", note: t("schedule.note"),
    fields: names.map((name) => ({ name, label: t("schedule." + name), code: true, required: true })),
    values: s,
    make: (v) => ({ method: "PUT", url: "/keys/schedule", body: Object.fromEntries(names.map((n) => [n, v[n]])) }),
    undo: () => ({ method: "PUT", url: "/keys/schedule", body: Object.fromEntries(names.map((n) => [n, s[n]])) }),
  });
}

function History() {
  return html`<${Panel} id="history" title=${t("key.history")} className="flush"><${Paged} label=${t("key.history")} url="/keys/history" size=${10} id=${(e) => e.cursor} empty=${t("key.none")} columns=${[
    { title: t("time"), cell: (e) => html`<${Time} at=${e.time} />` },
    { title: t("key"), main: true, cell: (e) => html`<${Code}>${e.key}<//>${e.user && html`<span class="sub"><${Name}>${e.user}<//></span>`}` },
    { title: t("state"), cell: (e) => html`<${State} of=${e.to} />` },
    { title: t("by"), cell: (e) => html`<span><${Name}>${e.actor}<//>${e.reason && html`<span class="sub"><${Name}>${e.reason}<//></span>`}</span>` },
  ]} /><//>`;
}

const overlapField = () => ({ name: "overlap", label: t("schedule.overlap"), code: true, placeholder: "7d", note: t("key.overlap.note") });

/** Rotates one user's secret. */
export function rotateUser(user) {
  propose({
    title: t("user.rotate"), verb: t("user.rotate"), reason: "optional", note: t("key.rotate.note"), fields: [overlapField()],
    make: (v) => ({ method: "POST", url: "/keys/rotate", body: { user, overlap: v.overlap || undefined } }),
    done: (result) => showLinks(user, result.links),
    lasting: t("key.rotate.lasting"),
  });
}

function rotateAll() {
  propose({
    title: t("key.rotate.all"), verb: t("key.rotate.all"), reason: "required", note: t("key.rotate.note"), danger: true,
    fields: [overlapField(), { name: "window", label: t("schedule.window"), code: true, placeholder: "24h", note: t("key.window.note") }],
    make: (v) => ({ method: "POST", url: "/keys/rotate", body: { all: true, overlap: v.overlap || undefined, window: v.window || undefined } }),
    lasting: t("key.rotate.lasting"),
  });
}

/** Takes a key out at once. */
export function revoke(k) {
  propose({
    title: t("key.revoke.of", { key: k.id }), verb: t("key.revoke"), danger: true, reason: "required", lasting: t("key.revoke.lasting"),
    fields: [{ name: "replace", kind: "check", label: t("key.replace"), note: t("key.replace.note") }],
    values: { replace: true },
    make: (v) => ({ method: "POST", url: path`/keys/${k.id}/revoke`, revision: k.revision, body: { replace: !!v.replace } }),
    numbers: () => [[t("key.addresses"), k.addresses], ...(k.not_on_new === undefined ? [] : [[t("key.left"), k.not_on_new]])],
    done: (result, v) => v.replace && showLinks(k.user, result.links),
  });
}
