// Links with their QR codes. They are secrets: shown in a dialog, kept nowhere.
import { html, useState, useEffect } from "../html.js";
import { ask } from "../api.js";
import { Dialog } from "../dialog.js";
import { Button, Code, Copy, Failure, Name } from "../ui.js";
import { t, word } from "../i18n.js";
import { tell, hear } from "../bus.js";

/** Shows links that a change has handed out, or the address of a page. */
export const showLinks = (user, links, page) => (links?.length || page) && tell("links", { user, links: links || [], page });

/** Where links are shown. */
export function Links() {
  const [shown, set] = useState(null);
  useEffect(() => hear("links", set), []);
  if (!shown) return null;
  const items = shown.page ? [{ kind: "page", tg: shown.page }] : shown.links;
  return html`<${Dialog} wide title=${html`${t("links.of")} <${Name}>${shown.user}<//>`} onClose=${() => set(null)}>
    <div class="dialog-body"><p>${t(shown.page ? "links.page" : "links.secret")}</p>
    ${items.map((link) => html`<section key=${link.kind} class="link"><h3>${word("link.", link.kind)}</h3><${QR} text=${link.tg} label=${word("link.", link.kind)} />
      <p class="address"><${Code}>${link.tg}<//></p><p class="actions"><${Copy} text=${link.tg} label=${t("links.copy", { what: word("link.", link.kind) })} /></p></section>`)}</div>
    <footer><${Button} kind="primary" onClick=${() => set(null)}>${t("do.close")}<//></footer>
  <//>`;
}

/** A QR code, drawn by the node's encoder. The text goes in a body, so that no log holds it. */
function QR({ text, label }) {
  const [state, set] = useState({});
  useEffect(() => {
    ask("/qr", { text }).then((code) => set({ code }), (error) => set({ error }));
  }, [text]);
  if (state.error) return html`<${Failure} error=${state.error} />`;
  if (!state.code) return html`<p class="loading">${t("loading")}</p>`;
  return html`<img class="qr" src=${"data:image/svg+xml," + encodeURIComponent(state.code.svg)} alt=${t("links.qr", { what: label })} />`;
}
