// The dashboard begins here: language, theme, who is signed in, and the frame of every page.
import { html, render, useState, useEffect, useRef } from "./html.js";
import { t, speak, choose, preferred, language, languages, number, time } from "./i18n.js";
import { useRoute, to } from "./router.js";
import { pages } from "./pages.js";
import { Icon, Button, Tag, Failure, useTold } from "./ui.js";
import { Proposals, Toasts } from "./dialog.js";
import { Keyboard } from "./keyboard.js";
import { wear, theme, changeTheme } from "./theme.js";
import { whoAmI, signOut, StepUp } from "./session.js";
import { me } from "./who.js";
import { pause, isPaused, useGet, get, askAhead, lostSince } from "./api.js";
import { tell, hear } from "./bus.js";
import { listen } from "./live.js";
import { Trials } from "./trials.js";
import { Links } from "./pages/links.js";

function App() {
  useTold("language");
  useTold("me");
  const route = useRoute();
  const page = pages.find((p) => p.name === route.page);
  const main = useRef();
  const arrived = useRef(false);
  useEffect(() => {
    document.title = t(page ? "page." + page.name : "page.none") + " · mtguard";
    // Who goes to another page hears its name; who has just come is not moved.
    if (arrived.current) (main.current.querySelector("h1") || main.current).focus({ preventScroll: true });
    if (arrived.current) scrollTo(0, 0);
    arrived.current = true;
  }, [route.page, route.args.join("/"), language()]);
  return html`<a class="skip" href="#main" onClick=${(e) => (e.preventDefault(), main.current.focus())}>${t("skip")}</a>
    <${Top} />
    <div class="frame">
      <${Nav} page=${route.page} />
      <main id="main" ref=${main} tabindex="-1">
        <${Lost} /><${Trials} />
        ${page ? html`<${page.draw} key=${page.name + language()} route=${route} />` : html`<h1>${t("page.none")}</h1>`}
      </main>
    </div>
    <${Demo} />
    <${Proposals} key=${"p" + language()} /><${Toasts} /><${Links} /><${Keyboard} /><${StepUp} /><${Announcer} />`;
}

/** What who may not do everything is here as: it says why buttons are missing. */
const Rank = () => me().level !== "superuser" && html`<span title=${t("level.less")}><${Tag} tone="info">${t("level." + me().level)}<//></span>`;

const patience = 2000; // milliseconds between tries to reach a node that is gone

/** Says that what is seen is old, tries again, and has every page look again when the node is back. */
function Lost() {
  useTold("lost");
  useTold("found");
  const since = lostSince();
  useEffect(() => {
    if (!since) return undefined;
    const timer = setInterval(() => document.hidden || get("/status").then(() => tell("changed"), () => {}), patience);
    return () => clearInterval(timer);
  }, [since]);
  return html`<div role="alert">${since && html`<p class="lost"><strong>${t("problem.unreachable")}</strong> ${t("lost.since", { at: time(since, "clocksecond") })}</p>`}</div>`;
}

/** Says on every page that nothing of it is real. */
function Demo() {
  const [on, set] = useState(false);
  useEffect(() => hear("status", (s) => s && set(s.demo)), []);
  return on && html`<aside class="demo">${t("demo")}</aside>`;
}

const rest = 10_000; // milliseconds between announcements

/** Tells who does not see the page of incidents that begin, and not too often. */
function Announcer() {
  const [said, say] = useState("");
  useEffect(() => {
    let waiting = [], timer = null;
    const speakUp = () => {
      timer = null;
      if (waiting.length === 0) return;
      say(waiting.length === 1 ? t("incident.new", { what: waiting[0] }) : t("incident.new.n", { n: waiting.length }));
      waiting = [];
      timer = setTimeout(speakUp, rest);
    };
    return hear("incident", (what) => (waiting.push(what), timer || speakUp()));
  }, []);
  return html`<p class="hidden" role="status">${said}</p>`;
}

const themes = { auto: "theme.auto", light: "theme.light", dark: "theme.dark" };

function Top() {
  useTold("theme");
  useTold("paused");
  const [menu, setMenu] = useState(false);
  const status = useGet("/status", {}, { every: 10 });
  const s = status.data;
  useEffect(() => tell("status", s), [s]);
  useEffect(() => {
    document.documentElement.dataset.menu = menu ? "open" : "";
  }, [menu]);
  useEffect(() => {
    const close = () => setMenu(false);
    addEventListener("hashchange", close);
    return () => removeEventListener("hashchange", close);
  }, []);
  return html`<header class="top">
    <${Button} kind="bare menu" label=${t("menu")} expanded=${menu ? "true" : "false"} onClick=${() => setMenu(!menu)}><${Icon} name=${menu ? "close" : "menu"} /><//>
    <a class="brand" href=${to("overview")}><svg viewBox="0 0 32 32" aria-hidden="true"><path class="shield" d="M16 2 4 7v8c0 7.500 5 12.600 12 15 7-2.400 12-7.500 12-15V7z" /><path class="tick" d="m10.500 16 4 4 7.500-8" /></svg>mtguard</a>
    <span class="node">${status.error?.word === "unreachable" ? html`<${Tag} tone="bad">${t("node.lost")}<//>` : s && html`<${Tag} tone=${s.draining ? "warn" : "ok"}>${t(s.draining ? "node.draining" : "node.serving")}<//>`}
      ${s?.glass && html`<${Tag} tone="bad">${t("node.glass")}<//>`}</span>
    <span class="tools">
      <${Button} kind="bare" pressed=${isPaused() ? "true" : "false"} label=${t(isPaused() ? "live.resume" : "live.pause")} onClick=${() => pause(!isPaused())}><${Icon} name=${isPaused() ? "play" : "pause"} /><//>
      <${Button} kind="bare wide-only" label=${t("keys.title")} onClick=${() => tell("keys")}><${Icon} name="help" /><//>
      <${Button} kind="bare" label=${t(themes[theme()])} onClick=${changeTheme}><${Icon} name="theme" /><//>
      <label class="language"><span class="hidden">${t("language")}</span><select value=${language()} onChange=${(e) => choose(e.target.value)}>
        ${languages.map(([code, name]) => html`<option key=${code} value=${code} lang=${code.slice(0, 2)} selected=${code === language()}>${name}</option>`)}</select></label>
      ${me()?.person && html`<span class="me"><bdi>${me().person}</bdi> <${Rank} /><${Button} onClick=${signOut}>${t("signout")}<//></span>`}
    </span>
  </header>`;
}

function Nav({ page }) {
  const [open, set] = useState(0);
  useEffect(() => hear("status", (s) => set(s?.incidents || 0)), []);
  return html`<nav class="side" aria-label=${t("pages")}><ul>
  ${pages.map((p) => html`<li key=${p.name}><a href=${to(p.name)} aria-current=${p.name === page ? "page" : undefined}><${Icon} name=${p.name} />${t("page." + p.name)}
    ${p.name === "threats" && open > 0 && html`<span class="badge"><${Tag} tone="bad">${number(open)}<span class="hidden"> ${t("incidents.open")}</span><//></span>`}</a></li>`)}
</ul>${me()?.person && html`<p class="narrow-only"><span><bdi>${me().person}</bdi> <${Rank} /></span> <${Button} onClick=${signOut}>${t("signout")}<//></p>`}</nav>`;
}

async function start() {
  wear();
  if (/^(#\/?(overview)?)?$/.test(location.hash)) ["/status", "/policy/controls"].forEach(askAhead);
  await Promise.all([speak(preferred()), whoAmI()]);
  document.getElementById("app").replaceChildren(); // the frame was there before the modules, to be seen at once
  render(html`<${App} />`, document.getElementById("app"));
  listen();
}

start().catch((error) => render(html`<${Failure} error=${error} />`, document.getElementById("app")));
