// Light, dark, or what the system has.
import { setting, keep, tell } from "./bus.js";

const themeAfter = { auto: "light", light: "dark", dark: "auto" };

export const theme = () => setting("theme", "auto");

export function wear(name = theme()) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

export function changeTheme() {
  const name = themeAfter[theme()] || "auto";
  keep("theme", name);
  wear(name);
  tell("theme", name);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => tell("theme"));
