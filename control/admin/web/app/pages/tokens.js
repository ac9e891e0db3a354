// Who may manage the node: tokens, sessions, passkeys, and changes that wait for a second person.
import { html, useState } from "../html.js";
import { useGet, path } from "../api.js";
import { Heading, Panel, Answer, Name, Code, State, Level, Time, Button, Tag, Copy, Count, Failure } from "../ui.js";
import { Paged, Rows } from "../table.js";
import { Dialog, Field, propose } from "../dialog.js";
import { t, word, list } from "../i18n.js";
import { to } from "../router.js";
import { enrol } from "../session.js";
import { me, may } from "../who.js";
import { valueColumns } from "./policy.js";

const tokenLevels = ["read_only", "admin", "superuser"];

export function Tokens() {
  const [secret, show] = useState(null);
  const [enrolling, setEnrolling] = useState(false);
  const create = () => propose({
    title: t("token.add"), verb: t("token.add"), reason: "optional",
    fields: [
      { name: "name", label: t("user.name"), required: true },
      { name: "level", label: t("level"), kind: "select", options: tokenLevels.map((l) => [l, t("level." + l)]) },
      { name: "for", label: t("incident.for"), code: true, required: true, note: t("span.note") },
      { name: "scopes", label: t("token.scopes"), code: true, placeholder: "users status:read", note: t("token.scopes.note") },
      { name: "from", label: t("token.from"), code: true, placeholder: "198.51.100.0/24", note: t("token.from.note") },
    ],
    values: { level: "read_only", for: "90d" },
    make: (v) => ({ method: "POST", url: "/tokens", body: { name: v.name, level: v.level, for: v.for, scopes: fewWords(v.scopes), from: fewWords(v.from) } }),
    done: (result) => show(result.secret),
    undo: (result) => result.token && { method: "DELETE", url: path`/tokens/${result.token.id}` },
  });
  return html`<${Heading} title=${t("page.tokens")}>${me()?.session && html`<${Button} onClick=${() => setEnrolling(true)}>${t("passkey.add")}<//>`}<${Button} op="create-token" kind="primary" onClick=${create}>${t("token.add")}<//><//>
    <${Approvals} />
    <${Panel} id="tokens" title=${t("tokens")} className="flush"><${Paged} label=${t("tokens")} url="/tokens" pages=${false} id=${(k) => k.id} empty=${t("tokens.none")} columns=${[
      { title: t("user.name"), main: true, cell: (k) => html`<${Name}>${k.name}<//><span class="sub"><${Code}>${k.id}<//></span>` },
      { title: t("level"), cell: (k) => html`<${Level} of=${k.level} />${k.scopes?.length ? html`<span class="sub"><${Code} plain>${k.scopes.join(" ")}<//></span>` : ""}` },
      { title: t("state"), cell: (k) => html`<${State} of=${k.state} />` },
      { title: t("token.from"), cell: (k) => html`<${Code} plain>${k.from?.join(" ") || "–"}<//>` },
      { title: t("user.expires"), cell: (k) => html`<${Time} at=${k.expires} />` },
      { title: t("key.used"), cell: (k) => html`<${Time} at=${k.last_used} />` },
      { title: "", op: "revoke-token", cell: (k) => k.state === "ok" && html`<${Button} kind="danger-text" label=${t("token.revoke") + ": " + k.name} onClick=${() => end("token.revoke", path`/tokens/${k.id}`)}>${t("key.revoke")}<//>` },
    ]} /><//>
    <${Panel} id="sessions" title=${t("sessions")} className="flush"><${Paged} label=${t("sessions")} url="/sessions" pages=${false} every=${30} id=${(s) => s.id} empty=${t("key.none")} columns=${[
      { title: t("session.person"), main: true, cell: (s) => html`<${Name}>${s.person}<//>${s.current || s.id === me()?.session ? html` <${Tag} tone="info">${t("session.this")}<//>` : ""}<span class="sub"><${Name}>${s.agent}<//></span>` },
      { title: t("level"), cell: (s) => html`<${Level} of=${s.level} />` },
      { title: t("session.via"), cell: (s) => word("via.", s.via) },
      { title: t("address"), cell: (s) => html`<${Code}>${s.from}<//>` },
      { title: t("session.last"), cell: (s) => html`<${Time} at=${s.last} />` },
      { title: t("until"), cell: (s) => html`<${Time} at=${s.expires} />` },
      { title: "", op: "end-session", cell: (s) => html`<${Button} kind="danger-text" label=${t("session.end") + ": " + s.person} onClick=${() => end("session.end", path`/sessions/${s.id}`)}>${t("session.end")}<//>` },
    ]} /><//>
    ${may("list-clients") && html`<${Clients} />`}
    <${Panel} id="passkeys" title=${t("passkeys")} className="flush"><${Paged} label=${t("passkeys")} url="/passkeys" pages=${false} id=${(k) => k.id} empty=${t("passkeys.none")} columns=${[
      { title: t("user.name"), main: true, cell: (k) => html`<${Name}>${k.name}<//>` },
      { title: t("session.person"), cell: (k) => html`<${Name}>${k.person}<//>` },
      { title: t("level"), cell: (k) => html`<${Level} of=${k.level} />` },
      { title: t("user.created"), cell: (k) => html`<${Time} at=${k.created} />` },
      { title: t("key.used"), cell: (k) => html`<${Time} at=${k.last_used} />` },
      { title: "", op: "remove-passkey", cell: (k) => html`<${Button} kind="danger-text" label=${t("passkey.remove") + ": " + k.name} onClick=${() => end("passkey.remove", path`/passkeys/${k.id}`)}>${t("do.remove")}<//>` },
    ]} /><//>
    ${secret && html`<${Dialog} title=${t("token.secret")} onClose=${() => show(null)}><div class="dialog-body"><p>${t("token.secret.note")}</p><p class="address"><${Code}>${secret}<//></p></div><footer><${Copy} text=${secret} /><${Button} kind="primary" onClick=${() => show(null)}>${t("do.close")}<//></footer><//>`}
    ${enrolling && html`<${Enrol} onClose=${() => setEnrolling(false)} />`}`;
}

/** Who is connected through the proxy, and the way to put somebody off. */
function Clients() {
  const putOff = (c) => propose({
    title: t("client.end"), verb: t("session.end"), danger: true, reason: "required", note: t("client.note"),
    make: () => ({ method: "POST", url: "/clients/end", body: { user: c.user } }),
  });
  return html`<${Panel} id="clients" title=${t("clients")} className="flush"><${Paged} label=${t("clients")} url="/clients" every=${15} id=${(c) => c.user + c.from + c.since} empty=${t("clients.none")} columns=${[
    { title: t("user"), main: true, cell: (c) => html`<a href=${to("users", [c.user])}><${Name}>${c.user}<//></a>` },
    { title: t("address"), cell: (c) => html`<${Code}>${c.from}<//>` },
    { title: t("level"), cell: (c) => html`<${Level} of=${c.level} />` },
    { title: t("user.created"), cell: (c) => html`<${Time} at=${c.since} />` },
    { title: t("user.traffic"), num: true, cell: (c) => html`<${Count} n=${(c.up || 0) + (c.down || 0)} of="bytes" />` },
    { title: "", op: "end-clients", cell: (c) => html`<${Button} kind="danger-text" label=${t("client.end") + ": " + c.user} onClick=${() => putOff(c)}>${t("session.end")}<//>` },
  ]} /><//>`;
}

const fewWords = (text) => (text || "").split(/[\s,]+/).filter(Boolean);

const end = (what, url) => propose({ title: t(what), verb: t(what), danger: true, reason: "required", lasting: t("token.lasting"), make: () => ({ method: "DELETE", url }) });

function Enrol({ onClose }) {
  const [name, set] = useState("");
  const [error, fail] = useState(null);
  const submit = (event) => (event.preventDefault(), enrol(name).then(onClose, fail));
  return html`<${Dialog} title=${t("passkey.add")} onClose=${onClose}><form onSubmit=${submit}><div class="dialog-body"><p>${t("passkey.note")}</p>
    <${Field} field=${{ name: "name", label: t("passkey.name"), required: true }} value=${name} onInput=${set} /><${Failure} error=${error} /></div>
    <footer><${Button} onClick=${onClose}>${t("do.cancel")}<//><${Button} type="submit" kind="primary">${t("passkey.add")}<//></footer></form><//>`;
}

/** Changes of a guarded class, which somebody else has to agree to. */
function Approvals() {
  const settle = (a, what) => propose({ title: t("approval." + what), verb: t("approval." + what), reason: "required", danger: what === "refuse", wide: true, more: () => html`<${Held} id=${a.id} />`, make: () => ({ method: "POST", url: path`/approvals/${a.id}/${what}` }) });
  return html`<${Panel} id="approvals" title=${t("approvals")} className="flush"><${Paged} label=${t("approvals")} url="/approvals" every=${15} id=${(a) => a.id} empty=${t("approvals.none")} columns=${[
    { title: t("log.action"), main: true, cell: (a) => html`<${Code} plain>${a.brief}<//>${a.force && html` <${Tag} tone="warn">--force<//>`}${a.revert_after && html` <${Code} plain>revert_after=${a.revert_after}<//>`}` },
    { title: t("by"), cell: (a) => html`<${Name}>${a.by}<//><span class="sub"><${Name}>${a.reason}<//></span>` },
    { title: t("state"), cell: (a) => html`<${State} of=${a.state} />` },
    { title: t("until"), cell: (a) => html`<${Time} at=${a.expires} />` },
    { title: "", op: "approve refuse-approval", cell: (a) => a.state === "pending" && html`<span class="actions"><${Button} op="approve" onClick=${() => settle(a, "approve")}>${t("approval.approve")}<//><${Button} op="refuse-approval" kind="danger-text" onClick=${() => settle(a, "refuse")}>${t("approval.refuse")}<//></span>` },
  ]} /><//>`;
}

/** All of a change that waits: nobody agrees to what he has not seen. */
function Held({ id }) {
  const all = useGet(path`/approvals/${id}`);
  return html`<${Answer} of=${all}>${(a) => {
    const { Document: text, ...rest } = JSON.parse(a.change);
    return html`${a.changes?.length > 0 && html`<${Rows} label=${t("policy.diff")} rows=${a.changes} id=${(v) => v.path} columns=${valueColumns()} />`}
      <pre dir="ltr" lang="en" tabindex="0"><code>${JSON.stringify(rest, null, 1)}</code></pre>${text && html`<pre dir="ltr" lang="en" tabindex="0"><code>${text}</code></pre>`}`;
  }}<//>`;
}
