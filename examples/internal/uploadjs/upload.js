// Uploads files straight to S3, with grants of a presign service.
//
//   const object = await upload(file, {
//     endpoint: "/uploads/",                                 // where the service's handler is mounted
//     grant: { checksum: await sha256(file) },               // what else to ask of it: method, metadata …
//     onprogress: (fraction) => { bar.value = fraction; },   // of what is sent; it may begin anew
//     signal: controller.signal,                             // cancels
//   });
//
// It throws an UploadError where the service or the store refuses or stays silent, and what signal was aborted with.

const attempts = 4; // of each request, with 1, 2 and 4 seconds between them or what Retry-After says
const hashable = 256 * 2 ** 20; // bytes: browsers hash only what is in memory as a whole

/** The answer of a service or store that does not take an upload. */
export class UploadError extends Error {
  /**
   * @param {"service" | "store"} by whose answer it is
   * @param {number} status the HTTP status, 0 if there was no answer that the page may read
   * @param {string} code the store's error code, such as "AccessDenied", or the problem's title
   * @param {{field: string, detail: string}[]} errors the fields that the service found at fault
   */
  constructor(by, status, code, message, errors = [], retryAfter = 0) {
    super(message);
    Object.assign(this, { name: "UploadError", by, status, code, errors, retryAfter });
  }
}

/**
 * Asks for a grant, uploads file with it, and has the service verify and publish what S3 holds. Returns the completed
 * object; unless it completes, what send returns.
 */
export async function upload(file, { endpoint, signal, onprogress, ongrant, onsent, grant: wishes, complete: completes = true }) {
  let grant, renewed, unanswered;
  const ask = async () => {
    grant = await retrying(() => requestGrant(endpoint, file, wishes, signal), signal);
    unanswered = false;
    ongrant?.(grant);
  };
  const attempt = async () => {
    try {
      return await send(grant, file, { onprogress, signal });
    } catch (error) {
      // A PUT whose answer was lost may have been stored, and keeps the next one out. Completion tells.
      if (error.status === 412 && unanswered && completes) return;
      unanswered ||= retriable(error);
      if (renewed || !expired(grant, error)) throw error;
      renewed = true;
      await ask();
      return attempt();
    }
  };
  await ask();
  const stored = await retrying(attempt, signal);
  onsent?.();
  return completes ? retrying(() => complete(endpoint, grant.key, signal), signal) : stored;
}

/** Asks the service for a grant. */
export async function requestGrant(endpoint, file, wishes, signal) {
  const asked = performance.now(); // which nobody sets, other than the time of day
  const grant = await post(endpoint, { filename: file.name, type: file.type, size: file.size, ...wishes }, signal);
  return Object.defineProperty(grant, "deadline", { value: asked + 1000 * grant.expires_in });
}

/** Has the service verify what was uploaded under the key of a grant. It can be asked again. */
export function complete(endpoint, key, signal) {
  return post(`${endpoint.replace(/\/*$/, "")}/complete`, { key }, signal);
}

/** Sends file to the store as grant says. */
export function send(grant, file, { onprogress, signal } = {}) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const xhr = new XMLHttpRequest(); // fetch reports no progress of what it sends
    xhr.open(grant.method, grant.url);
    for (const [name, value] of Object.entries(grant.headers ?? {})) xhr.setRequestHeader(name, value);
    const abort = () => xhr.abort();
    signal?.addEventListener("abort", abort);
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    xhr.onabort = () => reject(signal?.reason ?? new DOMException("Aborted", "AbortError"));
    xhr.onerror = () => reject(new UploadError("store", 0, "",
      `No answer that this page may read: the connection broke, or the bucket's CORS rules do not admit ${location.origin}.`));
    xhr.onload = () => {
      if (xhr.status >= 300) return reject(refusal(xhr));
      resolve({ key: grant.key, size: file.size, type: file.type, etag: xhr.getResponseHeader("ETag") });
    };
    xhr.upload.onprogress = (event) => event.lengthComputable && onprogress?.(event.loaded / event.total);
    let body = file;
    if (grant.fields) {
      body = new FormData();
      for (const [name, value] of Object.entries(grant.fields)) body.append(name, value);
      body.append("file", file); // last
    }
    xhr.send(body);
  });
}

/** Returns a file's SHA-256 in base64, as S3 wants it. Pages that are not of HTTPS or localhost cannot compute it. */
export async function sha256(file) {
  if (!crypto.subtle) throw new Error("Browsers compute checksums on pages of HTTPS or localhost only.");
  if (file.size > hashable) throw new Error(`It has ${file.size} bytes; checksums are computed here of up to ${hashable}.`);
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

async function retrying(request, signal) {
  for (let n = 1; ; n++) {
    try {
      return await request();
    } catch (error) {
      if (n === attempts || !retriable(error) || error.retryAfter > 120) throw error;
      const seconds = Math.max(error.retryAfter, 2 ** (n - 1) * (0.75 + Math.random() / 2));
      await new Promise((resolve) => {
        setTimeout(resolve, 1000 * seconds);
        signal?.addEventListener("abort", resolve, { once: true });
      });
      signal?.throwIfAborted();
    }
  }
}

/** Of two requests at once for one key S3 answers one with 409, and one that stalled with RequestTimeout. */
function retriable({ status, code }) {
  return [0, 409, 429].includes(status) || status >= 500 || code === "RequestTimeout";
}

/** Reports whether a grant that has expired explains error. S3 may hang up instead of answering. */
function expired(grant, { status, message }) {
  return [0, 400, 403].includes(status) && (performance.now() >= grant.deadline || /expired/i.test(message));
}

async function post(url, body, signal) {
  const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  const response = await fetch(url, request).catch(() => undefined);
  const answer = await response?.json().catch(() => undefined);
  signal?.throwIfAborted();
  if (response?.ok && answer) return answer;
  if (!response || response.ok) throw new UploadError("service", 0, "", "The service is out of reach.");
  const { title = "", message = `The service answered ${response.status}.`, errors } = answer ?? {};
  throw new UploadError("service", response.status, title, message, errors, Number(response.headers.get("Retry-After")) || 0);
}

/** Returns the error that an answer of S3 is: XML with a code and a message. */
function refusal({ status, responseText }) {
  const xml = new DOMParser().parseFromString(responseText, "application/xml");
  const text = (tag) => xml.querySelector(tag)?.textContent ?? "";
  return new UploadError("store", status, text("Code"), text("Message") || `The store answered ${status}.`);
}
