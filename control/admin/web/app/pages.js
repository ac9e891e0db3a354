// Every page: its name in addresses and catalogues, its letter behind g, and what draws it.
import { Overview } from "./pages/overview.js";
import { Threats } from "./pages/threats.js";
import { Users } from "./pages/users.js";
import { Keys } from "./pages/keys.js";
import { Policy } from "./pages/policy.js";
import { Access } from "./pages/access.js";
import { Audit } from "./pages/audit.js";
import { Tokens } from "./pages/tokens.js";
import { System } from "./pages/system.js";

export const pages = [
  { name: "overview", letter: "o", draw: Overview },
  { name: "threats", letter: "t", draw: Threats },
  { name: "users", letter: "u", draw: Users },
  { name: "keys", letter: "k", draw: Keys },
  { name: "policy", letter: "p", draw: Policy },
  { name: "access", letter: "a", draw: Access },
  { name: "audit", letter: "c", draw: Audit },
  { name: "tokens", letter: "s", draw: Tokens },
  { name: "system", letter: "y", draw: System },
];
