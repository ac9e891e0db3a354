// Who is signed in, and what the node lets him do.
import { tell } from "./bus.js";

let known = null;

/** Who is signed in; null until that is known, {} where the API is served without sessions. */
export const me = () => known;

/** Takes down who is signed in. */
export function know(who) {
  known = who;
  tell("me");
  return who;
}

/** Whether he may use one of these operations of the API, such as "add-user remove-user". */
export const may = (operations) => !operations || !known?.may || operations.split(" ").some((one) => known.may.includes(one));
