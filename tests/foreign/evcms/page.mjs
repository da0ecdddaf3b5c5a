// What a page would give the contract's client code, and a socket.io-client that leads to the server under test.
import { register } from "node:module";

const server = process.env.REACT_APP_API_URL;
const hook = `
export async function resolve(specifier, context, next) {
  const isContract = context.parentURL?.includes("/contract/");
  return next(isContract && specifier === "socket.io-client" ? "../socket.mjs" : specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

class Storage {
  #items = new Map();
  getItem(key) { return this.#items.get(key) ?? null; }
  setItem(key, value) { this.#items.set(key, String(value)); }
}

const browserFetch = globalThis.fetch;

export const seen = { requests: [], answers: [] };

Object.assign(globalThis, {
  API_URL: server,
  localStorage: new Storage(),
  window: globalThis,
  fetch: (path, options) => {
    const answer = browserFetch(new URL(path, server), options);
    seen.requests.push([options?.method ?? "GET", path]);
    seen.answers.push(answer);
    return answer;
  },
});
