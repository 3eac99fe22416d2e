// Uploads files straight to S3, with grants of a presign service.
//
//   import { upload } from "./upload.js";
//   const object = await upload(file, { endpoint: "/uploads/" });
//
// README.md describes all options, and upload.d.ts their types.

// The number of attempts of each request. The delays are about 1, 2, 4 and 8
// seconds, or Retry-After if it is longer.
const attempts = 5;
const longestWait = 120; // seconds; a request that must wait longer fails
const limitsAge = 5 * 60 * 1000; // milliseconds until the limits are read again
const mebibyte = 2 ** 20;
const multipartSize = 16 * mebibyte; // Larger files are multipart uploads.
const readSize = 4 * mebibyte; // bytes in memory while a checksum is computed
const workerName = "presign-checksum";

/**
 * An UploadError is thrown if an upload fails. The message is a sentence for
 * the user.
 */
export class UploadError extends Error {
  constructor(by, status, code, message, errors = [], retryAfter = 0) {
    super(message);
    Object.assign(this, { name: "UploadError", by, status, code, errors, retryAfter });
  }
}

/** Uploads one file and returns the completed object. */
export async function upload(file, options) {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const allowed = await limits(options);
  signal?.throwIfAborted();
  const wish = {
    filename: options.filename ?? file.name, type: file.type || undefined, size: file.size,
    metadata: options.metadata, method: options.method ?? chooseMethod(file, allowed),
    checksum: options.checksum ?? await requiredChecksum(file, allowed, signal, onProgress),
  };
  const run = { concurrency: 6, ...options };
  run.limit ??= limiter(run.concurrency);
  return wish.method === "multipart" ? uploadParts(file, run, wish) : uploadWhole(file, run, wish);
}

/**
 * Uploads several files, and resolves to their outcomes in order, like
 * Promise.allSettled.
 */
export async function uploadAll(files, { concurrency = 6, onProgress, ...options }) {
  const all = [...files], outcomes = [], limit = limiter(concurrency);
  const uploadNext = async () => {
    while (outcomes.length < all.length) {
      const i = outcomes.push(undefined) - 1, file = all[i];
      const report = onProgress && ((progress) => onProgress({ ...progress, file }));
      const started = upload(file, { ...options, concurrency, limit, onProgress: report });
      [outcomes[i]] = await Promise.allSettled([started]);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, uploadNext));
  return outcomes;
}

const limitsByURL = new Map(); // the limits of each endpoint

/**
 * Returns what the service accepts: types, min_size, max_size, checksum,
 * metadata and methods.
 */
export function limits(options) {
  const url = resolve(options, "");
  const last = limitsByURL.get(url);
  if (last && performance.now() - last.at < limitsAge) return last.promise;
  const promise = call({ ...options, signal: undefined }, "");
  limitsByURL.set(url, { at: performance.now(), promise });
  promise.catch(() => limitsByURL.delete(url));
  return promise;
}

/** Asks the service for a grant. */
export async function requestGrant(wish, options) {
  const asked = performance.now(); // The clock of the device might be wrong.
  const grant = await call(options, "", wish);
  return Object.defineProperty(grant, "deadline", { value: asked + 1000 * grant.expires_in });
}

/**
 * Completes an upload by its {key} or {id}, and waits while the service
 * inspects the upload.
 */
export function complete(upload, options) {
  return call(options, "complete", upload);
}

function chooseMethod({ size }, { methods, max_size }) {
  if (size > multipartSize && size <= max_size && methods.includes("multipart")) return "multipart";
  return methods.includes("PUT") ? "PUT" : methods[0];
}

// Whole files.

async function uploadWhole(file, options, wish) {
  const { signal, onProgress } = options;
  const report = (loaded) => onProgress?.({ phase: "sending", loaded, total: file.size });
  let grant, renewed = false, conflict = false;
  const ask = async () => {
    grant = await requestGrant(wish, options);
    options.onGrant?.(grant);
    report(0);
  };
  const attempt = async () => {
    try {
      await options.limit(() => send(grant, file, { signal, onProgress: report }));
    } catch (error) {
      // The key exists. If the response to an earlier attempt was lost, the
      // object is this file. Browsers also repeat a PUT on their own if its
      // connection breaks. The completion verifies the object.
      if (error.status === 412) return void (conflict = error);
      if (renewed || !isExpired(grant, error)) throw error;
      renewed = true;
      await ask();
      return attempt();
    }
  };
  await ask();
  await retry(signal, attempt);
  const object = await finish({ key: grant.key }, file, options).catch((error) => {
    if (!conflict || error.status !== 404) throw error;
  });
  // The service has set a key that already has another file.
  if (conflict && object?.grant_id !== grant.grant_id) {
    throw new UploadError("store", 412, "taken", "Another file is stored under this name.");
  }
  return object;
}

/** Completes an upload after its file was sent. */
function finish(sent, { size }, options) {
  const report = (phase) => options.onProgress?.({ phase, loaded: size, total: size });
  report("verifying");
  return complete(sent, { ...options, onPending: () => report("pending") });
}

/** Sends a file or a part to the store with a grant. */
export function send(grant, body, { signal, onProgress } = {}) {
  let content = body;
  if (grant.fields) {
    content = new FormData();
    for (const [name, value] of Object.entries(grant.fields)) content.append(name, value);
    content.append("file", body); // S3 ignores fields after the file.
  }
  if (typeof XMLHttpRequest === "undefined") return sendByFetch(grant, content, signal);
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const xhr = new XMLHttpRequest(); // fetch does not report progress.
    xhr.open(grant.method, grant.url);
    for (const [name, value] of Object.entries(grant.headers ?? {})) {
      xhr.setRequestHeader(name, value);
    }
    const abort = () => xhr.abort();
    signal?.addEventListener("abort", abort);
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    xhr.onabort = () => reject(signal?.reason ?? new DOMException("Aborted", "AbortError"));
    xhr.onerror = () => reject(connectionError());
    xhr.onload = () => {
      if (xhr.status < 300) resolve();
      else reject(storeError(xhr.status, xhr.responseText, xhr.getAllResponseHeaders()));
    };
    // A form is larger than its file.
    xhr.upload.onprogress = ({ loaded }) => onProgress?.(Math.min(loaded, body.size));
    xhr.send(content);
  });
}

/**
 * Sends with fetch, for environments without XMLHttpRequest, such as service
 * workers.
 */
async function sendByFetch({ method, url, headers }, body, signal) {
  const response = await fetch(url, { method, headers, body, signal }).catch(() => undefined);
  signal?.throwIfAborted();
  if (!response) throw connectionError();
  if (response.ok) return;
  const header = `retry-after: ${response.headers.get("Retry-After")}`;
  throw storeError(response.status, await response.text(), header);
}

function connectionError() {
  return new UploadError("store", 0, "network",
    "This page received no response from the store: the connection broke, or the bucket's "
    + `CORS rules do not allow ${globalThis.origin}.`);
}

/** Returns the error for a response of S3, which is XML. */
function storeError(status, xml, headers) {
  const named = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  const text = (tag) => (xml.match(`<${tag}>([^<]*)</${tag}>`)?.[1] ?? "")
    .replace(/&(\w+);/g, (entity, name) => named[name] ?? entity);
  const retryAfter = Number(headers.match(/^retry-after: *(\d+)/im)?.[1] ?? 0);
  const code = text("Code") || `http_${status}`;
  const message = text("Message") || `The store returned status ${status}.`;
  return new UploadError("store", status, code, message, [], retryAfter);
}

// Multipart uploads.

async function uploadParts(file, options, wish) {
  const { signal } = options;
  const name = await fingerprint(file, options, wish);
  let started = name && await records("readonly", (store) => store.get(name));
  let arrived = [];
  if (started) {
    try {
      arrived = (await call(options, "parts/list", { id: started.id })).parts;
    } catch (error) {
      if (!hasEnded(error)) throw error;
      // The upload might have been completed just before the page was closed.
      const object = await finish({ id: started.id }, file, options).catch((failure) => {
        if (!hasEnded(failure)) throw failure;
      });
      await forget(name);
      if (object) return object;
      started = undefined;
    }
  }
  if (!started) {
    // The signal must not end this request, because an upload without its ID
    // cannot be aborted.
    started = await call({ ...options, signal: undefined }, "", wish);
    await remember(name, started);
  }
  // If the request of a part was cut off, some stores still list the part with
  // its full size. Therefore only acknowledged parts count.
  const done = new Set(started.done);
  arrived = arrived.filter(({ number }) => done.has(number));
  const acknowledge = (number) => remember(name, { ...started, done: [...done.add(number)] });
  options.onGrant?.(started);
  try {
    signal?.throwIfAborted();
    await sendParts(file, started, arrived, acknowledge, options);
    const object = await finish({ id: started.id }, file, options);
    await forget(name);
    return object;
  } catch (error) {
    if (signal?.aborted) {
      const last = { ...options, signal: undefined, keepalive: true };
      await call(last, "abort", { id: started.id }).catch(() => {});
    }
    if (signal?.aborted || hasEnded(error)) await forget(name);
    throw error;
  }
}

/** Reports whether an error ends a multipart upload. */
function hasEnded({ status }) {
  return [404, 409, 410, 422].includes(status);
}

/** Sends the parts that have not arrived, several at a time. */
async function sendParts(file, { id, part_size: partSize }, arrived, acknowledge, options) {
  const slice = (number) => file.slice((number - 1) * partSize, number * partSize);
  const whole = arrived.filter(({ number, size }) => size === slice(number).size);
  const present = new Set(whole.map(({ number }) => number));
  const missing = [];
  let loaded = 0;
  for (let number = 1; number <= Math.ceil(file.size / partSize); number++) {
    if (present.has(number)) loaded += slice(number).size;
    else missing.push(number);
  }
  const report = (more) => {
    loaded += more;
    options.onProgress?.({ phase: "sending", loaded, total: file.size });
  };
  report(0);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const sign = signer(missing, id, { ...options, signal });

  const sendPart = (i) => {
    const part = slice(missing[i]);
    let renewed = false;
    const attempt = async () => {
      const { url, grant, renew } = await sign(i);
      let sent = 0;
      const track = (now) => { report(now - sent); sent = now; };
      try {
        const put = { method: "PUT", url };
        await options.limit(() => send(put, part, { signal, onProgress: track }));
        track(part.size);
        await acknowledge(missing[i]);
      } catch (error) {
        track(0);
        if (renewed || !isExpired(grant, error)) throw error;
        renewed = true;
        renew();
        return attempt();
      }
    };
    return retry(signal, attempt);
  };
  let next = 0;
  const sendNext = async () => {
    while (next < missing.length) await sendPart(next++);
  };
  try {
    await Promise.all(Array.from({ length: options.concurrency }, sendNext));
  } catch (error) {
    stop.abort(error); // This ends the requests of the other parts.
    throw error;
  }
}

/**
 * Returns a function that returns the URL of a part. URLs expire, so only a few
 * are signed ahead.
 */
function signer(missing, id, options) {
  const size = Math.min(1000, 8 * options.concurrency);
  const batches = [];
  return async (i) => {
    const b = Math.floor(i / size), numbers = missing.slice(b * size, (b + 1) * size);
    const sign = () => {
      const asked = performance.now();
      const parts = numbers.map((number) => ({ number }));
      const batch = call(options, "parts/sign", { id, parts })
        .then(({ urls, expires_in: seconds }) => ({ urls, deadline: asked + 1000 * seconds }));
      batch.catch(() => { batches[b] = undefined; });
      return batches[b] = batch;
    };
    let batch = batches[b] ?? sign();
    let grant = await batch;
    if (performance.now() >= grant.deadline) {
      batch = batches[b] === batch ? sign() : batches[b] ?? sign();
      grant = await batch;
    }
    const renew = () => { if (batches[b] === batch) batches[b] = undefined; };
    return { url: grant.urls[i % size], grant, renew };
  };
}

// The browser keeps the IDs of multipart uploads until the uploads end.

/**
 * Returns a string that identifies a File, or undefined if file is another Blob
 * or the browser has no database.
 */
async function fingerprint(file, options, { checksum, ...wish }) {
  if (!file.lastModified || typeof indexedDB === "undefined") return undefined;
  const sum = newCRC(0xedb88320), ends = [file.slice(0, 2 ** 16), file.slice(-(2 ** 16))];
  for (const end of ends) sum.update(new Uint8Array(await end.arrayBuffer()));
  return JSON.stringify([resolve(options, ""), wish, file.lastModified, sum.digest().join()]);
}

function remember(name, upload) {
  const expires = upload.expires ?? Date.now() + 1000 * upload.expires_in;
  return name && records("readwrite", (store) => {
    store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (!cursor) return;
      if (cursor.value.expires < Date.now()) cursor.delete();
      cursor.continue();
    };
    return store.put({ ...upload, expires }, name);
  });
}

function forget(name) {
  return name && records("readwrite", (store) => store.delete(name));
}

/**
 * Uses the browser's records. Without a database, uploads are not resumed after
 * a reload.
 */
async function records(mode, use) {
  const finish = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  try {
    const opening = indexedDB.open("presign-uploads", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("uploads");
    const database = await finish(opening);
    const result = await finish(use(database.transaction("uploads", mode).objectStore("uploads")));
    database.close();
    return result;
  } catch {
    return undefined;
  }
}

// Requests.

/** Returns the URL of a route of the service. */
function resolve({ endpoint }, route) {
  return new URL(endpoint.replace(/\/*$/, `/${route}`), globalThis.location?.href).href;
}

/**
 * Sends a request to the service, retries temporary failures, and returns the
 * response.
 */
function call(options, route, body) {
  const { headers, credentials, signal, keepalive, onPending } = options;
  return retry(signal, async () => {
    const all = new Headers(typeof headers === "function" ? await headers() : headers);
    if (body) all.set("Content-Type", "application/json");
    const request = {
      method: body ? "POST" : "GET", headers: all, credentials, signal, keepalive,
      body: body && JSON.stringify(body),
    };
    const response = await fetch(resolve(options, route), request).catch(() => undefined);
    const content = await response?.json().catch(() => undefined);
    signal?.throwIfAborted();
    if (response?.ok && content) return content;
    if (!response || response.ok) {
      throw new UploadError("service", 0, "network", "The service cannot be reached.");
    }
    const error = serviceError(response, content ?? {});
    if (error.code === "pending") onPending?.();
    throw error;
  });
}

/** Returns the error for a problem of the service. */
function serviceError({ status, headers }, problem) {
  const { message = `The service returned status ${status}.`, errors = [] } = problem;
  const retryAfter = problem.retry_after ?? (Number(headers.get("Retry-After")) || 0);
  const code = errors[0]?.code ?? `http_${status}`;
  return new UploadError("service", status, code, message, errors, retryAfter);
}

async function retry(signal, request) {
  for (let n = 1; ; n++) {
    try {
      return await request();
    } catch (error) {
      signal?.throwIfAborted();
      if (error.code === "pending") n = 1; // The service is still inspecting the upload.
      else if (n >= attempts || error.final || !isTemporary(error)
        || error.retryAfter > longestWait) {
        if (error instanceof UploadError) {
          Object.defineProperty(error, "final", { value: true, configurable: true });
        }
        throw error;
      }
      await wait(Math.max(error.retryAfter, 2 ** (n - 1) * (0.75 + Math.random() / 2)), signal);
    }
  }
}

/**
 * Reports whether another attempt might succeed. S3 returns 409 for one of two
 * concurrent requests for a key, and RequestTimeout for a request that stalled.
 */
function isTemporary({ status, code }) {
  return [0, 409, 429].includes(status) || status >= 500 || code === "RequestTimeout";
}

/**
 * Reports whether an error is due to an expired grant. S3 sometimes closes the
 * connection instead of responding.
 */
function isExpired({ deadline }, { by, status, message }) {
  return by === "store" && [0, 400, 403].includes(status)
    && (performance.now() >= deadline || /expired/i.test(message));
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, 1000 * seconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Returns a function that runs at most n tasks at once. */
function limiter(n) {
  const waiting = [];
  return async (task) => {
    if (n > 0) n--;
    else await new Promise((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      if (waiting.length) waiting.shift()();
      else n++;
    }
  };
}

// Checksums. WebCrypto has no CRC, and its SHA-256 requires the whole file in
// memory, so this module computes both.

const algorithms = {
  CRC32: () => newCRC(0xedb88320), CRC32C: () => newCRC(0x82f63b78), SHA256: newSHA256,
};

async function requiredChecksum(file, allowed, signal, onProgress) {
  const { checksum: algorithm, min_size: min, max_size: max } = allowed;
  if (!algorithm) return undefined;
  if (file.size < min || file.size > max) { // The file is rejected before it is read.
    const [code, bound] = file.size < min
      ? ["too_small", `at least ${min}`] : ["too_large", `at most ${max}`];
    const detail = `must be ${bound} bytes, got ${file.size}`;
    const fault = { field: "size", code, detail, min, max };
    throw new UploadError("service", 422, code, `size ${detail}`, [fault]);
  }
  const report = (loaded) => onProgress?.({ phase: "checksum", loaded, total: file.size });
  return checksum(file, algorithm, { signal, onProgress: report });
}

/**
 * Returns a file's CRC32, CRC32C or SHA256 in base64. If possible, a Worker
 * computes it for files over 1 MiB.
 */
export async function checksum(file, algorithm, { signal, onProgress } = {}) {
  if (!Object.hasOwn(algorithms, algorithm)) {
    throw new UploadError("service", 0, "unsupported",
      `This page cannot compute a ${algorithm} checksum.`);
  }
  if (typeof document !== "undefined" && typeof Worker !== "undefined" && file.size > mebibyte) {
    const sum = await checksumInWorker(file, algorithm, signal, onProgress);
    if (sum) return sum;
  }
  const sum = algorithms[algorithm]();
  for (let start = 0; start < file.size; start += readSize) {
    signal?.throwIfAborted();
    sum.update(new Uint8Array(await file.slice(start, start + readSize).arrayBuffer()));
    onProgress?.(Math.min(start + readSize, file.size));
  }
  return btoa(String.fromCharCode(...sum.digest()));
}

/**
 * Returns a file's checksum, or undefined if a Worker cannot start.
 */
function checksumInWorker(file, algorithm, signal, onProgress) {
  return new Promise((resolve, reject) => {
    let worker;
    try {
      worker = new Worker(new URL(import.meta.url), { type: "module", name: workerName });
    } catch {
      return resolve(undefined);
    }
    const abort = () => end(reject, signal.reason);
    const end = (settle, value) => {
      worker.terminate();
      signal?.removeEventListener("abort", abort);
      settle(value);
    };
    signal?.addEventListener("abort", abort);
    worker.onerror = () => end(resolve, undefined);
    worker.onmessage = ({ data: { loaded, sum, error } }) => {
      if (error) end(reject, error);
      else if (sum) end(resolve, sum);
      else onProgress?.(loaded);
    };
    worker.postMessage({ file, algorithm });
  });
}

if (typeof document === "undefined" && globalThis.name === workerName) {
  globalThis.onmessage = async ({ data: { file, algorithm } }) => {
    const onProgress = (loaded) => postMessage({ loaded });
    postMessage(await checksum(file, algorithm, { onProgress })
      .then((sum) => ({ sum }), (error) => ({ error })));
  };
}

/** Computes a CRC of 32 bits, with eight bytes in each step. */
function newCRC(polynomial) {
  const table = new Uint32Array(8 * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? c >>> 1 ^ polynomial : c >>> 1;
    table[n] = c;
  }
  for (let n = 256; n < table.length; n++) {
    table[n] = table[n - 256] >>> 8 ^ table[table[n - 256] & 255];
  }
  let crc = -1;
  return {
    update(b) {
      let c = crc, i = 0;
      for (; i + 8 <= b.length; i += 8) {
        c ^= b[i] | b[i + 1] << 8 | b[i + 2] << 16 | b[i + 3] << 24;
        c = table[1792 + (c & 255)] ^ table[1536 + (c >>> 8 & 255)] ^
          table[1280 + (c >>> 16 & 255)] ^ table[1024 + (c >>> 24)] ^
          table[768 + b[i + 4]] ^ table[512 + b[i + 5]] ^ table[256 + b[i + 6]] ^ table[b[i + 7]];
      }
      for (; i < b.length; i++) c = c >>> 8 ^ table[(c ^ b[i]) & 255];
      crc = c;
    },
    digest() { return bigEndian([~crc]); },
  };
}

/** Computes SHA-256 (FIPS 180-4). */
function newSHA256() {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const constants = Int32Array.from(primes, (p) => Math.cbrt(p) % 1 * 2 ** 32 | 0);
  const state = Int32Array.from(primes.slice(0, 8), (p) => Math.sqrt(p) % 1 * 2 ** 32 | 0);
  const w = new Int32Array(64), rest = new Uint8Array(64);
  let length = 0;
  const block = (bytes, at) => {
    for (let t = 0; t < 16; t++, at += 4) {
      w[t] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
    }
    for (let t = 16; t < 64; t++) {
      const x = w[t - 15], y = w[t - 2];
      w[t] = w[t - 16] + w[t - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) +
        ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) | 0;
    }
    let a = state[0], b = state[1], c = state[2], d = state[3];
    let e = state[4], f = state[5], g = state[6], h = state[7];
    for (let t = 0; t < 64; t++) {
      const t1 = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) +
        (e & f ^ ~e & g) + constants[t] + w[t] | 0;
      const t2 = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) +
        (a & b ^ a & c ^ b & c) | 0;
      h = g; g = f; f = e; e = d + t1 | 0; d = c; c = b; b = a; a = t1 + t2 | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  };
  const update = (bytes) => {
    let at = 0;
    const held = length % 64;
    length += bytes.length;
    if (held) {
      at = Math.min(64 - held, bytes.length);
      rest.set(bytes.subarray(0, at), held);
      if (held + at < 64) return;
      block(rest, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) block(bytes, at);
    rest.set(bytes.subarray(at));
  };
  return {
    update,
    digest() {
      const bits = bigEndian([length / 2 ** 29, length << 3]);
      update(new Uint8Array([0x80, ...new Uint8Array((119 - length % 64) % 64), ...bits]));
      return bigEndian(state);
    },
  };
}

/** Returns the bytes of 32-bit integers. */
function bigEndian(words) {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, i) => view.setInt32(4 * i, word));
  return new Uint8Array(view.buffer);
}
