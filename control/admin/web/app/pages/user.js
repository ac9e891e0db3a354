// One user: what is known, the links, the page, the secret.
import { html } from "../html.js";
import { useGet, path } from "../api.js";
import { Heading, Panel, Answer, Facts, Name, Code, State, Level, Time, Button, Count, Tag } from "../ui.js";
import { Rows } from "../table.js";
import { propose } from "../dialog.js";
import { t, number, bytes, word } from "../i18n.js";
import { to, go } from "../router.js";
import { levelField } from "./users.js";
import { showLinks } from "./links.js";
import { rotateUser, revoke, keyColumns } from "./keys.js";

const compared = ["level", "expires", "max_connections", "max_addresses", "quota", "note", "disabled", "key"];
const day = (at) => (at ? at.slice(0, 10) : "");

export function User({ name }) {
  const user = useGet(path`/users/${name}`, {}, { every: 10 });
  const back = { href: to("users"), label: t("page.users") };
  return html`<${Heading} back=${back} title=${html`<${Name}>${name}<//>`} />
    <${Answer} of=${user}>${(u) => html`<${Known} user=${u} /><${UserKeys} name=${name} />`}<//>`;
}

function Known({ user: u }) {
  const url = path`/users/${u.name}`;
  const declared = u.source === "file";
  return html`<${Panel} id="known" title=${t("user.known")} actions=${html`
      <${Button} op="reveal-links" kind="primary" onClick=${() => reveal(u)}>${t("links.show")}<//>
      <${Button} op="rotate-keys" onClick=${() => rotateUser(u.name)}>${t("user.rotate")}<//>
      <${Button} op="set-user" onClick=${() => edit(u, url)}>${t("do.edit")}<//>
      <${Button} op="set-user" onClick=${() => able(u, url)}>${t(u.disabled ? "user.enable" : "user.disable")}<//>
      <${Button} op="remove-user" kind="danger-text" onClick=${() => remove(u, url)}>${t("do.remove")}<//>`}>
    ${declared && html`<p class="note">${t("user.declared")}</p>`}
    <${Facts} of=${[
      [t("state"), html`<${State} of=${u.state} />`],
      [t("level"), html`<${Level} of=${u.level} />`],
      [t("user.note"), u.note && html`<${Name}>${u.note}<//>`],
      [t("user.connections"), number(u.connections) + (u.max_connections ? " / " + number(u.max_connections) : "")],
      [t("user.addresses"), number(u.addresses) + (u.max_addresses ? " / " + number(u.max_addresses) : "")],
      [t("user.traffic"), html`<span>↓ ${bytes(u.down)} · ↑ ${bytes(u.up)}</span>`],
      [t("user.sessions"), number(u.sessions)],
      [t("user.quota"), u.quota && html`<span>${bytes(u.quota_used || 0)} / ${bytes(u.quota.bytes)} ${t("per." + u.quota.per)}</span>`],
      [t("user.expires"), u.expires ? html`<${Time} at=${u.expires} exact />` : t("never")],
      [t("user.created"), html`<${Time} at=${u.created} exact />`],
      [t("user.domain"), u.domain && html`<${Code}>${u.domain}<//>`],
      [t("user.transports"), u.transports?.map((x) => html`<span key=${x.transport} class="pair">${word("link.", x.transport)} <${Count} n=${x.came} /></span>`)],
      [t("user.page"), html`<span>${u.page ? html`<${Tag} tone="ok">${t("user.page.open")}<//> ${t("user.page.views", { n: u.page_views || 0 })}` : t("user.page.none")}</span>
        <span class="actions">${u.page
          ? html`<${Button} op="renew-page" onClick=${() => pageDo("POST", u, "user.page.renew")}>${t("user.page.renew")}<//><${Button} op="close-page" onClick=${() => pageDo("DELETE", u, "user.page.close")}>${t("user.page.close")}<//>`
          : html`<${Button} op="open-page" onClick=${() => pageDo("PUT", u, "user.page.give")}>${t("user.page.give")}<//>`}</span>`],
    ]} />
  <//>`;
}

const UserKeys = ({ name }) => {
  const keys = useGet("/keys", { user: name, limit: 100 });
  return html`<${Panel} id="secrets" title=${t("user.secrets")}><${Answer} of=${keys}>${(page) => html`<${Rows} label=${t("user.secrets")} columns=${keyColumns(revoke)} rows=${page.items} id=${(k) => k.id} />`}<//><//>`;
};

function reveal(u) {
  propose({
    title: t("links.show"), verb: t("links.show"), note: t("links.audited"), reason: "optional",
    make: () => ({ method: "POST", url: path`/users/${u.name}/links` }),
    done: (result) => showLinks(u.name, result.links),
  });
}

function edit(u, url) {
  propose({
    edits: true, title: t("user.edit"), verb: t("do.save"), reason: "optional",
    fields: [
      levelField(),
      { name: "expires", label: t("user.expires"), kind: "date", note: t("user.expires.note") },
      { name: "max_connections", label: t("user.max_connections"), kind: "number", min: 0, note: t("zero.none") },
      { name: "max_addresses", label: t("user.max_addresses"), kind: "number", min: 0, note: t("zero.none") },
      { name: "quota", label: t("user.quota.gb"), kind: "number", min: 0, note: t("zero.none") },
      { name: "per", label: t("user.quota.per"), kind: "select", options: ["day", "month"].map((p) => [p, t("per." + p)]), when: (v) => Number(v.quota) > 0 },
      { name: "note", label: t("user.note") },
    ],
    values: {
      level: u.level, expires: day(u.expires), max_connections: u.max_connections || 0, max_addresses: u.max_addresses || 0,
      quota: u.quota ? u.quota.bytes / 1e9 : 0, per: u.quota?.per || "month", note: u.note || "",
    },
    seen: u, compare: compared,
    make: (v) => ({ method: "PATCH", url, revision: u.revision, body: patch(u, v) }),
    undo: (result) => ({ method: "PATCH", url, revision: result.user.revision, body: {
      level: u.level, expires: u.expires || "never", max_connections: u.max_connections || 0, max_addresses: u.max_addresses || 0,
      quota: u.quota || { bytes: 0, per: "" }, note: u.note || "",
    } }),
  });
}

/** Only what was changed, so that the summary says nothing else. */
function patch(u, v) {
  const body = {};
  if (v.level !== u.level) body.level = v.level;
  if (v.expires !== day(u.expires)) body.expires = v.expires ? v.expires + "T00:00:00Z" : "never";
  for (const field of ["max_connections", "max_addresses"]) if (Number(v[field]) !== (u[field] || 0)) body[field] = Number(v[field]);
  const size = Math.round(Number(v.quota) * 1e9);
  if (size !== (u.quota?.bytes || 0) || (size && v.per !== u.quota?.per)) body.quota = { bytes: size, per: size ? v.per : "" };
  if (v.note !== (u.note || "")) body.note = v.note;
  return body;
}

function able(u, url) {
  propose({
    title: t(u.disabled ? "user.enable" : "user.disable"), verb: t(u.disabled ? "user.enable" : "user.disable"), danger: !u.disabled,
    reason: u.disabled ? "optional" : "required",
    seen: u, compare: compared,
    make: () => ({ method: "PATCH", url, revision: u.revision, body: { disabled: !u.disabled } }),
    undo: (result) => ({ method: "PATCH", url, revision: result.user.revision, body: { disabled: u.disabled } }),
  });
}

function remove(u, url) {
  propose({
    title: t("user.remove"), verb: t("do.remove"), danger: true, reason: "required", lasting: t("user.remove.lasting"),
    seen: u, compare: compared,
    make: () => ({ method: "DELETE", url, revision: u.revision }),
    done: () => go("users"),
  });
}

function pageDo(method, u, words) {
  propose({
    title: t(words), verb: t(words), reason: method === "DELETE" ? "required" : "optional", danger: method === "DELETE",
    note: method === "PUT" ? undefined : t("user.page.lasting"),
    make: () => ({ method, url: path`/users/${u.name}/page` }),
    done: (result) => showLinks(u.name, null, result.page),
    undo: method === "PUT" ? () => ({ method: "DELETE", url: path`/users/${u.name}/page` }) : undefined,
  });
}
