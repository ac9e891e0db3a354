// Every page: its name in addresses and catalogues, its letter behind g, and what draws it.
import { Overview } from "./pages/overview.js";
import { Users } from "./pages/users.js";

import { Keys } from "./pages/keys.js";

export const pages = [
  { name: "overview", letter: "o", draw: Overview },
  { name: "users", letter: "u", draw: Users },
  { name: "keys", letter: "k", draw: Keys },
];
