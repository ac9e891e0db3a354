// What was, for the charts: from the node's history, and what came since the page is open.
import { useGet } from "./api.js";

/** Ranges of the charts, in seconds. */
export const ranges = [["15m", 900], ["1h", 3600], ["24h", 86400], ["7d", 7 * 86400], ["90d", 90 * 86400]];

/** The history of some measures: {times, of(name)}; null until there is any. */
export function useHistory(range, names) {
  const answer = useGet("/stats/series", { range, of: names.join(",") }, { every: range === "15m" ? 5 : 60 });
  return { none: answer.error?.status === 404, loading: answer.loading, error: answer.error, times: [], of: () => [] };
}
