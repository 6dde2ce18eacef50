// Who is logged in, and calls of the API. The access token is in this module's memory alone; the
// refresh token is a cookie that no script sees.

const SESSION = "/chat/session";
const ANSWER_SECONDS_MAX = 30; // where a call says nothing else

let access = "";
let accessCameAt = 0; // by the clock of this device
let renewing = null;
let onEnd = () => {};

export let user = "";

export class ApiError extends Error {
  constructor(status, { code = "", detail = "" } = {}) {
    super(detail || `The server answers with the status ${status}.`);
    this.status = status;
    this.code = code;
  }
}

// `callback` is called with words when the session has ended without a log-out.
export function whenItEnds(callback) {
  onEnd = callback;
}

export const apiPath = (...parts) => ["", "api", user, ...parts].map(encodeURIComponent).join("/");

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(1000 * ANSWER_SECONDS_MAX), ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "unreachable", detail: "The server can't be reached." });
  }
  if (response.ok) return response;
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // A proxy's page: the status says enough.
  }
  throw new ApiError(response.status, answer);
}

async function open(method, body) {
  const options = { method };
  if (body) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await (await request(SESSION, options)).json();
  if (user && user !== answer.user) {
    // Somebody else has logged in by another tab: nothing of this page is theirs.
    location.reload();
    return new Promise(() => {});
  }
  access = answer.access;
  accessCameAt = Date.now();
  user = answer.user;
  return undefined;
}

export const logIn = (username, password) => open("POST", { username, password });

// Goes on with the session that the browser has; throws an ApiError if it has none. At once asked
// twice, it is done once.
export function resume() {
  renewing ??= open("PATCH").finally(() => (renewing = null));
  return renewing;
}

// Renews the access token if it ends within so many seconds: a page that is being left can't.
export async function keepAccess(seconds) {
  const claims = access.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  // Both are the server's times: the clock of this device may be another.
  const { iat, exp } = JSON.parse(atob(claims));
  const lasts = Date.now() < accessCameAt + 1000 * (exp - iat - seconds);
  if (!lasts) await resume();
}

export function forget() {
  access = user = "";
}

export async function logOut() {
  await request(SESSION, { method: "DELETE" });
  forget();
}

// Returns the response of an API call, or throws an ApiError. A token that has expired is replaced.
export async function call(path, { method = "GET", body, headers = {}, ...options } = {}) {
  const attempt = () => {
    const all = { ...headers, Authorization: `Bearer ${access}` };
    if (body !== undefined) all["Content-Type"] = "application/json";
    const text = body === undefined ? undefined : JSON.stringify(body);
    return request(path, { method, headers: all, body: text, ...options });
  };
  try {
    return await attempt();
  } catch (error) {
    // Without a user, somebody has logged out meanwhile: another one's session is not for this call.
    if (error.status !== 401 || !user) throw error;
  }
  try {
    await resume();
    return await attempt();
  } catch (error) {
    if (error.status === 401 && user) onEnd("Your session has ended. Log in again to go on.");
    throw error;
  }
}
