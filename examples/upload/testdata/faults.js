const post = async (route, body) => {
  const response = await fetch("/uploads/" + route, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const content = await response.json();
  if (!response.ok) throw new Error(content.message);
  return content;
};

/**
 * Creates an Uppy of the given version. It is configured like the README's
 * recipe, for forms or for the Companion routes.
 */
window.prepare = async (version, way) => {
  const { AwsS3, Uppy } = await import(`/uppy${version}.js`);
  const grants = {};
  const grant = async ({ id, name, type, size }) => {
    return grants[id] = await post("", { filename: name, type, size, method: "POST" });
  };
  const signs = version === 6
    ? { generateObjectKey: ({ id }) => id, signRequest: ({ key: id }) => grant(uppy.getFile(id)) }
    : { getUploadParameters: grant };
  const companion = { [version === 6 ? "companionEndpoint" : "endpoint"]: "/uploads" };
  const uppy = window.uppy = new Uppy().use(AwsS3, {
    shouldUseMultipart: way === "parts", ...(way === "parts" ? companion : signs),
  });
  uppy.on("file-added", ({ id, size }) => uppy.setFileMeta(id, { size }));
  window.keyOf = ({ id, response }) => grants[id]?.key ?? response.body.key;
};

const settle = async ({ failed, successful }) => {
  if (failed.length) return { error: String(failed[0].error?.message ?? failed[0].error) };
  if (!successful.length) return { error: "no file was sent" };
  const { key } = await post("complete", { key: keyOf(successful[0]) });
  return { key };
};

/** Uploads a file and completes it. */
window.send = async (size) => {
  uppy.clear();
  const data = new File([new Uint8Array(size).fill(120)], "notes.txt", { type: "text/plain" });
  uppy.addFile({ name: data.name, type: data.type, data });
  return settle(await uppy.upload());
};

/** Presses Uppy's retry button. */
window.again = async () => settle(await uppy.retryAll());
