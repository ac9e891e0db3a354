// The management API: requests, problems, and a hook that keeps an answer fresh.
import { useState, useEffect, useRef, useCallback } from "./html.js";
import { tell, hear } from "./bus.js";

const base = "/api/v1";

/** An answer that is a refusal: RFC 9457, with the command that mends it in fix. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title || "HTTP " + status);
    this.status = status;
    this.title = body.title || "";
    this.word = (body.type || "/http").split("/").pop();
    this.fix = body.fix || "";
    this.errors = body.errors || [];
    this.current = body.current;
  }
}

/** Path segments of names that strangers chose. */
export const path = (parts, ...values) =>
  parts.reduce((all, part, i) => all + encodeURIComponent(values[i - 1]) + part);

/** A query string of what is not empty. */
export function query(fields) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(fields || {})) {
    if (value !== undefined && value !== null && value !== "" && value !== false) q.set(name, value);
  }
  return q.size ? "?" + q : "";
}

let lost = null;

/** Since when the node does not answer; null while it does. */
export const lostSince = () => lost;

function gone(status) {
  if (!lost) tell("lost", (lost = Date.now()));
  return new Problem({ type: "/problems/unreachable" }, status);
}

// A session goes on while somebody is at the page, not while the page looks by itself.
let here = true;
let saidAt = 0;
const aMinute = 60_000; // milliseconds

function touched() {
  here = true;
  if (paused && Date.now() - saidAt > aMinute) get("/status").catch(() => {}); // nothing else would tell
}
for (const what of ["pointerdown", "pointermove", "keydown", "wheel"]) addEventListener(what, touched, { passive: true, capture: true });

function whether() {
  const yes = here;
  here = false;
  saidAt = Date.now();
  return yes ? "yes" : "no";
}

/** Sends one request and returns what the answer holds. */
export async function send(method, url, { body, headers, signal, raw } = {}) {
  let answer;
  try {
    answer = await fetch(url, {
      method, signal, credentials: "same-origin", redirect: "error", cache: "no-store",
      headers: { "Mtguard-Here": whether(), ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw gone(0);
  }
  if (answer.status === 502 || answer.status === 504) throw gone(answer.status); // a tunnel without its end
  if (lost) tell("found", (lost = null));
  if (answer.ok) {
    if (raw) return answer;
    return answer.status === 204 ? undefined : answer.json();
  }
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // Something between here and the node answered; the status says it all.
  }
  const error = new Problem(problem, answer.status);
  if (answer.status === 401) tell("signed-out");
  if (error.word === "step-up-required") tell("step-up");
  throw error;
}

/** Reads. */
export const get = (url, fields, options) => send("GET", base + url + query(fields), options);

/** Asks for what is a question although it is posted, such as a preview. */
export const ask = (url, body, options) => send("POST", base + url, { body, ...options });

/**
 * Changes something. change: {method, url, query, body, revision}; options: {dry, reason, force, key}.
 * A change that is kept makes every hook below look again.
 */
export async function change(c, { dry, reason, force, key, signal } = {}) {
  const headers = { "If-Match": c.revision ? `"${c.revision}"` : "*" };
  if (key) headers["Idempotency-Key"] = key;
  const fields = { ...c.query, reason, dry_run: dry ? "true" : "", force: force ? "true" : "" };
  const result = await send(c.method, base + c.url + query(fields), { body: c.body, headers, signal });
  if (!dry) tell("changed");
  return result;
}

/** A name for one change, so that a second press of the button does nothing. */
export function changeKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

const ahead = new Map();

/** Asks for what the first page will want before there is one. */
export function askAhead(url) {
  const answer = get(url);
  answer.catch(() => {}); // whoever wants it hears of that
  ahead.set(url, answer);
}

/**
 * Keeps the answer of url fresh: again every so many seconds while the page is seen, and after
 * every change. The answer before stays while the next is under way. A null url asks nothing.
 */
export function useGet(url, fields, { every = 0, body } = {}) {
  const [state, set] = useState({ loading: true });
  const asked = url === null ? null : url + query(fields) + (body ? JSON.stringify(body) : "");
  const running = useRef(null);
  const stale = useRef(false); // something has changed since the request under way was sent
  const reload = useCallback(() => {
    if (asked === null) return set({});
    running.current?.abort();
    stale.current = false;
    const controller = (running.current = new AbortController());
    const options = { signal: controller.signal };
    const early = ahead.get(asked);
    ahead.delete(asked);
    const settled = (next) => {
      if (running.current !== controller) return;
      running.current = null;
      set(next);
      if (stale.current) reload();
    };
    (early || (body ? ask(url + query(fields), body, options) : get(url, fields, options))).then(
      (data) => settled({ data, asked }),
      (error) => error.name === "AbortError" || settled((before) => ({ ...before, error, loading: false })),
    );
  }, [asked]);
  // What is under way is not given up for the next: with a change every moment nothing would ever arrive.
  const lookAgain = useCallback(() => {
    if (running.current) stale.current = true;
    else reload();
  }, [reload]);
  useEffect(() => {
    set((before) => ({ ...before, loading: true, error: undefined }));
    reload();
    return () => {
      running.current?.abort();
      running.current = null;
    };
  }, [reload]);
  useEffect(() => hear("changed", lookAgain), [lookAgain]);
  useEffect(() => {
    if (!every || asked === null) return undefined;
    const timer = setInterval(() => document.hidden || paused || lookAgain(), every * 1000);
    return () => clearInterval(timer);
  }, [lookAgain, every]);
  return { ...state, reload };
}

let paused = false;

/** Whether pages keep looking by themselves. */
export function pause(yes) {
  paused = yes;
  tell("paused", yes);
  if (!yes) tell("changed");
}
export const isPaused = () => paused;
