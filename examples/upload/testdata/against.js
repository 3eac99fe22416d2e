import { upload } from "/upload.js";
import { AwsS3, Uppy } from "/uppy.js";

/** Uploads a file with Uppy and completes it. */
async function uppy(file, limit) {
  const client = new Uppy().use(AwsS3, {
    companionEndpoint: "/uploads", shouldUseMultipart: true, limit,
  });
  client.on("file-added", ({ id }) => client.setFileMeta(id, { size: file.size }));
  client.addFile({ name: file.name, type: file.type, data: file });
  const { successful, failed } = await client.upload();
  if (failed.length) throw new Error(failed[0].error);
  const response = await fetch("/uploads/complete", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key: successful[0].response.body.key }),
  });
  return response.json();
}
Object.assign(window, { upload, uppy });
