// What survives a reload of this tab, and no log-out: drafts, and messages that were not answered
// yet. It is sessionStorage, so it never outlives the tab, and other tabs don't see it. It may be
// full, or blocked, as browsers do it with all data of a site: the page works without.

const PREFIX = "statekeep.chat.";
const OWNER = `${PREFIX}owner`;

let isOwned = false; // by whoever is logged in: if not, nothing is read, and nothing written

export function read(name, fallback) {
  if (!isOwned) return fallback;
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function write(name, value) {
  if (!isOwned) return;
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // What was there before stays.
  }
}

export function clear() {
  isOwned = false;
  try {
    remove();
  } catch {
    // What can't be removed is not read, either.
  }
}

function remove() {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
  }
}

// Whoever logs in gets nothing that another user left.
export function belongsTo(user) {
  isOwned = false;
  try {
    if (sessionStorage.getItem(OWNER) !== user) remove();
    sessionStorage.setItem(OWNER, user);
    isOwned = true;
  } catch {
    // Whose it is can't be told later, so it stays unused.
  }
}
