// Tables. The node pages them: only what is seen is ever loaded or drawn.
import { html, useState, useEffect } from "./html.js";
import { useGet } from "./api.js";
import { Answer, Empty, Button } from "./ui.js";
import { t, number } from "./i18n.js";
import { may } from "./who.js";

/**
 * Rows as they are. columns: {title, cell(row), num, main, wide, op: as of Button}; id(row) tells rows apart.
 * On a narrow screen each row is a card, and each cell says its title; the roles say that it still is a table. empty is
 * what to say without rows.
 */
export function Rows({ label, columns: all, rows, id, empty }) {
  if (empty && rows.length === 0) return html`<${Empty}>${empty}<//>`;
  const columns = all.filter((c) => may(c.op));
  return html`<div class="table"><table role="table" aria-label=${label}>
  <thead role="rowgroup"><tr role="row">${columns.map((c) => html`<th key=${c.title} role="columnheader" scope="col" class=${c.num ? "num" : ""}>${c.title || html`<span class="hidden">${t("actions")}</span>`}</th>`)}</tr></thead>
  <tbody role="rowgroup">${rows.map((row) => html`<tr key=${id(row)} role="row">
    ${columns.map((c) => html`<td key=${c.title} role="cell" class=${(c.num ? "num " : "") + (c.main ? "main " : "") + (c.wide ? "wide " : "") + (c.title ? "" : "do")} data-label=${c.title}>${c.cell(row)}</td>`)}
  </tr>`)}</tbody>
</table></div>`;
}

/** Rows of a list of the API, one page of it at a time; newest turns round a list that ends with them. */
export function Paged({ label, url, fields = {}, columns, id, size = 50, every = 0, empty, pages = true, newest }) {
  const asked = url + JSON.stringify(fields);
  const [at, set] = useState({ asked, cursors: [""] });
  const cursors = at.asked === asked ? at.cursors : [""];
  useEffect(() => {
    if (at.asked !== asked) set({ asked, cursors: [""] });
  }, [asked]);
  const answer = useGet(url, pages ? { ...fields, limit: size, cursor: cursors[cursors.length - 1] } : fields, { every });
  const move = (cursors) => set({ asked, cursors });
  return html`<${Answer} of=${answer}>${(page) => {
    const rows = newest ? page.items.toReversed() : page.items;
    if (rows.length === 0 && cursors.length === 1 && !page.next_cursor) return html`<${Empty}>${empty}<//>`;
    const first = (cursors.length - 1) * size + 1;
    return html`<${Rows} label=${label} columns=${columns} rows=${rows} id=${id} />
      ${(cursors.length > 1 || page.next_cursor) && html`<nav class="paging" aria-label=${t("paging.of", { what: label })}>
        <${Button} disabled=${cursors.length === 1} onClick=${() => move(cursors.slice(0, -1))}>${t("paging.previous")}<//>
        <span role="status">${t("paging.rows", { from: number(first), to: number(first + page.items.length - 1) })}</span>
        <${Button} disabled=${!page.next_cursor} onClick=${() => move([...cursors, page.next_cursor])}>${t("paging.next")}<//>
      </nav>`}`;
  }}<//>`;
}
