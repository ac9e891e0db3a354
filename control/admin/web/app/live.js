// What happens while the page is open, from the node's stream of events. Without the stream
// pages still look again by themselves; they only hear of things later.
import { tell } from "./bus.js";
import { isPaused } from "./api.js";
import { me } from "./who.js";
import { whoAmI } from "./session.js";

const kept = 900; // seconds of samples
const restTime = 500; // milliseconds in which many events make pages look again once

/** The node second by second: {at, open, served, refused, would, up, down}; the newest last. */
export const samples = [];

let timer = null;

function lookAgain() {
  timer ??= setTimeout(() => {
    timer = null;
    if (!document.hidden && !isPaused()) tell("changed");
  }, restTime);
}

function sample(e) {
  const at = Math.floor(Date.parse(e.time) / 1000);
  if (samples.length && at <= samples[samples.length - 1].at) return;
  const d = e.data;
  samples.push({ at, open: d.open, served: d.served, refused: d.refused, would: d.would_refuse, up: d.up, down: d.down });
  if (samples.length > kept) samples.shift();
  if (!document.hidden && !isPaused()) tell("sample");
}

const openAgain = 5000; // milliseconds
const began = Date.now();
const announced = new Set();

/** Tells of an incident that has begun since the page is open, once. */
function announce(e) {
  const { id, detector, subject, opened } = e.data;
  if (announced.has(id) || Date.parse(opened) < began) return;
  announced.add(id);
  tell("incident", `${detector} ${subject}`);
}

let stream = null;

function openStream() {
  if (stream || document.hidden) return;
  const kinds = ["sample", "incident", ...(me()?.level === "read_only" ? [] : ["policy", "key", "block"])];
  const since = new Date(Date.now() - kept * 1000).toISOString();
  stream = new EventSource(`/api/v1/events?kind=${kinds.join(",")}&since=${since}`);
  const on = (kind, f) => stream.addEventListener(kind, (event) => f(JSON.parse(event.data)));
  on("sample", sample);
  for (const kind of kinds.slice(1)) on(kind, lookAgain);
  on("incident", announce);
  // A stream that ends may say that the session is over, which makes the page leave. A refusal ends it for good; a lost
  // connection the browser takes up again by itself.
  const opened = stream;
  stream.onerror = async () => {
    if (opened !== stream) return;
    if (opened.readyState === EventSource.CLOSED) closeStream();
    await whoAmI();
    if (!stream) setTimeout(openStream, openAgain);
  };
}

function closeStream() {
  stream?.close();
  stream = null;
}

/**
 * Listens as long as the page is seen; the browser connects again by itself. A page behind others
 * holds no connection: browsers have six for a server, and six tabs would leave none for answers.
 */
export function listen() {
  openStream();
  addEventListener("visibilitychange", () => (document.hidden ? closeStream() : openStream()));
  addEventListener("online", () => tell("changed"));
  addEventListener("pagehide", closeStream);
  addEventListener("pageshow", openStream);
}
