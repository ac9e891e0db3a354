// What happens while the page is open, from the node's stream of events. Without the stream
// pages still look again by themselves; they only hear of things later.
import { tell } from "./bus.js";
import { isPaused } from "./api.js";
import { me } from "./session.js";

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

/** Begins to listen. The browser connects again by itself and says which event was the last. */
export function listen() {
  const kinds = ["sample", "incident", ...(me()?.level === "read_only" ? [] : ["policy", "key", "block"])];
  const since = new Date(Date.now() - kept * 1000).toISOString();
  const source = new EventSource(`/api/v1/events?kind=${kinds.join(",")}&since=${since}`);
  const on = (kind, f) => source.addEventListener(kind, (event) => f(JSON.parse(event.data)));
  on("sample", sample);
  for (const kind of kinds.slice(1)) on(kind, lookAgain);
}
