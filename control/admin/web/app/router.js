// Where the reader is: #/page/argument?field=value.
import { useState, useEffect } from "./html.js";

export function parse(hash) {
  const [where, fields] = hash.replace(/^#\/?/, "").split("?");
  const [page, ...args] = where.split("/").map(decode);
  return { page: page || "overview", args, fields: Object.fromEntries(new URLSearchParams(fields)) };
}

// An address that somebody typed may be broken.
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page. */
export function to(page, args = [], fields = {}) {
  const q = new URLSearchParams(Object.entries(fields).filter(([, value]) => value)).toString();
  return "#/" + [page, ...args].map(encodeURIComponent).join("/") + (q ? "?" + q : "");
}

export function go(page, args, fields) {
  location.hash = to(page, args, fields);
}

/** The route, and again when it changes. */
export function useRoute() {
  const [route, set] = useState(() => parse(location.hash));
  useEffect(() => {
    const listener = () => set(parse(location.hash));
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  return route;
}
