// Uploads files straight to S3, each with a grant of a presign service.
//
//   import { upload } from "./upload.js";
//
//   const stored = await upload(file, {
//     endpoint: "/uploads/",
//     onprogress: (fraction) => { bar.value = fraction; },
//     signal: controller.signal,
//   });
//
// It throws a Refusal where the service or the store refuses, and what signal was aborted with.

/** Refusal is the answer of a service or store that does not take an upload. */
export class Refusal extends Error {
  /**
   * @param {"service" | "store"} by who refused
   * @param {number} status the HTTP status, 0 if there was no answer that the page may read
   * @param {string} code the store's error code, such as "AccessDenied"
   * @param {string} message
   * @param {{field: string, detail: string}[]} errors the fields that the service found at fault
   */
  constructor(by, status, code, message, errors = []) {
    super(message);
    this.name = "Refusal";
    Object.assign(this, { by, status, code, errors });
  }
}

/**
 * Asks for a grant and uploads file with it.
 *
 * @param {File} file
 * @param {object} options
 * @param {string} options.endpoint where the service's handler is mounted
 * @param {"PUT" | "POST"} [options.method] the service's choice without it
 * @param {(fraction: number) => void} [options.onprogress]
 * @param {(grant: object) => void} [options.ongrant]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{key: string, size: number, type: string, etag: string | null}>} what is stored
 */
export async function upload(file, { endpoint, method, onprogress, ongrant, signal }) {
  const grant = await requestGrant(endpoint, { ...describe(file), method }, signal);
  ongrant?.(grant);
  return send(grant, file, { onprogress, signal });
}

/** Returns what a service wants to know of a file before it grants an upload. */
export function describe(file) {
  return { filename: file.name, type: file.type, size: file.size };
}

/** Asks the service for a grant. */
export async function requestGrant(endpoint, ask, signal) {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(ask),
    signal,
  });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const message = problem.message ?? `The service answered ${response.status}.`;
  throw new Refusal("service", response.status, problem.title ?? "", message, problem.errors);
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
    xhr.onerror = () => reject(new Refusal("store", 0, "",
      `No answer that this page may read: the connection broke, or the bucket's CORS rules do not admit ${location.origin}.`));
    xhr.onload = () => {
      if (xhr.status < 200 || xhr.status > 299) return reject(refusal(xhr));
      resolve({ key: grant.key, size: file.size, type: file.type, etag: xhr.getResponseHeader("ETag") });
    };
    xhr.upload.onprogress = (event) => {
      if (event.lengthComputable) onprogress?.(event.loaded / event.total);
    };
    xhr.send(grant.fields ? form(grant.fields, file) : file);
  });
}

/** Returns the body of a form: the fields of the grant as they are, the file last. */
function form(fields, file) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  body.append("file", file);
  return body;
}

/** Returns the refusal that an answer of S3 is: XML with a code and a message. */
function refusal(xhr) {
  const xml = new DOMParser().parseFromString(xhr.responseText, "application/xml");
  const text = (tag) => xml.querySelector(tag)?.textContent ?? "";
  return new Refusal("store", xhr.status, text("Code"), text("Message") || `The store answered ${xhr.status}.`);
}
