// Does again what has failed: after pauses that grow, and only while the page is in sight.

const PAUSE_SECONDS_MAX = 15;

// Returns `failed`, to call when `run` has failed, and `over`, when it has not, or is not wanted any
// more. Whoever uses it runs it again when the page comes into sight.
export function retries(run) {
  let failures = 0;
  let timer = 0;
  return {
    failed() {
      clearTimeout(timer);
      const seconds = Math.min(PAUSE_SECONDS_MAX, 2 ** failures);
      failures += 1;
      timer = setTimeout(() => document.hidden || run(), 1000 * seconds);
    },
    over() {
      clearTimeout(timer);
      failures = 0;
    },
  };
}
