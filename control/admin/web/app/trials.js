// Changes that revert themselves unless somebody keeps them.
import { html } from "./html.js";
import { useGet, change, changeKey } from "./api.js";
import { Button, Code, useNow } from "./ui.js";
import { t, countdown } from "./i18n.js";
import { tell } from "./bus.js";

async function settleTrial(c, reason) {
  try {
    const result = await change(c, { reason, key: changeKey() });
    tell("toast", { text: result.summary });
  } catch (error) {
    tell("toast", { error });
  }
}

/** What is on trial at present, with the time that is left. */
export function Trials() {
  const trials = useGet("/policy/trials", {}, { every: 15 });
  const items = trials.data?.items || [];
  const now = useNow(items.length > 0);
  return html`${items.map((trial) => html`<section key=${trial.revision} class="trial" aria-label=${t("trial.title")}>
    <p><strong>${t("trial.left", { left: countdown(new Date(trial.until) - now) })}</strong> <${Code} plain>${trial.what}<//></p>
    <span class="actions"><${Button} op="keep-trial" kind="primary" onClick=${() => settleTrial({ method: "POST", url: `/policy/trials/${trial.revision}/keep` }, t("trial.kept"))}>${t("trial.keep")}<//>
    <${Button} op="end-trial" onClick=${() => settleTrial({ method: "DELETE", url: `/policy/trials/${trial.revision}` }, t("trial.reverted"))}>${t("trial.revert")}<//></span>
  </section>`)}`;
}
