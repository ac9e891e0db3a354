// The page to sign in with. A one-time code stands behind the # of the address, which
// browsers send to nobody; it is taken out of the address at once.
"use strict";

const words = {
  busy: "Signing in…",
  used: "This address does not work any more. Ask for a new one: mtguard dashboard",
  failed: "Signing in failed.",
  none: "Open the address that “mtguard dashboard” prints, or use a passkey.",
  old: "This browser has no passkeys. Open the address that “mtguard dashboard” prints.",
  enrol: "You are signed in. From here on a passkey is needed.",
  again: "That did not work. Try once more.",
};

const say = document.getElementById("say");
const passkey = document.getElementById("passkey");
const register = document.getElementById("register");
const go = document.getElementById("go");
const able = "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
  });
  return answer.ok ? answer.json() : null;
}

function done(me) {
  if (me.enrol_required) {
    say.textContent = words.enrol;
    passkey.hidden = true;
    register.hidden = !able;
    return;
  }
  location.replace("/");
}

async function withPasskey() {
  passkey.disabled = true;
  try {
    const begun = await ask("/auth/passkey/login/begin", {});
    const credential = begun && await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(begun.publicKey) });
    const me = credential && await ask("/auth/passkey/login/finish", { credential: credential.toJSON() });
    if (me) return done(me);
    say.textContent = words.failed;
  } catch {
    say.textContent = words.again;
  } finally {
    passkey.disabled = false;
  }
}

async function enrol() {
  register.disabled = true;
  try {
    const begun = await ask("/auth/passkey/register/begin", {});
    const credential = begun && await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(begun.publicKey) });
    const me = credential && await ask("/auth/passkey/register/finish", { name: "", credential: credential.toJSON() });
    if (me) return done(me);
    say.textContent = words.again;
  } catch {
    say.textContent = words.again;
  } finally {
    register.disabled = false;
  }
}

async function start() {
  const code = location.hash.slice(1);
  if (code) {
    history.replaceState(null, "", location.pathname);
    say.textContent = words.busy;
    const me = await ask("/auth/enter", { code });
    if (me) return done(me);
    say.textContent = words.used;
  } else {
    const me = await ask("/auth/me");
    if (me) return done(me);
    say.textContent = able ? words.none : words.old;
  }
  passkey.hidden = !able;
}

passkey.addEventListener("click", withPasskey);
register.addEventListener("click", enrol);
addEventListener("hashchange", start);
start();
