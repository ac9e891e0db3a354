// Changes: what one will do, in numbers, before it is done; why; and the way back.
import { html, useState, useEffect, useRef, useId } from "./html.js";
import { change, changeKey } from "./api.js";
import { Button, Failure, Said, Icon } from "./ui.js";
import { t, number } from "./i18n.js";
import { tell, hear } from "./bus.js";

/** A dialog over the page. The browser keeps the focus inside; afterwards it is where it was. */
export function Dialog({ title, onClose, children, wide }) {
  const ref = useRef();
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    ref.current.showModal();
    ref.current.querySelector("form :is(input, select, textarea)")?.focus();
    // Whoever has gone on meanwhile, to another page or dialog, is not fetched back.
    const elsewhere = () => document.querySelector("dialog[open]") || document.activeElement !== document.body;
    return () => before.isConnected && setTimeout(() => elsewhere() || before.focus());
  }, []);
  return html`<dialog ref=${ref} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${(event) => (event.preventDefault(), onClose())}>
    <header><h2 id=${id}>${title}</h2><${Button} kind="bare" onClick=${onClose} label=${t("do.close")}><${Icon} name="close" /><//></header>
    ${children}
  </dialog>`;
}

/** One value that is asked for. field: {name, label, kind, options, min, max, required, note, placeholder} */
export function Field({ field, value, onInput }) {
  const id = useId();
  const set = (event) => onInput(field.kind === "check" ? event.target.checked : event.target.value);
  const common = { id, required: field.required, onInput: set, "aria-describedby": field.note ? id + "n" : undefined };
  let input;
  if (field.kind === "select") {
    input = html`<select ...${common} value=${value}>${field.options.map(([key, name]) => html`<option key=${key} value=${key} selected=${key === value}>${name}</option>`)}</select>`;
  } else if (field.kind === "check") {
    return html`<p class="field check"><input type="checkbox" ...${common} checked=${value} /><label for=${id}>${field.label}</label>${field.note && html`<small id=${id + "n"}>${field.note}</small>`}</p>`;
  } else if (field.kind === "area") {
    input = html`<textarea ...${common} rows="3" value=${value}></textarea>`;
  } else {
    input = html`<input type=${field.kind || "text"} ...${common} value=${value} min=${field.min} max=${field.max} placeholder=${field.placeholder} dir=${field.code ? "ltr" : undefined} autocomplete="off" spellcheck=${field.code ? "false" : undefined} />`;
  }
  return html`<p class="field"><label for=${id}>${field.label}</label>${input}${field.note && html`<small id=${id + "n"}>${field.note}</small>`}</p>`;
}

let open;

/**
 * Opens the dialog of a change. spec: {
 *   title, note, verb, danger, fields, values, edits: the values are what there is, and something has to be changed,
 *   make(values) -> {method, url, query, body, revision},
 *   reason: "required" | "optional" | "none", lasting: why it cannot be taken back,
 *   numbers(result) -> [[label, value]], more(values, result) -> what else to show,
 *   seen: the object as it was seen, compare: names of its values that somebody else may have changed,
 *   undo(result, values) -> a change, done(result, values) -> called when it is done }
 */
export const propose = (spec) => open(spec);

/** Where dialogs of changes appear; there is one of these. */
export function Proposals() {
  const [spec, set] = useState(null);
  open = (next) => set({ ...next, id: Date.now() });
  return spec && html`<${Proposal} key=${spec.id} spec=${spec} onClose=${() => set(null)} />`;
}

const waitToAsk = 250; // milliseconds without a key press

function Proposal({ spec, onClose }) {
  const [values, setValues] = useState(spec.values || {});
  const [reason, setReason] = useState("");
  const [force, setForce] = useState(false);
  const [dry, setDry] = useState({ loading: true });
  const [doing, setDoing] = useState(null);
  const sent = useRef({}); // what was sent last, and under which key
  const reasonId = useId();
  const untouched = spec.edits && JSON.stringify(values) === JSON.stringify(spec.values);
  const complete = !untouched && (spec.fields || []).every((f) => !f.required || values[f.name]);
  const [proofs, setProofs] = useState(0);
  const [revision, goOn] = useState(undefined); // in place of the one that was seen
  const make = () => ({ ...spec.make(values), ...(revision && { revision }) });
  useEffect(() => hear("stepped-up", () => setProofs((n) => n + 1)), []);
  useEffect(() => hear("found", () => setProofs((n) => n + 1)), []);
  const asked = JSON.stringify([values, force, proofs, revision]);
  useEffect(() => {
    if (!complete) return setDry({});
    const controller = new AbortController();
    setDry((before) => ({ ...before, loading: true }));
    const timer = setTimeout(() => {
      change(make(), { dry: true, force, reason: reason || t("change.dry"), signal: controller.signal }).then(
        (result) => setDry({ result }),
        (error) => error.name === "AbortError" || setDry({ error }),
      );
    }, waitToAsk);
    return () => (clearTimeout(timer), controller.abort());
  }, [asked, complete]);

  const submit = async (event) => {
    event.preventDefault();
    setDoing({});
    // The same once more is the same change: the answer to the first may have been lost.
    const what = JSON.stringify([values, force, revision, reason]);
    if (sent.current.what !== what) sent.current = { what, key: changeKey() };
    try {
      const result = await change(make(), { reason, force, key: sent.current.key });
      onClose();
      const waits = result?.approval; // somebody else has to agree; nothing is done yet
      tell("toast", { text: result?.summary || spec.title, undo: waits ? undefined : spec.undo?.(result, values) });
      if (!waits) spec.done?.(result, values);
    } catch (error) {
      setDoing({ error });
    }
  };
  const refused = dry.error?.word === "refused" || doing?.error?.word === "refused";
  const stale = [doing?.error, dry.error].find((error) => error?.word === "stale-revision");
  return html`<${Dialog} title=${spec.title} onClose=${onClose} wide=${spec.wide}>
    <form onSubmit=${submit}>
      <div class="dialog-body">
      ${spec.note && html`<p>${spec.note}</p>`}
      ${(spec.fields || []).filter((f) => !f.when || f.when(values)).map((f) => html`<${Field} key=${f.name} field=${f} value=${values[f.name] ?? ""} onInput=${(v) => setValues({ ...values, [f.name]: v })} />`)}
      <${Preview} dry=${dry} spec=${spec} />
      ${stale?.current && html`<${Overtaken} spec=${spec} now=${stale.current} onGo=${() => (goOn(stale.current.revision), setDoing(null))} />`}
      ${spec.more?.(values, dry.result)}
      ${spec.reason !== "none" && html`<p class="field"><label for=${reasonId}>${spec.reason === "required" ? t("change.reason") : t("change.reason.optional")}</label>
        <input id=${reasonId} type="text" maxlength="512" required=${spec.reason === "required"} value=${reason} onInput=${(e) => setReason(e.target.value)} autocomplete="off" /></p>`}
      ${(refused || force) && html`<${Field} field=${{ name: "force", kind: "check", label: t("change.force"), note: t("change.force.note") }} value=${force} onInput=${setForce} />`}
      ${spec.lasting && html`<p class="lasting">${spec.lasting}</p>`}
      ${doing?.error && html`<${Failure} error=${doing.error} />`}
      </div>
      <footer>
        <${Button} onClick=${onClose}>${t("do.cancel")}<//>
        <${Button} type="submit" kind=${spec.danger ? "danger" : "primary"} disabled=${!complete || dry.error || (doing && !doing.error)}>${spec.verb}<//>
      </footer>
    </form>
  <//>`;
}

/** Somebody was faster: what he changed, and the way to go on over it. */
function Overtaken({ spec: { seen = {}, compare = [] }, now, onGo }) {
  const differ = compare.filter((name) => JSON.stringify(seen[name]) !== JSON.stringify(now[name]));
  const said = (value) => html`<${Said}>${value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value)}<//>`;
  return html`<section class="lasting"><ul>${differ.map((name) => html`<li key=${name} dir="ltr"><code>${name}</code> ${said(seen[name])} → <strong>${said(now[name])}</strong></li>`)}</ul>
    <p class="actions"><${Button} onClick=${onGo}>${t("change.over")}<//></p></section>`;
}

/** What the node says that the change would do. */
function Preview({ dry, spec }) {
  const numbers = dry.result ? [...impact(dry.result), ...(spec.numbers?.(dry.result) || [])] : [];
  return html`<section class="preview" aria-live="polite" aria-busy=${dry.loading ? "true" : "false"}>
    <h3>${t("change.will")}</h3>
    ${dry.error ? html`<${Failure} error=${dry.error} />`
      : dry.result ? html`<p><${Said}>${dry.result.summary}<//></p>
        ${numbers.length > 0 && html`<dl class="numbers">${numbers.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${typeof value === "number" ? number(value) : value}</dd></div>`)}</dl>`}`
      : html`<p class="none">${t(dry.loading ? "loading" : spec.edits ? "change.none" : "change.fill")}</p>`}
  </section>`;
}

/** The numbers that every change has. */
function impact(result) {
  const rows = [];
  if (result.affected !== undefined) rows.push([t("change.affected"), result.affected]);
  if (result.ended !== undefined) rows.push([t("change.ended"), result.ended]);
  if (result.spared?.length) rows.push([t("change.spared"), result.spared.length]);
  return rows;
}

const toastTime = 15_000;

/** What was done lately, with the way back. */
export function Toasts() {
  const [items, set] = useState([]);
  useEffect(() => hear("toast", (item) => {
    const id = changeKey();
    set((all) => [...all.slice(-2), { ...item, id }]);
    setTimeout(() => set((all) => all.filter((i) => i.id !== id)), item.error ? 2 * toastTime : toastTime);
  }), []);
  const drop = (id) => set((all) => all.filter((i) => i.id !== id));
  const undo = async (item) => {
    drop(item.id);
    try {
      const result = await change(item.undo, { reason: t("change.undone"), key: changeKey() });
      tell("toast", { text: result?.summary || t("change.undone") });
    } catch (error) {
      tell("toast", { error });
    }
  };
  return html`<div class="toasts" role="status" aria-live="polite">${items.map((item) => html`<div key=${item.id} class="toast">
    ${item.error ? html`<${Failure} error=${item.error} />` : html`<p><${Icon} name="check" /><${Said}>${item.text}<//></p>`}
    <span class="actions">${item.undo && html`<${Button} onClick=${() => undo(item)}>${t("do.undo")}<//>`}
    <${Button} kind="bare" label=${t("do.close")} onClick=${() => drop(item.id)}><${Icon} name="close" /><//></span>
  </div>`)}</div>`;
}
