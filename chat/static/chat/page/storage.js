// What survives a reload of this tab, and no log-out: drafts, and messages that were not answered
// yet. It is sessionStorage, so it never outlives the tab, and other tabs don't see it.

const PREFIX = "statekeep.chat.";
const OWNER = `${PREFIX}owner`;

export function read(name, fallback) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function write(name, value) {
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // It is full, or switched off: the page works without.
  }
}

export function clear() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
  }
}

// Whoever logs in gets nothing that another user left.
export function belongsTo(user) {
  if (sessionStorage.getItem(OWNER) !== user) clear();
  sessionStorage.setItem(OWNER, user);
}
