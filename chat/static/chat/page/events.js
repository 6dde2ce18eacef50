// Server-sent events from a response. The browser's EventSource can't POST, nor send a token.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

// The server says something every 10 seconds, if only by a comment.
const SILENCE_SECONDS = 25;

// Makes a request by `ask(signal)`, and yields {name, data} for each event of its response; comments
// are passed over. Throws a Silence when nothing has come for too long: a connection may be dead
// without being closed. `signal` aborts it all.
export async function* events(ask, signal) {
  signal.throwIfAborted();
  const request = new AbortController();
  const abort = () => request.abort();
  let silence = null;
  let timer = 0;
  const wait = (wasHeard) => {
    clearTimeout(timer);
    timer = setTimeout(() => ((silence = new Silence(wasHeard)), abort()), 1000 * SILENCE_SECONDS);
  };
  signal.addEventListener("abort", abort);
  try {
    wait(false);
    yield* read(await ask(request.signal), () => wait(true));
  } catch (error) {
    throw silence ?? error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    abort();
  }
}

export class Silence extends Error {
  constructor(wasHeard) {
    super("The server says nothing.");
    this.code = "unreachable";
    this.wasHeard = wasHeard; // before
  }
}

async function* read(response, onBytes) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return; // what is left is half an event
    onBytes();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    yield* blocks.map(parsed).filter(Boolean);
  }
}

function parsed(block) {
  let name = "";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  return name ? { name, data: JSON.parse(data) } : null;
}
