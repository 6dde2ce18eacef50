// Tells the other tabs of this browser what has changed, so that they ask the server. No content
// goes this way.

const channel = new BroadcastChannel("statekeep.chat");

// `what`: "changed" (a conversation), "logged in" or "logged out".
export const tell = (what) => channel.postMessage(what);

export function listen(callback) {
  channel.onmessage = (event) => callback(event.data);
}
