import { Problem, serverProblem } from "./problem.js";

const TOKEN = new URLSearchParams(location.search).get("token");

/** An address of the server that served this page, with the token that this page was opened with. */
export function address(path, query = {}) {
  const url = new URL(path, location.href);
  url.search = new URLSearchParams(TOKEN ? { ...query, token: TOKEN } : query);
  return url;
}

/** What one can talk to, `{model, codec, voices, sampling}`; throws a Problem if one cannot. */
export async function lookAtServer() {
  const { status, sessions, max_sessions: places } = await get("api/health");
  if (status === "loading") throw new Problem("The server is still loading its model. This takes a moment …");
  if (status === "closing") throw new Problem("The server is shutting down.");
  if (sessions >= places) {
    const taken = places === 1 ? "its one conversation is taken" : `all ${places} conversations are taken`;
    throw new Problem(`The server is full: ${taken}. Try again in a moment.`);
  }
  return get("api/models");
}

async function get(path) {
  const response = await fetch(address(path)).catch(() => {
    throw new Problem("The server does not answer. Is it still running?");
  });
  if (response.status === 401) {
    throw new Problem("The server wants a token: open the address that it printed when it started (…/?token=…).");
  }
  const said = await response.json().catch(() => {
    throw new Problem(`What answers at ${location.host} is not the server (${response.status}).`);
  });
  if (said.error) throw serverProblem(said.error);
  return said;
}
