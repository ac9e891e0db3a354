// The page to sign in with. A one-time code stands behind the # of the address, which
// browsers send to nobody; it is taken out of the address at once.
"use strict";

const texts = {
  en: {
    title: "Sign in", use: "Use a passkey", set: "Set up a passkey on this device", retry: "Try again",
    busy: "Signing in…",
    used: "This address does not work any more. Ask the program for a new one.",
    lost: "No answer. The address is still good: try again.",
    failed: "Signing in failed. At an address that is new, sign in once with a one-time address.",
    none: "Open the one-time address that the program prints, or use a passkey.",
    old: "This browser has no passkeys. Open the one-time address that the program prints.",
    enrol: "You are signed in. From here on a passkey is needed.",
    again: "That did not work. Try once more.",
    go: "Go on as you are", instead: "Sign in anew",
    other: "You are signed in as “$”. This address would sign you in anew, maybe as somebody else. If you did not ask for it, do not use it.",
  },
  ru: {
    title: "Вход", use: "Войти с ключом доступа", set: "Создать ключ доступа на этом устройстве", retry: "Повторить",
    busy: "Выполняется вход…",
    used: "Эта ссылка больше не действует. Запросите у программы новую.",
    lost: "Нет ответа. Ссылка ещё действует: повторите попытку.",
    failed: "Войти не удалось. По новому адресу сначала войдите один раз по одноразовой ссылке.",
    none: "Откройте одноразовую ссылку, которую печатает программа, или войдите с ключом доступа.",
    old: "Этот браузер не знает ключей доступа. Откройте одноразовую ссылку, которую печатает программа.",
    enrol: "Вы вошли. Дальше нужен ключ доступа.",
    again: "Не получилось. Попробуйте ещё раз.",
    go: "Остаться как есть", instead: "Войти заново",
    other: "Вы вошли как «$». Эта ссылка выполнит вход заново, возможно под другим именем. Если вы её не запрашивали, не используйте её.",
  },
  fa: {
    title: "ورود", use: "ورود با کلید عبور", set: "ساختن کلید عبور روی این دستگاه", retry: "تلاش دوباره",
    busy: "در حال ورود…",
    used: "این نشانی دیگر کار نمی‌کند. از برنامه نشانی تازه‌ای بخواهید.",
    lost: "پاسخی نیامد. نشانی هنوز معتبر است: دوباره تلاش کنید.",
    failed: "ورود انجام نشد. در نشانی‌ای که تازه است، نخست یک بار با نشانی یک‌بارمصرف وارد شوید.",
    none: "نشانی یک‌بارمصرفی را که برنامه چاپ می‌کند باز کنید، یا از کلید عبور استفاده کنید.",
    old: "این مرورگر کلید عبور ندارد. نشانی یک‌بارمصرفی را که برنامه چاپ می‌کند باز کنید.",
    enrol: "وارد شدید. از اینجا به بعد کلید عبور لازم است.",
    again: "نشد. یک بار دیگر تلاش کنید.",
    go: "همین‌طور ادامه بده", instead: "ورود از نو",
    other: "شما با نام «$» وارد شده‌اید. این نشانی شما را از نو، شاید با نامی دیگر، وارد می‌کند. اگر آن را نخواسته‌اید، به کار نبریدش.",
  },
};
const language = navigator.languages.map((name) => name.slice(0, 2).toLowerCase()).find((name) => name in texts) ?? "en";
const words = texts[language];

const say = document.getElementById("say");
const passkey = document.getElementById("passkey");
const register = document.getElementById("register");
const retry = document.getElementById("retry");
const instead = document.getElementById("instead");
const go = document.getElementById("go");
const able = "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;

// Why somebody was refused, and who is signed in already.
let refused = null;

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
  });
  if (answer.status === 429 || answer.status >= 500) throw new Error(answer.status); // it may be better in a moment
  refused = answer.status === 409 ? await answer.json() : null;
  return answer.ok ? answer.json() : null;
}

function done(me) {
  if (me.enrol_required) {
    say.textContent = words.enrol;
    passkey.hidden = true;
    register.hidden = !able;
    return;
  }
  if ("BroadcastChannel" in window) new BroadcastChannel("mtguard").postMessage("signed-in"); // the other tabs have this session now
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

// The code is kept here until somebody has answered: it has left the address already.
let code = "";

async function start(replace) {
  retry.hidden = instead.hidden = go.hidden = true;
  if (location.hash.length > 1) {
    code = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
  }
  if (code) say.textContent = words.busy;
  try {
    const me = code ? await ask("/auth/enter", replace ? { code, instead: true } : { code }) : await ask("/auth/me");
    if (me) return done(me);
    if (refused?.current) {
      say.textContent = words.other.replace("$", () => refused.current.person);
      instead.hidden = go.hidden = false;
      return undefined;
    }
    say.textContent = code ? words.used : able ? words.none : words.old;
    code = "";
  } catch {
    say.textContent = code ? words.lost : words.again;
    retry.hidden = false;
  }
  passkey.hidden = !able;
  return undefined;
}

document.documentElement.lang = language;
document.documentElement.dir = language === "fa" ? "rtl" : "ltr";
document.title = document.querySelector("h1").textContent = words.title;
passkey.textContent = words.use;
register.textContent = words.set;
retry.textContent = words.retry;
go.textContent = words.go;
instead.textContent = words.instead;
passkey.addEventListener("click", withPasskey);
register.addEventListener("click", enrol);
retry.addEventListener("click", () => start(false));
instead.addEventListener("click", () => start(true));
addEventListener("hashchange", () => start(false));
start(false);
