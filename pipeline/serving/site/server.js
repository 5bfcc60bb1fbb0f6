/** Requests to the server, with the access token where there is one. */

const TOKEN = "access token";
const LONGEST_WAIT_SECONDS = 10;
const ATTEMPTS = 6;

export function token() {
  return sessionStorage.getItem(TOKEN);
}

/** Kept until the tab is closed. */
export function setToken(value) {
  sessionStorage.setItem(TOKEN, value);
}

/** What went wrong with a request: `status` of the answer (0: there was none) and the server's reason. */
export class RequestError extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }

  /** Whether the same request may succeed another time. */
  get passing() {
    return [0, 401, 408, 429, 500, 502, 503, 504].includes(this.status);
  }
}

const UNREACHABLE = "the server cannot be reached";

/** GET; resolves to the answer's JSON. */
export async function getJson(path) {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  let response;
  try {
    response = await fetch(path, { headers, cache: "no-store" });
  } catch {
    throw new RequestError(0, UNREACHABLE);
  }
  return read(response.status, await response.text());
}

/** GET of a file; resolves to its bytes. */
export async function getBlob(path) {
  let response;
  let data;
  try {
    response = await fetch(path);
    data = await response.blob();
  } catch {
    throw new RequestError(0, UNREACHABLE);
  }
  if (!response.ok) throw new RequestError(response.status, `the server answered with status ${response.status}`);
  return data;
}

/**
 * Upload one image to be classified; waits and tries again while the server has too much to do.
 *
 * @param {File|Blob} file the image
 * @param {string} name what the answer calls it
 * @param {(share: number) => void} onProgress receives the share that has been sent, 0 to 1
 * @param {AbortSignal} signal aborts the upload
 */
export async function classify(file, name, onProgress, signal) {
  for (let attempt = 1; ; attempt++) {
    const answer = await send(file, name, onProgress, signal);
    if ([429, 503].includes(answer.status) && attempt < ATTEMPTS) {
      await wait(Math.min(answer.retryAfter || attempt, LONGEST_WAIT_SECONDS), signal);
      continue;
    }
    return read(answer.status, answer.text);
  }
}

/** XMLHttpRequest, as fetch cannot tell how much of a body has been sent. */
function send(file, name, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const body = new FormData();
    body.append("files", file, name);
    const request = new XMLHttpRequest();
    request.open("POST", "/api/predict");
    if (token()) request.setRequestHeader("Authorization", `Bearer ${token()}`);
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onload = () => {
      const retryAfter = Number(request.getResponseHeader("Retry-After"));
      resolve({ status: request.status, text: request.responseText, retryAfter });
    };
    request.onerror = () => reject(new RequestError(0, UNREACHABLE));
    request.onabort = () => reject(new DOMException("removed", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

function read(status, text) {
  let values;
  try {
    values = JSON.parse(text);
  } catch {
    throw new RequestError(status, `the server answered with status ${status}`);
  }
  // An image that was refused has the reason in its own row.
  const reason = values.error ?? values.results?.[0]?.error;
  if (status !== 200) throw new RequestError(status, reason ?? `the server answered with status ${status}`);
  return values;
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("removed", "AbortError"));
    }, { once: true });
  });
}
