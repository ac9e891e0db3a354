// Happenings that modules tell one another, and settings that outlive the page.

const target = new EventTarget();

/** Tells everybody who listens. */
export const tell = (name, detail) => target.dispatchEvent(new CustomEvent(name, { detail }));

/** Calls f with what is told; returns how to stop it. */
export function hear(name, f) {
  const listener = (event) => f(event.detail);
  target.addEventListener(name, listener);
  return () => target.removeEventListener(name, listener);
}

/** A setting of this browser; where nothing can be kept, the default. */
export function setting(name, otherwise) {
  try {
    return localStorage.getItem("mtguard." + name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem("mtguard." + name, value);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}
