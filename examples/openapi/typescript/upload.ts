// Uploads a file with a client that is generated from the description:
//
//	TOKEN=… node build/upload.js https://example.com/uploads photo.jpg
import { openAsBlob } from "node:fs";
import { basename } from "node:path";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

const [url, path] = process.argv.slice(2);
if (url === undefined || path === undefined) {
  throw new Error("usage: upload.js URL FILE");
}
const api = createClient<paths>({
  baseUrl: url,
  headers: { Authorization: `Bearer ${process.env.TOKEN ?? ""}` },
});

// Returns the data of a response, or throws the text for the user.
function unwrap<T>(result: { data?: T; error?: Schemas["Problem"] }): T {
  if (result.error !== undefined) {
    throw new Error(`${result.error.status}: ${result.error.message}`);
  }
  return result.data as T;
}

// Sends bytes to the store and returns the ETag.
async function send(
  url: string, method: string, body: Blob | FormData, headers: Record<string, string> = {},
): Promise<string> {
  const response = await fetch(url, { method, body, headers });
  // If the response to an earlier try was lost, the store returns 412.
  const arrived = response.status === 412 && "If-None-Match" in headers;
  if (!response.ok && !arrived) {
    throw new Error(`The store returned ${response.status}.`);
  }
  return response.headers.get("ETag") ?? "";
}

async function sendParts(
  file: Blob, upload: Schemas["MultipartUpload"],
): Promise<Schemas["Object"]> {
  const parts: { number: number; etag: string }[] = [];
  for (let start = 0; start < file.size; start += upload.part_size) {
    const number = parts.length + 1;
    const numbers = { id: upload.id, first: number, last: number };
    const signed = unwrap(await api.POST("/parts/sign", { body: numbers }));
    const part = file.slice(start, start + upload.part_size, "");
    parts.push({ number, etag: await send(signed.urls[0] ?? "", "PUT", part) });
  }
  return unwrap(await api.POST("/complete", { body: { id: upload.id, parts } }));
}

async function upload(path: string): Promise<Schemas["Object"]> {
  const file = await openAsBlob(path);
  const bounds = unwrap(await api.GET("/"));
  if (file.size < bounds.min_size || file.size > bounds.max_size) {
    const limits = `${bounds.min_size} to ${bounds.max_size} bytes`;
    throw new Error(`The file must have ${limits}, got ${file.size}.`);
  }
  const method = file.size > 16 << 20 && bounds.methods.includes("multipart") ? "multipart" : "PUT";
  const granted = unwrap(await api.POST("/", {
    body: { filename: basename(path), size: file.size, method },
  }));
  switch (granted.method) {
    case "multipart":
      return sendParts(file, granted);
    case "PUT":
      await send(granted.url, "PUT", file, granted.headers);
      break;
    case "POST": {
      const form = new FormData();
      for (const [name, value] of Object.entries(granted.fields)) {
        form.append(name, value);
      }
      form.append("file", file);
      await send(granted.url, "POST", form);
    }
  }
  return unwrap(await api.POST("/complete", { body: { key: granted.key } }));
}

try {
  console.log(JSON.stringify(await upload(path), null, 2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
