import { AwsS3, Dashboard, GoldenRetriever, Uppy } from "./uppy.js";

const { user, maxSize } = document.body.dataset;
const largest = Number(maxSize);
const $ = (selector, root = document) => root.querySelector(selector);

// Uppy stores the state of interrupted uploads in the browser under this ID. The logout deletes it.
const uppy = new Uppy({ id: user, restrictions: { minFileSize: 1, maxFileSize: largest } })
  .use(Dashboard, {
    target: "#uppy", inline: true, width: "100%", height: "26rem", theme: "auto", proudlyDisplayPoweredByUppy: false,
    note: `Any file of up to ${bytes(largest)}, but nothing that browsers run`,
  })
  .use(AwsS3, { companionEndpoint: "/uploads" })
  // A reloaded page has lost its files. By default GoldenRetriever keeps copies of files of up to 10 MiB, which have
  // nothing to resume. For a file without a copy, Uppy asks the user to select it again, and then resumes.
  .use(GoldenRetriever, { indexedDB: { maxFileSize: largest, maxTotalSize: 2 * largest } });

// Uppy sends the size of a file to the service only as metadata.
uppy.on("file-added", (file) => uppy.setFileMeta(file.id, { size: file.size }));

// The page completes each file as soon as the store has it. A file counts as uploaded only after the completion.
uppy.on("upload-success", (file, { body }) => { settle(file, body.key); });
uppy.addPostProcessor((ids) => Promise.all(
  ids.map((id) => uppy.getFile(id)).filter((file) => file?.response).map((file) => settle(file, file.response.body.key)),
));

const settled = new Map();
const rejected = new Set(); // files for which a retry is useless

/** Offers a retry, or not. Without its retry button, a failed file has the button to pause. */
function offerRetry(offer) {
  uppy.getPlugin("Dashboard").setOptions({ hideRetryButton: !offer, hidePauseResumeButton: !offer });
}
uppy.on("upload", () => offerRetry(true));
uppy.on("complete", ({ failed }) => offerRetry(!failed.length || failed.some(({ id }) => !rejected.has(id))));

/** Completes an upload, once, and shows what came of it. */
function settle(file, key) {
  if (!settled.has(key)) settled.set(key, complete(key).then(
    ({ filename, size, type, detected, key: published }) => {
      add("stored", { filename, size: bytes(size), type, detected, sent: key, key: published });
    },
    (error) => {
      add("refused", { filename: file.name, message: `Rejected: ${error.message}` });
      if (error.rejected) rejected.add(file.id);
      const failed = uppy.getFile(file.id);
      if (!failed) return; // The user has removed the file meanwhile.
      uppy.setFileState(file.id, { progress: { ...failed.progress, uploadComplete: false, postprocess: undefined } });
      uppy.emit("upload-error", failed, error);
    },
  ));
  return settled.get(key);
}

/** Completes an upload, and waits while the service inspects it. */
async function complete(key) {
  const response = await fetch("/uploads/complete", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }),
  });
  const answer = await response.json();
  if (answer.errors?.[0]?.code === "pending") {
    await new Promise((resolve) => setTimeout(resolve, 1000 * answer.retry_after));
    return complete(key);
  }
  if (!response.ok) throw Object.assign(new Error(answer.message), { rejected: response.status === 422 });
  return answer;
}

/** Puts what is in a template in front of the list, with these texts. */
function add(template, texts) {
  const item = $(`#${template}`).content.cloneNode(true);
  for (const [name, text] of Object.entries(texts)) $(`.${name}`, item).textContent = text || "no known format";
  $(".outcomes").prepend(item);
}

function bytes(n) {
  for (const unit of ["bytes", "KiB", "MiB"]) {
    if (n < 1024) return `${Number(n.toPrecision(3))} ${unit}`;
    n /= 1024;
  }
  return `${Number(n.toPrecision(3))} GiB`;
}
