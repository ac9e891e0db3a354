// What was, for the charts: of the last quarter of an hour second by second as it comes, of
// longer from the node's history.
import { useMemo } from "./html.js";
import { useGet } from "./api.js";
import { useTold } from "./ui.js";
import { samples } from "./live.js";
import { t } from "./i18n.js";

/** Ranges of the charts, and how much a point stands for, in seconds. */
export const ranges = [["15m", 900, 1], ["1h", 3600, 60], ["24h", 86400, 300], ["7d", 7 * 86400, 3600], ["90d", 90 * 86400, 86400]];

// What a line is made of: the name in a sample, and the series of the history that add up to it.
const lines = { served: "served", refused: "refused", would: "would_refuse:", up: "bytes_up", down: "bytes_down" };
const asked = "served,refused,would_refuse:*,bytes_up,bytes_down";

const longestGap = 5; // seconds

/** {times, of(name), marks}: rates per second of the names above. */
export function useHistory(range) {
  useTold("sample");
  const live = range === "15m";
  const [, seconds, every] = ranges.find(([name]) => name === range) || ranges[0];
  // Rounded, so that the same question is asked until the answer would be another.
  const round = Math.min(every, 300);
  const to = Math.ceil(Date.now() / 1000 / round) * round;
  const at = (s) => new Date(s * 1000).toISOString();
  const answer = useGet(live ? null : "/stats/series", { name: asked, from: at(to - seconds), to: at(to), step: every });
  const policies = useGet("/policy/history", { limit: 20 });
  const incidents = useGet("/incidents", { limit: 50 });
  const keys = useGet("/keys/history", { limit: 50 });
  const marks = useMemo(() => together([
    ...(policies.data?.items || []).map((p) => [p.at, t("mark.policy", { revision: "r" + p.revision })]),
    ...(incidents.data?.items || []).map((i) => [i.opened, t("mark.incident", { what: i.detector })]),
    ...(keys.data?.items || []).filter((k) => k.to === "active").map((k) => [k.time, t("mark.key", { user: k.user || k.key })]),
  ].map(([time, label]) => ({ at: Date.parse(time) / 1000, label })).filter((m) => m.at > to - seconds).sort((a, b) => a.at - b.at), seconds / 120), [policies.data, incidents.data, keys.data, to]);
  const count = samples.length;
  const last = samples[count - 1]?.at;
  return useMemo(() => {
    if (live) {
      // Where nobody looked for a while the line breaks off.
      const seconds = samples.flatMap((s, i) => (i && s.at - samples[i - 1].at > longestGap ? [{ at: s.at - 1 }, s] : [s]));
      return { marks, times: seconds.map((s) => s.at), of: (name) => seconds.map((s) => s[name] ?? null) };
    }
    const series = answer.data?.items || [];
    const times = withGaps([...new Set(series.flatMap((s) => s.points.map((p) => Date.parse(p.at) / 1000)))].sort((a, b) => a - b), series[0]?.step);
    const now = Date.now() / 1000;
    return { marks, times, error: answer.error, of: (name) => {
      const sums = new Map();
      for (const s of series.filter((one) => one.name === lines[name] || (lines[name].endsWith(":") && one.name.startsWith(lines[name])))) {
        for (const p of s.points) {
          const when = Date.parse(p.at) / 1000;
          sums.set(when, (sums.get(when) || 0) + p.value / Math.min(s.step, Math.max(Math.floor((now - when) / 60) * 60, 60))); // the last is not over
        }
      }
      return times.map((when) => sums.get(when) ?? null);
    } };
  }, [live, live ? last : answer.data, marks, answer.error]);
}

/**
 * The times of a line that breaks off where the node did not run. The points beside a gap go with it: the node
 * ran in a part of their time only, and a line that falls to nothing there would say what nobody knows.
 */
function withGaps(times, step) {
  const gap = (i) => i > 0 && i < times.length && times[i] - times[i - 1] > 1.5 * step;
  return times.flatMap((when, i) => (gap(i) ? [when - step] : gap(i + 1) ? [] : [when]));
}

/** Marks of the same kind that stand too close to be told apart are one. */
function together(marks, close) {
  const all = [];
  for (const m of marks) {
    const before = all.findLast((one) => one.label === m.label && m.at - one.at < close);
    if (before) before.n++;
    else all.push({ ...m, n: 1 });
  }
  return all;
}
