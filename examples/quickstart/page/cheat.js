// Attempts to upload something that was not granted. A store should reject all
// of them.

import { requestGrant, send } from "./upload.js";

const file = new File(["Only this note was granted.\n"], "note.txt", { type: "text/plain" });

/**
 * Each attempt changes a grant before the upload, or returns another file to
 * send. It can wait some seconds. It can also store the granted file first,
 * with this grant or with another one.
 *
 * @type {{
 *   id: string, title: string, note: string, methods: string[], ask?: object,
 *   tamper: (grant: object, means: {
 *     wait: (seconds: number) => Promise<void>,
 *     store: (grant?: object) => Promise<{key: string}>,
 *     bucket: string,
 *   }) => Promise<Blob | void> | Blob | void,
 * }[]}
 */
const attempts = [
  {
    id: "type", methods: ["POST", "PUT"],
    title: "Another type", note: "Content-Type: text/html instead of text/plain",
    tamper: (grant) => { fieldsOrHeaders(grant)["Content-Type"] = "text/html"; },
  },
  {
    id: "large", methods: ["POST", "PUT"],
    title: "Too large", note: `${file.size + 1} bytes instead of ${file.size}`,
    tamper: () => new File([file, "!"], file.name, { type: file.type }),
  },
  {
    id: "small", methods: ["POST", "PUT"],
    title: "Too small", note: `${file.size - 1} bytes instead of ${file.size}`,
    tamper: () => new File([file.slice(0, -1)], file.name, { type: file.type }),
  },
  {
    id: "key", methods: ["POST", "PUT"],
    title: "Another key", note: "Another object, beside the granted one",
    tamper: (grant) => {
      if (grant.fields) grant.fields.key = grant.fields.key.replace(/[^/]+$/, "other.txt");
      else grant.url = grant.url.replace("/note.txt?", "/other.txt?");
    },
  },
  {
    id: "name", methods: ["POST", "PUT"],
    title: "Another name", note: "A download that would be named invoice.exe",
    tamper: (grant) => {
      const name = "attachment; filename*=UTF-8''invoice.exe";
      fieldsOrHeaders(grant)["Content-Disposition"] = name;
    },
  },
  {
    id: "expired", methods: ["POST", "PUT"], ask: { expires_in: 1 },
    title: "Too late", note: "A grant for one second, used two seconds after it has expired",
    tamper: (_, { wait }) => wait(3),
  },
  {
    id: "policy", methods: ["POST"],
    title: "A changed policy", note: "The signed policy, with the size range raised to 5 GiB",
    tamper: (grant) => {
      const range = /("content-length-range", *)\d+, *\d+/;
      grant.fields.policy = btoa(atob(grant.fields.policy).replace(range, `$11,${5 * 2 ** 30}`));
    },
  },
  {
    id: "lifetime", methods: ["PUT"],
    title: "A longer lifetime", note: "X-Amz-Expires=604800, which is a week",
    tamper: (grant) => {
      grant.url = grant.url.replace(/X-Amz-Expires=\d+/, "X-Amz-Expires=604800");
    },
  },
  {
    id: "added", methods: ["POST"],
    title: "An added field", note: "acl: public-read",
    tamper: (grant) => { grant.fields.acl = "public-read"; },
  },
  {
    id: "added", methods: ["PUT"],
    title: "An added header", note: "x-amz-acl: public-read",
    tamper: (grant) => { grant.headers["x-amz-acl"] = "public-read"; },
  },
  {
    id: "copy", methods: ["PUT"],
    title: "A copy", note: "x-amz-copy-source: another object of the bucket",
    tamper: async (grant, { store, bucket }) => {
      const { key } = await store();
      grant.headers["x-amz-copy-source"] = `${bucket}/${key}`;
    },
  },
  {
    id: "missing", methods: ["POST"],
    title: "A missing field",
    note: "Without Content-Disposition, which makes browsers download the file",
    tamper: (grant) => { delete grant.fields["Content-Disposition"]; },
  },
  {
    id: "missing", methods: ["PUT"],
    title: "A missing header", note: "Without If-None-Match, which prevents replacing an object",
    tamper: (grant) => { delete grant.headers["If-None-Match"]; },
  },
  {
    id: "again", methods: ["PUT"],
    title: "A second time",
    note: "The granted file, then another file of the same size to the same key",
    tamper: async (grant, { store }) => {
      await store(grant);
      return new File([file.slice(0, -1), "?"], file.name, { type: file.type });
    },
  },
  {
    id: "read", methods: ["PUT"],
    title: "Reading", note: "GET instead of PUT",
    tamper: (grant) => { grant.method = "GET"; },
  },
];

/** Returns the attempts on grants for method. */
export function cheats(method) {
  return attempts.filter((attempt) => attempt.methods.includes(method));
}

/**
 * Gets a grant, changes it and uploads. Resolves if the store accepts the
 * upload, and throws an UploadError otherwise.
 *
 * @param {object} attempt
 * @param {object} options
 * @param {string} options.endpoint
 * @param {string} options.bucket
 * @param {"PUT" | "POST"} options.method
 * @param {(seconds: number) => Promise<void>} options.wait
 * @param {(grant: object) => void} options.onsend called with the changed grant
 */
export async function cheat(attempt, { endpoint, bucket, method, wait, onsend }) {
  const wish = { filename: file.name, type: file.type, size: file.size, method, ...attempt.ask };
  const request = () => requestGrant(wish, { endpoint });
  const store = async (sameGrant) => {
    const grant = sameGrant ?? await request();
    await send(grant, file);
    return grant;
  };
  const grant = await request();
  const other = await attempt.tamper(grant, { wait, store, bucket });
  onsend(grant);
  return send(grant, other ?? file);
}

/** Returns the form fields of a grant, or the headers if it is a PUT. */
function fieldsOrHeaders(grant) {
  return grant.fields ?? grant.headers;
}
