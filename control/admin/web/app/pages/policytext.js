// The whole policy as text, and what another text would do.
import { html, useState, useEffect, useRef, useId } from "../html.js";
import { get, ask, change, changeKey } from "../api.js";
import { Heading, Panel, Answer, Code, Name, Button, Failure, Tag, Time, Loading } from "../ui.js";
import { Rows } from "../table.js";
import { Field } from "../dialog.js";
import { t, number } from "../i18n.js";
import { to } from "../router.js";
import { tell, hear } from "../bus.js";
import { may } from "../who.js";
import { trialTime, Difference, valueColumns } from "./policy.js";

const waitToLook = 500; // milliseconds without a key press

// What is written and not saved outlives a look at another page: {base: revision, text}.
let draft = null;

export function PolicyText() {
  const [state, set] = useState({ loading: true });
  const load = () => get("/policy").then((p) => set({ data: p }), (error) => set({ error, reload: load }));
  useEffect(() => void load(), []);
  return html`<${Heading} back=${{ href: to("policy"), label: t("page.policy") }} title=${t("policy.text")} />
    <${Answer} of=${state}>${(p) => html`<${Editor} policy=${p} />`}<//>`;
}

function Editor({ policy }) {
  const [{ base, text }, write] = useState(draft || { base: policy.revision, text: policy.document });
  const [look, setLook] = useState({});
  const [form, setForm] = useState({ reason: "", after: trialTime, force: false });
  const [doing, setDoing] = useState(null);
  const [proofs, setProofs] = useState(0);
  const area = useRef();
  const id = useId();
  const key = useRef(changeKey());
  const edit = (next) => write((draft = next));
  const put = { method: "PUT", url: "/policy", revision: base, body: { document: text }, query: form.after ? { revert_after: form.after } : {} };
  const same = text === policy.document && base === policy.revision;
  useEffect(() => hear("stepped-up", () => setProofs((n) => n + 1)), []);
  useEffect(() => {
    if (same || !may("set-policy")) return setLook({});
    const controller = new AbortController();
    setLook((before) => ({ ...before, loading: true }));
    const timer = setTimeout(() => foresee(put, form, text, controller.signal).then(
      (found) => setLook(found), (error) => error.name === "AbortError" || setLook({ error })), waitToLook);
    return () => (clearTimeout(timer), controller.abort());
  }, [text, base, form.force, form.after, proofs]);

  const save = async (event) => {
    event.preventDefault();
    setDoing({});
    try {
      const result = await change(put, { reason: form.reason, force: form.force, key: key.current });
      draft = null;
      tell("toast", { text: result.summary, undo: result.approval ? undefined : result.trial
        ? { method: "DELETE", url: `/policy/trials/${result.trial.revision}` }
        : { method: "POST", url: "/policy/rollback", body: { revision: base } } });
      location.hash = to("policy");
    } catch (error) {
      key.current = changeKey();
      setDoing({ error });
    }
  };
  const failed = doing?.error || look.error;
  const line = Number(/^policy:(\d+):/.exec(failed?.message)?.[1]);
  const goTo = () => {
    const start = text.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    area.current.focus();
    area.current.setSelectionRange(start, start + (text.slice(start).split("\n")[0] || "").length);
  };
  return html`<form class="columns" onSubmit=${save}>
    <${Panel} id="document" title=${"r" + base} actions=${!same && html`<${Button} onClick=${() => (write({ base: policy.revision, text: policy.document }), (draft = null), setDoing(null))}>${t("policy.text.drop")}<//>`}>
      <p class="field"><label for=${id} class="hidden">${t("policy.text")}</label><textarea id=${id} ref=${area} class="code" dir="ltr" lang="en" rows="26" spellcheck="false" autocomplete="off" autocapitalize="off" maxlength="262144" readonly=${!may("set-policy")}
        value=${text} onInput=${(e) => (edit({ base, text: e.target.value }), setDoing(null))}></textarea></p><//>
    <${Panel} id="will" title=${t("change.will")}>
      <div class="preview" aria-live="polite" aria-busy=${look.loading ? "true" : "false"}>
        ${same ? html`<p class="none">${t(may("set-policy") ? "policy.text.none" : "level.less")}</p>`
          : html`<${Failure} error=${failed} />${line > 0 && html`<p><${Button} onClick=${goTo}>${t("policy.text.line", { n: line })}<//></p>`}
            ${look.values ? html`<${Foreseen} look=${look} />` : !failed && html`<${Loading} />`}`}
      </div>
      ${failed?.word === "stale-revision" && failed.current && html`<${Stale} base=${base} now=${failed.current}
        onKeep=${() => (edit({ base: failed.current.revision, text }), setDoing(null))} onTake=${() => (edit({ base: failed.current.revision, text: failed.current.document }), setDoing(null))} />`}
      ${!same && html`<${Field} field=${{ label: t("change.reason"), required: true }} value=${form.reason} onInput=${(reason) => setForm({ ...form, reason })} />
        <${Field} field=${{ label: t("policy.text.revert"), kind: "select", note: t("policy.text.revert.note"), options: [["10m", t("revert.10m")], ["1h", t("range.1h")], ["24h", t("range.24h")], ["", t("revert.never")]] }} value=${form.after} onInput=${(after) => setForm({ ...form, after })} />
        ${(failed?.word === "refused" || form.force) && html`<${Field} field=${{ kind: "check", label: t("change.force"), note: t("change.force.note") }} value=${form.force} onInput=${(force) => (setForm({ ...form, force }), setDoing(null))} />`}
        <p class="actions"><${Button} type="submit" kind="primary" disabled=${!look.values || failed || (doing && !doing.error)}>${t("do.save")}<//></p>`}
    <//></form>`;
}

/** What a text would do: whether it may be, which values differ, and whom it would have refused. */
async function foresee(put, { reason, force }, text, signal) {
  let error;
  try {
    await change(put, { dry: true, force, reason: reason || t("change.dry"), signal });
  } catch (refusal) {
    if (!["refused", "stale-revision"].includes(refusal.word)) throw refusal;
    error = refusal; // what it would do can be told all the same
  }
  const [next, now, report] = await Promise.all([
    ask("/policy/explain", { document: text }, { signal }), get("/policy/explain", {}, { signal }),
    ask("/policy/preview", { document: text, since: "24h" }, { signal }),
  ]);
  const was = new Map(now.items.map((v) => [v.path, v.value]));
  const is = new Map(next.items.map((v) => [v.path, v.value]));
  const values = [...new Set([...was.keys(), ...is.keys()])].filter((p) => was.get(p) !== is.get(p)).map((p) => ({ path: p, was: was.get(p), value: is.get(p) }));
  return { error, values, report };
}

function Foreseen({ look: { values, report } }) {
  const hit = report.controls.filter((c) => c.refused);
  return html`${values.length > 0 && html`<${Rows} label=${t("policy.diff")} rows=${values} id=${(v) => v.path} columns=${valueColumns()} />`}
    <p>${t("policy.text.past", { n: report.connections })} ${hit.length === 0 && html`<strong>${t("policy.text.nobody")}</strong>`}</p>
    ${hit.length > 0 && html`<${Rows} label=${t("preview")} rows=${hit} id=${(c) => c.control} columns=${[
      { title: t("control"), main: true, cell: (c) => html`<${Code} plain>${c.control}<//>` },
      { title: t("preview.refused"), num: true, cell: (c) => number(c.refused) },
      { title: t("preview.addresses"), num: true, cell: (c) => number(c.addresses) },
      { title: t("preview.known"), num: true, cell: (c) => (c.known_refused ? html`<${Tag} tone="warn">${number(c.known_refused)}<//>` : number(0)) },
    ]} />`}`;
}

/** Somebody else has saved meanwhile: what, and how to go on. */
function Stale({ base, now, onKeep, onTake }) {
  return html`<section class="lasting"><p><strong>r${now.revision}</strong> · <${Name}>${now.actor}<//> · <${Time} at=${now.at} /> · <${Name}>${now.reason}<//></p>
    <${Difference} from=${base} to=${now.revision} />
    <p class="actions"><${Button} onClick=${onKeep}>${t("policy.text.keep", { revision: "r" + now.revision })}<//><${Button} onClick=${onTake}>${t("policy.text.take", { revision: "r" + now.revision })}<//></p></section>`;
}
