// Who is signed in, and the proof that superuser changes ask for again.
import { html, render, useState, useEffect } from "./html.js";
import { send } from "./api.js";
import { hear, tell } from "./bus.js";
import { me, know } from "./who.js";
import { Dialog } from "./dialog.js";
import { Button, Failure } from "./ui.js";
import { t } from "./i18n.js";

export async function whoAmI() {
  try {
    know(await send("GET", "/auth/me"));
  } catch (error) {
    if (error.status === 404) know({});
  }
}

const post = (url, body = {}) => send("POST", url, { body });

export async function signOut() {
  await post("/auth/logout");
  others?.postMessage("signed-out");
  leave();
}

// The other tabs of this browser, which have the same session.
const others = "BroadcastChannel" in window ? new BroadcastChannel("mtguard") : null;
others?.addEventListener("message", () => whoAmI());

// Browsers keep pages to go back to as they were: of this one nothing is to be seen then.
function leave() {
  render(null, document.getElementById("app"));
  location.replace("/enter");
}

/** Registers a passkey of this device under a name. */
export async function enrol(name) {
  const { publicKey } = await post("/auth/passkey/register/begin");
  const credential = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
  know(await post("/auth/passkey/register/finish", { name, credential: credential.toJSON() }));
  tell("changed");
}

/** Proves again who sits here. */
async function stepUp() {
  const { publicKey } = await post("/auth/step-up/begin");
  const credential = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
  know(await post("/auth/step-up/finish", { credential: credential.toJSON() }));
  tell("stepped-up");
}

/** Asks for the passkey when the node wants it for a change. */
export function StepUp() {
  const [state, set] = useState(null);
  useEffect(() => hear("step-up", () => set({})), []);
  if (!state) return null;
  const prove = () => stepUp().then(() => set(null), (error) => set({ error }));
  return html`<${Dialog} title=${t("stepup.title")} onClose=${() => set(null)}>
    <div class="dialog-body"><p>${t(me()?.passkeys === 0 ? "stepup.none" : "stepup.text")}</p>
    ${state.error && html`<${Failure} error=${state.error} />`}</div>
    <footer><${Button} onClick=${() => set(null)}>${t("do.cancel")}<//>
      <${Button} kind="primary" disabled=${me()?.passkeys === 0} onClick=${prove}>${t("stepup.do")}<//></footer>
  <//>`;
}

hear("signed-out", leave);
addEventListener("pageshow", (event) => event.persisted && location.reload());
