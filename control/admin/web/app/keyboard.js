// Keys: g and a letter goes to a page, ? lists them all.
import { html, useState, useEffect } from "./html.js";
import { Dialog } from "./dialog.js";
import { go } from "./router.js";
import { t } from "./i18n.js";
import { pages } from "./pages.js";
import { hear } from "./bus.js";

const goTime = 1500; // milliseconds that g waits for its letter

const writes = (element) => element.closest("input, textarea, select, [contenteditable]");

/** Listens to keys, and shows which there are. */
export function Keyboard() {
  const [help, set] = useState(false);
  useEffect(() => hear("keys", () => set(true)), []);
  useEffect(() => {
    let going = 0;
    const listener = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target) || document.querySelector("dialog[open]")) return;
      // By the place of the key, so that a Russian or Persian layout does too.
      const letter = event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key;
      if (event.key === "?" || (event.code === "Slash" && event.shiftKey)) {
        set(true);
      } else if (Date.now() - going < goTime) {
        going = 0;
        const page = pages.find((p) => p.letter === letter);
        if (page) go(page.name);
      } else if (letter === "g") {
        going = Date.now();
        return;
      } else if (event.key === "/") {
        const search = document.querySelector("input[type=search]");
        search?.focus();
        if (search) event.preventDefault();
      }
      going = 0;
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
  if (!help) return null;
  const rows = [["?", t("keys.help")], ...pages.map((p) => ["g " + p.letter, t("page." + p.name)]), ["/", t("keys.search")], ["← →", t("keys.chart")], ["Esc", t("keys.close")]];
  return html`<${Dialog} title=${t("keys.title")} onClose=${() => set(false)}>
    <div class="dialog-body"><dl class="keys">${rows.map(([key, what]) => html`<div key=${key}><dt dir="ltr">${key.split(" ").map((k) => html`<kbd>${k}</kbd> `)}</dt><dd>${what}</dd></div>`)}</dl></div>
  <//>`;
}
