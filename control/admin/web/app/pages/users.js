// Users and their links.
import { html, useState, useEffect } from "../html.js";
import { useGet, path } from "../api.js";
import { Heading, Panel, Name, State, Level, Count, Time, Button, Tag } from "../ui.js";
import { Paged } from "../table.js";
import { propose } from "../dialog.js";
import { t } from "../i18n.js";
import { to, go } from "../router.js";
import { User } from "./user.js";
import { showLinks } from "./links.js";

const userStates = ["", "ok", "disabled", "expired", "no_access", "over_quota"];
export const levels = ["none", "read_only", "standard", "admin", "superuser"];

export const Users = ({ route }) => (route.args[0] ? html`<${User} key=${route.args[0]} name=${route.args[0]} />` : html`<${UserList} route=${route} />`);

const userColumns = () => [
  { title: t("user.name"), main: true, cell: (u) => html`<a href=${to("users", [u.name])}><${Name}>${u.name}<//></a>${u.note && html`<span class="sub"><${Name}>${u.note}<//></span>`}` },
  { title: t("state"), cell: (u) => html`<${State} of=${u.state} />` },
  { title: t("level"), cell: (u) => html`<${Level} of=${u.level} />` },
  { title: t("user.connections"), num: true, cell: (u) => html`<${Count} n=${u.connections} />` },
  { title: t("user.addresses"), num: true, cell: (u) => html`<${Count} n=${u.addresses} />` },
  { title: t("user.traffic"), num: true, cell: (u) => html`<${Count} n=${u.up + u.down} of="bytes" />` },
  { title: t("user.expires"), cell: (u) => html`<${Time} at=${u.expires} />` },
  { title: t("user.secret"), cell: (u) => (u.retiring ? html`<${Tag} tone="warn">${t("user.retiring", { n: u.retiring })}<//>` : u.rotates ? html`<span>${t("user.rotates")} <${Time} at=${u.rotates} /></span>` : html`<span class="none">–</span>`) },
];

function UserList({ route }) {
  const { state = "", find = "" } = route.fields;
  const [typed, type] = useState(find);
  useEffect(() => {
    const timer = setTimeout(() => typed !== find && go("users", [], { state, find: typed }), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  return html`<${Heading} title=${t("page.users")}><${Button} op="add-user" kind="primary" onClick=${add}>${t("user.add")}<//><//>
    <div class="filters" role="search">
      <label>${t("user.find")} <input type="search" value=${typed} onInput=${(e) => type(e.target.value)} /></label>
      <label>${t("state")} <select value=${state} onChange=${(e) => go("users", [], { find, state: e.target.value })}>${userStates.map((s) => html`<option key=${s} value=${s} selected=${s === state}>${s ? t("state." + s) : t("all")}</option>`)}</select></label>
    </div>
    <section class="panel flush"><${Paged} label=${t("page.users")} url="/users" fields=${{ state, find }} columns=${userColumns()} id=${(u) => u.name} every=${15} empty=${t(state || find ? "users.none" : "users.first")} /></section>`;
}

export const levelField = () => ({ name: "level", label: t("level"), kind: "select", options: levels.map((l) => [l, t("level." + l)]) });

function add() {
  propose({
    title: t("user.add"), verb: t("user.add.do"), reason: "optional",
    fields: [
      { name: "name", label: t("user.name"), required: true },
      levelField(),
      { name: "expires", label: t("user.expires"), kind: "date", note: t("user.expires.note") },
      { name: "note", label: t("user.note") },
    ],
    values: { level: "standard" },
    make: (v) => ({ method: "POST", url: "/users", body: { name: v.name, level: v.level, expires: v.expires ? v.expires + "T00:00:00Z" : undefined, note: v.note || undefined } }),
    done: (result, v) => showLinks(v.name, result.links),
    undo: (result) => ({ method: "DELETE", url: path`/users/${result.user.name}`, revision: result.user.revision }),
  });
}
