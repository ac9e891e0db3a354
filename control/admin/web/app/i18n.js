// Words, numbers and times in the reader's language. Catalogues are i18n/*.json: a text, or
// its plural forms by the names of Intl.PluralRules; {name} is filled in.
import { setting, keep, tell } from "./bus.js";

/** What can be chosen; fa has two calendars. */
export const languages = [
  ["en", "English"],
  ["ru", "Русский"],
  ["fa", "فارسی"],
  ["fa-u-ca-persian", "فارسی · خورشیدی"],
];

let words = {};
let locale = "en";
let plural;
let formats = {};

/** The catalogue to begin with: what was chosen, or what the browser asks for. */
export function preferred() {
  const asked = [setting("language"), ...navigator.languages];
  for (const tag of asked) {
    const found = languages.find(([code]) => code === tag) || languages.find(([code]) => code === (tag || "").split("-")[0]);
    if (found) return found[0];
  }
  return "en";
}

/** Loads a language and turns the page to it. */
export async function speak(code) {
  const name = code.split("-")[0];
  const answer = await fetch(new URL(`../i18n/${name}.json`, import.meta.url));
  words = await answer.json();
  locale = code === "fa" ? "fa-u-ca-gregory" : code;
  plural = new Intl.PluralRules(locale);
  formats = {};
  document.documentElement.lang = name;
  document.documentElement.dir = name === "fa" ? "rtl" : "ltr";
}

export async function choose(code) {
  keep("language", code);
  await speak(code);
  tell("language");
}

export const language = () => (locale === "fa-u-ca-gregory" ? "fa" : locale);

/** The text of a key. values.n chooses the plural form and is written as a number. */
export function t(key, values) {
  let text = words[key];
  if (text === undefined) return key;
  if (typeof text === "object") text = text[plural.select(values?.n ?? 0)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values?.[name];
    return typeof value === "number" ? number(value) : isolate(value ?? "");
  });
}

/** The text of a key if there is one; what the node calls it otherwise. */
export const word = (prefix, value) => (words[prefix + value] === undefined ? value : t(prefix + value));

// A value of another direction must not pull the words around it along.
const isolate = (text) => "\u2068" + text + "\u2069";

function format(kind, name, make) {
  return (formats[kind + name] ??= make());
}

/** A number, 12 345. */
export function number(value, digits = 0) {
  const f = format("n", digits, () => new Intl.NumberFormat(locale, { maximumFractionDigits: digits }));
  return f.format(value);
}

/** A share of 0 to 1, 12.3 %. */
export function percent(share) {
  const f = format("p", "", () => new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 }));
  return f.format(share);
}

const sizes = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"];

/** A number of bytes, 1.2 GB. */
export function bytes(value) {
  let at = 0;
  while (Math.abs(value) >= 1000 && at < sizes.length - 1) {
    value /= 1000;
    at++;
  }
  const f = format("b", at, () => new Intl.NumberFormat(locale, {
    style: "unit", unit: sizes[at], unitDisplay: "short", maximumFractionDigits: at ? 1 : 0,
  }));
  return f.format(value);
}

/** A point in time. style: date, minute (default), second, clock, clocksecond, short or day. */
export function time(value, style = "minute") {
  const options = {
    date: { dateStyle: "medium" },
    minute: { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" },
    second: { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" },
    clock: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    clocksecond: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
    short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    day: { month: "short", day: "numeric" },
  }[style];
  return format("t", style, () => new Intl.DateTimeFormat(locale, options)).format(new Date(value));
}

const spans = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** How long ago, or in how long. */
export function ago(value, now = Date.now()) {
  const seconds = Math.round((new Date(value) - now) / 1000);
  const [unit, size] = spans.find(([, s]) => Math.abs(seconds) >= s) || spans[3];
  const f = format("r", "", () => new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" }));
  return f.format(Math.trunc(seconds / size), unit);
}

/** Minutes and seconds that are left, 9:41. */
export function countdown(milliseconds) {
  const s = Math.max(0, Math.floor(milliseconds / 1000));
  const two = format("2", "", () => new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 }));
  return `${number(Math.floor(s / 60))}:${two.format(s % 60)}`;
}

/** A list in words: a, b and c. */
export const list = (items) => format("l", "", () => new Intl.ListFormat(locale)).format(items);
